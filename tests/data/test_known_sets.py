"""The published data sets: their layouts, their gaps, and their real counts."""

import numpy as np
import pytest

from danil.data import DataError, ImageError, read_source, unreadable
from danil.data.fake import write_fake


def counts(manifest, task=None):
    return manifest.table[task or manifest.task].value_counts().to_dict()


def test_ham10000_groups_by_lesion_and_keeps_metadata(tmp_path):
    manifest = read_source(str(write_fake("ham10000", tmp_path)))
    assert manifest.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert manifest.table["group"].value_counts().eq(2).all()
    assert {"dx_type", "sex", "localization", "age"} <= set(manifest.table.columns)
    assert manifest.table["age"].between(20, 80).all()


def test_ham10000_localization_is_a_task_when_asked_with_unknown_as_missing(tmp_path):
    path = write_fake("ham10000", tmp_path)
    manifest = read_source(f"ham10000:{path}?tasks=dx,localization")
    assert list(manifest.tasks) == ["dx", "localization"]
    assert manifest.tasks["localization"] == ("back", "scalp")
    assert (manifest.labels("localization") == -1).sum() == 8, "every third lesion, two images each"
    with pytest.raises(DataError, match="`tasks` is `dx,sex`"):
        read_source(f"ham10000:{path}?tasks=dx,sex")


def test_ham10000_names_missing_images_skips_or_keeps_them(tmp_path):
    path = write_fake("ham10000", tmp_path)
    for number in (0, 23):
        next(path.rglob(f"ISIC_{number:07d}.jpg")).unlink()
    with pytest.raises(DataError, match=r"2 images \(`ISIC_0000000`, `ISIC_0000023`\)"):
        read_source(str(path))
    assert len(read_source(f"ham10000:{path}?missing=skip")) == 22
    kept = read_source(f"ham10000:{path}?missing=keep")
    assert len(kept) == 24
    assert kept.store.size("ISIC_0000000.jpg") == -1
    with pytest.raises(DataError, match="`missing` is `ignore`"):
        read_source(f"ham10000:{path}?missing=ignore")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("akiec", "acne", "1 value (`acne`)"),
        ("lesion_id", "lesion", "no column `lesion_id`"),
        (",akiec,", ",,", "`dx` is empty in"),
        ("HAM_0000000,", ",", "`lesion_id` is empty in 2 rows"),
    ],
)
def test_ham10000_refuses_a_spoiled_metadata_table(tmp_path, before, after, words):
    path = write_fake("ham10000", tmp_path)
    table = path / "HAM10000_metadata.csv"
    table.write_text(table.read_text().replace(before, after))
    with pytest.raises(DataError) as caught:
        read_source(str(path))
    assert words in str(caught.value)


def test_ham10000_metadata_may_have_the_name_of_the_newer_archive(tmp_path):
    path = write_fake("ham10000", tmp_path)
    (path / "HAM10000_metadata.csv").rename(path / "HAM10000_metadata")
    assert len(read_source(str(path))) == 24
    (path / "HAM10000_metadata").unlink()
    with pytest.raises(DataError, match=r"has no `HAM10000_metadata\.csv`"):
        read_source(f"ham10000:{path}")
    with pytest.raises(DataError, match="not a folder"):
        read_source(f"ham10000:{path / 'gone'}")


def test_aptos2019_has_five_ordered_grades_and_no_known_patients(tmp_path):
    path = write_fake("aptos2019", tmp_path)
    manifest = read_source(str(path))
    assert manifest.classes == ("0", "1", "2", "3", "4")
    assert not manifest.grouped
    first = manifest.table["path"][0]
    (path / first).unlink()
    with pytest.raises(DataError, match="lacks 1 image"):
        read_source(str(path))
    (path / "train.csv").unlink()
    with pytest.raises(DataError, match=r"needs `train\.csv`"):
        read_source(f"aptos2019:{path}")


def test_idrid_has_two_tasks_and_its_official_parts(tmp_path):
    path = write_fake("idrid", tmp_path)
    manifest = read_source(str(path))
    assert dict(manifest.tasks) == {"DR": ("0", "1", "2", "3", "4"), "DME": ("0", "1", "2")}
    assert manifest.table["split"].value_counts().to_dict() == {"train": 18, "test": 6}
    assert list(read_source(f"idrid:{path}?task=DME").tasks) == ["DME"]
    with pytest.raises(DataError, match="`task` is `AMD`"):
        read_source(f"idrid:{path}?task=AMD")


def test_idrid_takes_each_parts_own_image_though_names_repeat(tmp_path):
    table = read_source(str(write_fake("idrid", tmp_path))).table
    assert table["path"].str.contains("Training").eq(table["split"] == "train").all()
    assert table["path"].str.endswith("IDRiD_001.jpg").sum() == 2


def test_idrid_names_missing_tables_and_images(tmp_path):
    path = write_fake("idrid", tmp_path)
    next(path.rglob("b. Testing Set/IDRiD_002.jpg")).unlink()
    with pytest.raises(DataError, match=r"lacks 1 image \(`IDRiD_002`\) of its test table"):
        read_source(str(path))
    next(path.rglob("a. IDRiD*.csv")).unlink()
    with pytest.raises(DataError, match="Training Labels"):
        read_source(f"idrid:{path}")


