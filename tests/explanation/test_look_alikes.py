import itertools

import numpy as np
import pytest
import torch

from danil.explanation import Pair, look_alikes, look_alikes_figure


def angle(*degrees):
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1)


def test_pairs_are_the_nearest_of_different_classes_and_share_no_image():
    features = angle(0, 3, 5, 90, 100, 180) * np.arange(1, 7)[:, None]
    pairs = look_alikes(features, [0, 0, 1, 1, 0, 1], 3)
    assert [(pair.first, pair.second) for pair in pairs] == [(1, 2), (3, 4), (0, 5)]
    assert pairs[0].distance == pytest.approx(1 - np.cos(np.deg2rad(2)))
    assert len(look_alikes(features, [0, 0, 1, 1, 0, 1], 2)) == 2


def test_the_first_pair_is_the_smallest_of_all_pairs():
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(60, 5)), generator.integers(0, 3, 60)
    norm = features / np.linalg.norm(features, axis=1, keepdims=True)
    brute = min(
        (1 - norm[i] @ norm[j], i, j) for i, j in itertools.combinations(range(60), 2) if labels[i] != labels[j]
    )
    first = look_alikes(torch.tensor(features), torch.tensor(labels), 1)[0]
    assert (first.first, first.second) == brute[1:]
    assert first.distance == pytest.approx(brute[0])


@pytest.mark.parametrize("count", [8, 15, 30])
def test_all_pairs_are_those_that_a_search_over_all_pairs_takes(count):
    generator = np.random.default_rng(count)
    features, labels = generator.normal(size=(60, 5)), generator.integers(0, 3, 60)
    norm = features / np.linalg.norm(features, axis=1, keepdims=True)
    every = sorted(
        (1 - norm[i] @ norm[j], i, j) for i, j in itertools.combinations(range(60), 2) if labels[i] != labels[j]
    )
    taken: list[tuple[int, int]] = []
    for _, i, j in every:
        if len(taken) < count and not {i, j} & {each for pair in taken for each in pair}:
            taken.append((i, j))
    assert [(pair.first, pair.second) for pair in look_alikes(features, labels, count)] == taken


def test_one_group_unknown_labels_and_identical_pictures_are_no_pairs():
    features = angle(0, 1, 20, 20, 50)
    labels = [0, 1, 1, 0, -1]
    pairs = look_alikes(features, labels, 5, groups=["a", "a", "b", "c", "d"])
    assert [(pair.first, pair.second) for pair in pairs] == [(1, 3), (0, 2)]
    assert look_alikes(features, [0, 0, 0, 0, 0]) == []


@pytest.mark.parametrize("features", [np.zeros(3), np.full((2, 2), np.nan)])
def test_features_must_be_a_finite_table(features):
    with pytest.raises(ValueError, match=r"finite \(N, D\)"):
        look_alikes(features, [0, 1])


def test_the_figure_has_a_column_per_pair_with_class_names():
    display = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 3, 5, 5) * 60
    figure = look_alikes_figure(display, [Pair(0, 3, 0.01), Pair(1, 2, 0.25)], [0, 1, 1, 0], ("nv", "mel"))
    assert [axes.get_xlabel() for axes in figure.axes] == ["nv", "mel", "mel", "nv"]
    assert [axes.get_title() for axes in figure.axes] == ["cosine distance 0.01", "", "cosine distance 0.25", ""]
    boxes = [axes.get_position() for axes in figure.axes]
    assert boxes[0].x0 == boxes[1].x0 < boxes[2].x0
    assert boxes[0].y0 > boxes[1].y0
    assert int(figure.axes[3].images[0].get_array()[0, 0, 0]) == 180
    with pytest.raises(ValueError, match="two for each"):
        look_alikes_figure(display, [Pair(0, 1, 0.1)], [0, 1, 1, 0], ("nv", "mel"))
