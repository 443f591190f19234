"""Images are found, checked and decoded in one pass before training."""

from collections import Counter

import numpy as np
import pytest

from danil.data import files
from danil.data.fake import write_fake
from danil.data.files import UnreadableImages
from danil.runs import RunError
from danil.training import train_run
from danil.training.preparation import prepared_images


@pytest.fixture
def source(tmp_path) -> str:
    """A data set in files."""
    return str(write_fake("folder", tmp_path / "data"))


@pytest.fixture
def opened(monkeypatch) -> Counter[str]:
    """How often each image has been opened."""
    counts: Counter[str] = Counter()
    original = files.read_image

    def counting(source, title=None, shorter=None, depth=None):
        counts[str(title)] += 1
        return original(source, title, shorter, depth)

    monkeypatch.setattr(files, "read_image", counting)
    return counts


def test_a_run_opens_every_image_once(tiny, tmp_path, source, opened):
    settings = (f"data.source='{source}'", "split.validation=0.2", "train.epochs=1")
    folder = train_run(tiny(*settings), tmp_path / "run", quiet=True)
    rows = folder.manifest.read_text().splitlines()[1:]
    assert len(opened) == len(rows)
    assert set(opened.values()) == {1}


def spoil(prepared, *parts: str) -> set[str]:
    """Empty the first image of each part, and return their paths."""
    paths = [prepared.parts[part].paths[0] for part in parts]
    for path in paths:
        prepared.manifest.store.file(path).write_bytes(b"")
    return set(paths)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_bad_images_of_all_parts_are_listed_at_once(tiny, source, cache):
    recipe = tiny(f"data.source='{source}'", "split.validation=0.2", f"data.cache={cache}")
    bad = spoil(prepared_images(recipe), "train", "validation", "test")
    with pytest.raises(UnreadableImages) as caught:
        prepared_images(recipe)
    assert {error.path for error in caught.value.errors} == bad


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_bad_images_are_skipped_and_only_their_part_is_decoded_again(tiny, source, opened, cache):
    recipe = tiny(f"data.source='{source}'", f"data.cache={cache}")
    before = prepared_images(recipe)
    bad = spoil(before, "test")
    opened.clear()
    said = []
    after = prepared_images(recipe, skip_bad=True, notice=said.append)
    assert bad == set(before.manifest.table["path"]) - set(after.manifest.table["path"])
    assert len(after.parts["test"]) == len(before.parts["test"]) - 1
    assert after.parts["test"].batch(np.arange(1)).images.shape == (1, 3, 32, 32)
    assert bad.pop() in said[0]
    if cache == "memory":
        assert {opened[path] for path in after.parts["train"].paths} == {1}


def test_a_place_that_is_taken_is_refused_before_any_image_is_opened(tiny, tmp_path, source, opened):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="exists"):
        train_run(tiny(f"data.source='{source}'"), tmp_path / "run", quiet=True)
    assert not opened


def test_groups_on_both_sides_are_a_warning_at_training(tiny, tmp_path, caplog):
    settings = ("split.kind=random", "train.epochs=1", "train.max_steps=1")
    train_run(tiny(*settings), tmp_path / "run", quiet=True)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert any(
        "test images belong to a group (patient, lesion …) that also has images in training" in one for one in told
    )
    caplog.clear()
    train_run(tiny(*settings, "split.kind=grouped"), tmp_path / "other", quiet=True)
    assert not [record for record in caplog.records if "belong to a group" in record.message]