@pytest.mark.parametrize("reader", ["ham10000", "aptos2019", "idrid"])
def test_a_mask_named_like_its_photograph_is_never_taken_for_it(tmp_path, reader):
    path = write_fake(reader, tmp_path)
    before = read_source(str(path)).table["path"].tolist()
    photograph = path / before[0]
    mask = path / ("train_images/masks" if reader == "aptos2019" else "z masks train") / f"{photograph.stem}.png"
    mask.parent.mkdir()
    mask.write_bytes(photograph.read_bytes())
    assert read_source(str(path)).table["path"].tolist() == before
    aside = mask.parent.with_name("aside train")
    aside.mkdir()
    photograph.rename(aside / photograph.name)
    with pytest.raises(DataError, match=rf"several images of one name: 2 files \(.*{photograph.name}.*{mask.name}"):
        read_source(f"{reader}:{path}")


def test_crc_msi_groups_by_patient_within_the_official_parts(tmp_path):
    path = write_fake("crc_msi", tmp_path)
    manifest = read_source(str(path))
    assert manifest.classes == ("MSIMUT", "MSS")
    assert manifest.table["split"].value_counts().to_dict() == {"train": 12, "test": 12}
    assert manifest.table["group"].str.fullmatch(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}").all()
    assert manifest.table["group"].value_counts().eq(3).all()
    tile = path / manifest.table["path"][0]
    tile.rename(tile.with_name("blk-NOBARCODE.png"))
    with pytest.raises(DataError, match="without a TCGA barcode"):
        read_source(str(path))


def test_crc_msi_names_the_folder_that_is_missing(tmp_path):
    (tmp_path / "CRC_DX_TRAIN" / "MSS").mkdir(parents=True)
    with pytest.raises(DataError, match="MSIMUT"):
        read_source(str(tmp_path))


def arrays(images=4, shape=(28, 28, 3), labels=1):
    made = {}
    for part in ("train", "val", "test"):
        made[f"{part}_images"] = np.random.default_rng(0).integers(0, 256, (images, *shape), dtype=np.uint8)
        made[f"{part}_labels"] = np.arange(images * labels, dtype=np.uint8).reshape(images, labels) % 2
    return made


def test_medmnist_pixels_are_the_arrays_and_survive_pickling(tmp_path):
    import pickle

    made = arrays(shape=(28, 28))
    np.savez(tmp_path / "x.npz", **made)
    manifest = read_source(str(tmp_path / "x.npz"))
    assert manifest.table["split"].tolist() == ["train"] * 4 + ["validation"] * 4 + ["test"] * 4
    store = pickle.loads(pickle.dumps(manifest.store))
    grey = np.asarray(store.read("val/2"))
    np.testing.assert_array_equal(grey, np.repeat(made["val_images"][2][..., None], 3, 2))
    for path in ("val/9", "val/-1", "val/x", "other/0"):
        with pytest.raises(ImageError, match="is not in"):
            store.read(path)


def test_medmnist_labels_of_several_columns_are_several_tasks(tmp_path):
    np.savez(tmp_path / "chest.npz", **arrays(labels=3))
    assert list(read_source(str(tmp_path / "chest.npz")).tasks) == ["label_0", "label_1", "label_2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test_labels": None}, "lacks `test_images` or `test_labels`"),
        ({"train_images": np.zeros((4, 28, 28, 28), np.uint8)}, "Volumes"),
        ({"train_images": np.zeros((4, 28, 28), np.float32)}, "float32"),
        ({"val_labels": np.zeros((3, 1), np.uint8)}, "for 4 images"),
        ({"val_labels": np.array([["a"]] * 4, dtype=object)}, "plain arrays"),
    ],
)
def test_medmnist_refuses_what_is_no_labelled_image_set(tmp_path, change, words):
    made = {name: array for name, array in {**arrays(), **change}.items() if array is not None}
    np.savez(tmp_path / "x.npz", **made)
    with pytest.raises(DataError, match=words):
        read_source(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("content", [b"", b"PK\3\4 broken", b"hello"])
def test_medmnist_refuses_a_damaged_file(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz"):
        read_source(str(tmp_path / "x.npz"))


def test_real_ham10000_has_its_published_counts(shared):
    manifest = read_source(str(shared / "data" / "ham10000"))
    assert counts(manifest) == {"nv": 4323, "bkl": 583, "mel": 491, "bcc": 264, "akiec": 183, "vasc": 80, "df": 60}
    assert manifest.table["group"].nunique() == 5984
    full = read_source(f"{manifest.source}?metadata=HAM10000_metadata_full.csv&missing=keep&tasks=dx,localization")
    assert (len(full), full.table["group"].nunique(), len(full.tasks["localization"])) == (10015, 7470, 14)


def test_real_aptos2019_has_its_published_counts(shared):
    manifest = read_source(str(shared / "data" / "aptos2019"))
    assert counts(manifest) == {"0": 1805, "1": 370, "2": 999, "3": 193, "4": 295}


def test_real_idrid_has_its_published_counts(shared):
    manifest = read_source(str(shared / "data" / "idrid"))
    assert manifest.source.startswith("idrid:")
    assert manifest.table["split"].value_counts().to_dict() == {"train": 413, "test": 103}
    assert not unreadable(manifest.take(range(20)))


def test_real_tiles_are_read_as_a_folder_with_its_own_parts(shared):
    manifest = read_source(str(shared / "data" / "crc_tiles"))
    assert manifest.source.startswith("folder:")
    assert manifest.table.groupby(["split", "label"]).size().to_dict() == {
        ("test", "AC"): 300,
        ("test", "H"): 300,
        ("train", "AC"): 1000,
        ("train", "H"): 1000,
    }
