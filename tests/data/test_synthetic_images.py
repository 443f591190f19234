"""Synthetic images: masks cover what they say, difficulty and confounding do what they say, colour does not tell."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from danil.data.synthetic import KINDS, SyntheticImages, read_synthetic, shown

# Layers below the masks' threshold of two levels each may add up to a few levels outside them.
FAINT = 6


def levels(image):
    return np.asarray(image).astype(int)


def change(one, other):
    return np.abs(levels(one) - levels(other)).max(axis=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["evidence", "distractors"])
def test_leaving_a_role_out_changes_pixels_of_its_mask_only(kind, role):
    store = SyntheticImages(kind, images=15, side=64, difficulty=0.3)
    changed = 0
    for index in range(15):
        path = store.path(index)
        masks = store.masks(path)
        difference = change(store.read(path), store.without(path, role))
        # Where a half-transparent distractor lies over evidence, the mask of either role may hold the pixel.
        assert difference[~(masks.evidence | masks.distractors)].max(initial=0) <= FAINT
        changed += int((difference[getattr(masks, role)] > FAINT).sum())
    assert changed > 100


@pytest.mark.parametrize("kind", KINDS)
def test_another_class_changes_what_the_masks_of_both_classes_cover(kind):
    store = SyntheticImages(kind, images=10, side=64, difficulty=0.0)
    order = store.order(store.path(1))
    drawn = [store.draw(replace(order, label=label)) for label in (2, 3)]
    covered = np.logical_or.reduce([mask for one in drawn for mask in (one.evidence, one.distractors)])
    assert change(shown(drawn[0]), shown(drawn[1]))[covered].max() > 40
    if kind != "histology":  # there the stroma's nuclei make up for what the glands hold
        assert change(shown(drawn[0]), shown(drawn[1]))[~covered].max() <= FAINT


def test_every_class_but_the_healthy_eye_has_evidence():
    for kind in KINDS:
        manifest = read_synthetic(kind, images=10, size=64)
        for path, label in zip(manifest.table["path"], manifest.labels(), strict=True):
            assert manifest.store.masks(path).evidence.any() == (kind != "fundus" or label != 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_scene_is_drawn_at_every_size(kind):
    small, large = (SyntheticImages(kind, images=10, side=side) for side in (64, 256))
    for index in range(3):
        shrunk = large.read(large.path(index)).reduce(4)
        assert np.abs(levels(shrunk) - levels(small.read(small.path(index)))).mean() < 12


@pytest.mark.parametrize("kind", KINDS)
def test_the_distance_between_classes_falls_with_difficulty(kind):
    def distance(difficulty):
        store = SyntheticImages(kind, images=12, side=64, difficulty=difficulty)
        orders = [store.order(store.path(index)) for index in range(12)]
        pairs = [(store.draw(replace(one, label=1)), store.draw(replace(one, label=3))) for one in orders]
        hidden = [change(shown(first), shown(second)).mean() for first, second in pairs]
        return np.mean(hidden)

    found = [distance(difficulty) for difficulty in (0.0, 0.5, 1.0)]
    assert found[0] > 1.05 * found[1] > 1.05**2 * found[2]


@pytest.mark.parametrize("kind", KINDS)
def test_distractors_follow_the_class_exactly_where_confounding_is_full(kind):
    def carriers(confounding):
        store = SyntheticImages(kind, images=200, confounding=confounding)
        orders = [store.order(store.path(index)) for index in range(200)]
        return np.array([(one.label, one.has("ink", 0.5, marked=1)) for one in orders])

    label, present = carriers(1.0).T
    assert (present == (label == 1)).all()
    label, present = carriers(0.0).T
    assert abs(present[label == 1].mean() - 0.5) < 0.25
    assert abs(present[label != 1].mean() - 0.5) < 0.15


def pixels(manifest):
    return np.stack([np.asarray(manifest.store.read(path)) for path in manifest.table["path"]])


def histograms(images):
    """Return three marginal histograms of 16 bins and the joint one of 6 × 6 × 6 bins, square root, per image."""
    cells = (images // 43).astype(int) @ [36, 6, 1]
    joint = [np.bincount(one.ravel(), minlength=216) for one in cells]
    single = [[np.bincount(one[..., c].ravel() // 16, minlength=16) for c in range(3)] for one in images]
    return np.sqrt(np.concatenate([np.reshape(single, (len(images), 48)), joint], axis=1) / cells[0].size)


def colour_score(kind, train, test):
    """Return the macro-F1 on other patients of a logistic regression on colour histograms."""
    learnt, asked = read_synthetic(kind, images=train, size=64), read_synthetic(kind, images=test, size=64, seed=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    model.fit(histograms(pixels(learnt)), learnt.labels())
    return f1_score(asked.labels(), model.predict(histograms(pixels(asked))), average="macro")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_colour_histograms_do_not_tell_the_class(kind):
    assert colour_score(kind, 400, 250) < 0.6


def network_score(kind, train, test, epochs):
    """Return the macro-F1 on other patients of a four-layer network trained from scratch."""
    learnt, asked = read_synthetic(kind, images=train, size=64), read_synthetic(kind, images=test, size=64, seed=1)
    images, questions = (torch.from_numpy(pixels(one)).permute(0, 3, 1, 2) / 64 - 2 for one in (learnt, asked))
    labels = torch.from_numpy(learnt.labels())
    torch.manual_seed(0)
    widths = (3, 24, 48, 64, 96)
    layers = [
        layer
        for before, after in pairwise(widths)
        for layer in (nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))
    ]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, len(learnt.classes)))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    steps = epochs * (train // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(train)[: train // 32 * 32].split(32):
            flipped = images[rows].flip([[2], [3], [2, 3], []][int(torch.randint(4, ()))])
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(flipped), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        answers = model(questions).argmax(dim=1)
    return f1_score(asked.labels(), answers.numpy(), average="macro")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_small_network_sees_what_colour_does_not_tell(kind):
    assert network_score(kind, 480, 200, epochs=12) > 0.65 > 0.6 > colour_score(kind, 480, 200)
