"""A folder per class, with or without parts above."""

import pytest
from PIL import Image

from danil.data import DataError, read_source


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)
    return str(folder)


def test_classes_are_folders_in_natural_order(tmp_path):
    manifest = read_source(fill(tmp_path, "stage10/a.png", "stage2/b.png", "stage1/deep/er/c.png"))
    assert manifest.classes == ("stage1", "stage2", "stage10")
    assert dict(zip(manifest.table["path"], manifest.table["label"], strict=True)) == {
        "stage1/deep/er/c.png": "stage1",
        "stage10/a.png": "stage10",
        "stage2/b.png": "stage2",
    }
    assert manifest.table["split"].isna().all()
    assert not manifest.grouped


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "valid", "Testing"), ("TRAIN", "dev", "TEST")]
)
def test_parts_above_the_classes_become_the_split(tmp_path, names):
    manifest = read_source(fill(tmp_path, *(f"{part}/{label}/{part}.png" for part in names for label in "AB")))
    assert manifest.classes == ("A", "B")
    found = {
        path.split("/")[0]: split for path, split in zip(manifest.table["path"], manifest.table["split"], strict=True)
    }
    assert found == dict(zip(names, ("train", "validation", "test"), strict=True))


def test_a_class_may_be_called_test(tmp_path):
    manifest = read_source(fill(tmp_path, "test/a.png", "control/b.png"))
    assert manifest.classes == ("control", "test")


def test_parts_and_other_folders_side_by_side_are_refused(tmp_path):
    with pytest.raises(DataError, match="side by side"):
        read_source(fill(tmp_path, "train/A/a.png", "test/A/b.png", "extra/c.png"))


def test_groups_come_from_a_pattern(tmp_path):
    source = fill(tmp_path, "A/P1_1.png", "A/P1_2.png", "B/P2_1.png")
    manifest = read_source(source + "?group=(P[0-9])_")
    assert manifest.table["group"].tolist() == ["P1", "P1", "P2"]
    assert manifest.grouped
    with pytest.raises(DataError, match="does not match 1 path"):
        read_source(source + "?group=P1")
    with pytest.raises(DataError, match="no regular expression"):
        read_source(source + "?group=(")


@pytest.mark.parametrize("text", ["7", "17", "12.0", "x", "", "-8", "９"])
def test_a_depth_is_a_number_of_bits(tmp_path, text):
    fill(tmp_path, "a/1.png", "b/2.png")
    with pytest.raises(DataError, match=r"`depth` is .*from 8 to 16"):
        read_source(f"folder:{tmp_path}?depth={text}")
    assert read_source(f"folder:{tmp_path}?depth=12").store.depth == 12


def test_empty_class_folders_are_named_in_a_warning(tmp_path):
    source = fill(tmp_path, "A/a.png", "B/b.png")
    (tmp_path / "C").mkdir()
    with pytest.warns(UserWarning, match="`C`"):
        assert read_source(source).classes == ("A", "B")


def test_images_outside_class_folders_are_counted_in_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="1 images outside"):
        assert len(read_source(fill(tmp_path, "A/a.png", "B/b.png", "loose.png"))) == 2


def test_a_folder_without_class_folders_is_refused_unless_labels_are_not_needed(tmp_path):
    source = fill(tmp_path, "a.png", "b.png")
    with pytest.raises(DataError, match="no class folders"):
        read_source(source)
    manifest = read_source(source, labelled=False)
    assert manifest.labels().tolist() == [-1, -1]
    assert manifest.classes == ()


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match="holds no images"):
        read_source(str(tmp_path))
