"""Synthetic sets: the manifest, the source text, determinism and errors."""

import pickle
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest

from danil.data.decoding import ImageError
from danil.data.manifest import DataError
from danil.data.synthetic import KINDS, SyntheticImages, read_synthetic, read_synthetic_source

CLASSES = {"dermoscopy": 4, "fundus": 5, "histology": 4}
PRINT_DIGESTS = """
import hashlib, danil.data.synthetic as s
for kind in s.KINDS:
    store = s.SyntheticImages(kind, images=12, side=32, seed=7)
    print(hashlib.sha256(store.read(store.path(4)).tobytes()).hexdigest())
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_has_every_class_about_equally_often_and_unassigned_parts(kind):
    manifest = read_synthetic(kind, images=400)
    counts = np.bincount(manifest.labels(), minlength=CLASSES[kind])
    assert len(manifest) == 400
    assert len(manifest.classes) == CLASSES[kind]
    assert counts.min() > 0.7 * 400 / CLASSES[kind]
    assert manifest.table["split"].isna().all()
    assert manifest.table["path"].is_unique
    assert list(manifest.table.columns) == ["path", manifest.task, "group", "split", "age", "sex", "site"]


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_images_as_classes_still_hold_every_class(kind):
    assert sorted(read_synthetic(kind, images=CLASSES[kind]).labels()) == list(range(CLASSES[kind]))


def test_a_group_is_one_patient_of_one_class_with_up_to_three_images():
    manifest = read_synthetic("fundus", images=300)
    groups = manifest.table.groupby("group")
    assert set(groups.size()) == {1, 2, 3}
    assert (groups[["grade", "age", "sex", "site"]].nunique() == 1).all(axis=None)
    assert manifest.grouped


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_does_not_depend_on_the_class(kind):
    table = read_synthetic(kind, images=2000).table
    task = read_synthetic(kind, images=10).task
    ages = table.groupby(task)["age"].mean()
    assert ages.max() - ages.min() < 4 * 16 * np.sqrt(2 / (2000 / 1.5 / len(ages)))


def test_a_larger_set_begins_with_the_smaller_one():
    small, large = read_synthetic("histology", images=20), read_synthetic("histology", images=60)
    assert large.table.head(20).equals(small.table)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_square_rgb_of_the_size_asked_for(kind):
    store = SyntheticImages(kind, images=10, side=48)
    image = store.read(store.path(3))
    assert (image.mode, image.size) == ("RGB", (48, 48))
    assert [mask.shape for mask in store.masks(store.path(3))] == [(48, 48), (48, 48)]
    assert store.size(store.path(3)) == 3 * 48 * 48


@pytest.mark.parametrize("kind", KINDS)
def test_images_do_not_depend_on_the_order_of_reading_or_on_pickling(kind):
    store = SyntheticImages(kind, images=6, side=32, seed=5)
    forward = [store.read(store.path(index)).tobytes() for index in range(6)]
    copy = pickle.loads(pickle.dumps(store))
    backward = [copy.read(copy.path(index)).tobytes() for index in reversed(range(6))]
    assert forward == backward[::-1]
    assert len(set(forward)) == 6


def test_images_are_the_same_in_another_process():
    command = [sys.executable, "-c", PRINT_DIGESTS]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    stores = [SyntheticImages(kind, images=12, side=32, seed=7) for kind in KINDS]
    assert printed == [sha256(store.read(store.path(4)).tobytes()).hexdigest() for store in stores]


def test_another_seed_gives_other_images_and_another_digest():
    first, second = (read_synthetic("dermoscopy", images=8, size=32, seed=seed) for seed in (0, 1))
    assert first.store.read(first.table["path"][0]) != second.store.read(second.table["path"][0])
    assert first.digest() != second.digest()


@pytest.mark.parametrize("change", [{"difficulty": 0.2}, {"confounding": 0.5}, {"size": 64}])
def test_whatever_changes_the_pixels_changes_the_digest(change):
    assert read_synthetic("fundus", images=10, **change).digest() != read_synthetic("fundus", images=10).digest()


@pytest.mark.parametrize(
    "text",
    [
        "synthetic:dermoscopy",
        "synthetic:fundus?images=12",
        "synthetic:histology?images=9&size=64&difficulty=0.0&seed=3&confounding=0.25",
    ],
)
def test_a_source_can_be_typed_again(text):
    manifest = read_synthetic_source(text)
    assert manifest.source == text
    assert read_synthetic_source(manifest.source).digest() == manifest.digest()


def test_the_prefix_may_be_missing_and_defaults_are_not_written():
    assert read_synthetic_source("fundus?images=12&difficulty=0.5").source == "synthetic:fundus?images=12"
    whole = read_synthetic("fundus", images=12, difficulty=0)
    assert whole.source == "synthetic:fundus?images=12&difficulty=0.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("synthetic:dermoscpy", "Did you mean `dermoscopy`"),
        ("synthetic:", r"`kind` is ''; there are dermoscopy, fundus, histology\.$"),
        ("synthetic:fundus?image=30", "Did you mean `images`"),
        ("synthetic:fundus?x=30", r"option `x`; there are images, size, difficulty, seed, confounding\.$"),
        ("synthetic:fundus?images=many", "images='many'; write a whole number"),
        ("synthetic:fundus?images=4", "`images` is 4; it must be at least 5"),
        ("synthetic:fundus?size=16", "`size` is 16; it must be 32 to 1024"),
        ("synthetic:fundus?difficulty=1.1", r"`difficulty` is 1.1; it must be in \[0, 1\]"),
        ("synthetic:fundus?difficulty=nan", "`difficulty` is nan"),
        ("synthetic:fundus?confounding=-1", r"`confounding` is -1.0; it must be in \[0, 1\]"),
        ("synthetic:fundus?seed=-1", "`seed` is -1"),
    ],
)
def test_what_cannot_be_drawn_is_named_with_what_was_needed(text, said):
    with pytest.raises(DataError, match=said):
        read_synthetic_source(text)


@pytest.mark.parametrize("path", ["fundus/000010.png", "fundus/3.png", "dermoscopy/000003.png", "fundus/00000x.png"])
def test_a_path_of_another_set_is_no_image(path):
    store = SyntheticImages("fundus", images=10)
    assert store.size(path) == -1
    with pytest.raises(ImageError, match="is not one of the 10 synthetic images"):
        store.read(path)
