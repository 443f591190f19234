"""The audit finds what was planted, and only that."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from danil.data import DataError, assign_splits, audit_data, read_source, write_audit, write_split
from danil.data.audit_columns import column_records
from danil.data.audit_findings import class_findings
from danil.data.audit_split import Classes, group_overlap, random_split
from danil.data.fake_dicom import write_dicom_file
from danil.data.files import FileImages
from danil.data.manifest import assembled
from data.pictures import TWINS, texture


def cohort(labels, **columns):
    """Return a manifest of these labels without images."""
    table = pd.DataFrame({"path": [f"{place}.png" for place in range(len(labels))], "label": list(labels)} | columns)
    classes = sorted(table["label"].dropna().unique())
    return assembled(table, {"label": classes}, store=FileImages(Path("nowhere")), source="test:cohort")


@pytest.fixture
def planted(tmp_path):
    """A table of 24 textures with one of each fault: train 0–15, test 16–23."""
    for place in range(24):
        texture(place).save(tmp_path / f"{place}.png")
    texture(1).save(tmp_path / "2.png")  # identical, other label
    TWINS["halved"](texture(4)).save(tmp_path / "20.png")  # near-identical, across the split
    (tmp_path / "6.png").write_bytes((tmp_path / "6.png").read_bytes()[:500])
    (tmp_path / "8.png").write_bytes(b"")
    Image.new("RGB", (30, 20)).save(tmp_path / "10.png")
    rows = [
        f"{place}.png,{'xy'[place % 2]},p{min(place, 22)},{'train' if place < 16 else 'test'},{'lr'[place % 2]}"
        for place in range(23)
    ]
    rows.append("23.png,y,p0,test,r")  # a group on both sides
    file = tmp_path / "cohort.csv"
    file.write_text("path,label,patient,split,side\n" + "\n".join(rows) + "\n")
    return file


def test_every_planted_fault_is_found_and_nothing_else(planted):
    found = audit_data(read_source(str(planted)))
    assert [fault.path for fault in found.image_files.unreadable] == ["6.png", "8.png"]
    assert "truncated" in found.image_files.unreadable[0].reason
    assert "empty" in found.image_files.unreadable[1].reason
    assert found.image_files.uniform == ["10.png"]
    assert found.image_files.sizes == {"96x96": 20, "30x20": 1, "48x48": 1}
    assert found.image_files.formats == {"PNG": 22}
    assert [(one.paths, one.conflicting, one.across_split) for one in found.exact_duplicates.sets] == [
        (["1.png", "2.png"], True, False)
    ]
    assert [(one.paths, one.conflicting, one.across_split) for one in found.near_duplicates.sets] == [
        (["4.png", "20.png"], False, True)
    ]
    assert found.group_overlap.examples == {"p0": {"train": 1, "test": 1}}
    assert found.columns["side"].balanced_accuracy == 1
    told = Counter((finding.check, finding.severity) for finding in found.findings)
    assert told == {
        ("unreadable", "error"): 1,
        ("uniform", "warning"): 1,
        ("exact_duplicates", "error"): 1,
        ("exact_duplicates", "warning"): 2,
        ("near_duplicates", "error"): 1,
        ("near_duplicates", "warning"): 2,
        ("group_overlap", "error"): 1,
        ("columns", "warning"): 1,
    }
    assert (found.errors, found.warnings) == (4, 6)


def test_a_clean_set_has_no_error_and_no_warning(tmp_path):
    for place in range(24):
        (tmp_path / "ab"[place % 2]).mkdir(exist_ok=True)
        texture(place).save(tmp_path / "ab"[place % 2] / f"{place}.png")
    found = audit_data(read_source(str(tmp_path)))
    assert (found.errors, found.warnings) == (0, 0)
    assert [finding.check for finding in found.findings] == ["group_overlap"]


def test_the_json_has_the_documented_keys_and_is_strict(planted, tmp_path):
    found = audit_data(read_source(str(planted)))
    document = json.loads(write_audit(tmp_path / "audit.json", found).read_text())
    assert {"groups", "files", "conflicting"} <= set(document["exact_duplicates"])
    assert {"groups", "files", "conflicting", "pairs"} <= set(document["near_duplicates"])
    assert {"groups", "shared_images", "test_images", "share"} <= set(document["group_overlap"])
    assert document["exact_duplicates"]["sets"][0]["labels"] == {"label": ["y", "x"]}
    alone = audit_data(read_source(str(planted)), metadata_only=True)
    assert set(json.loads(write_audit(tmp_path / "less.json", alone).read_text())) == set(document)
    assert alone.exact_duplicates is None


def test_metadata_are_audited_where_images_are_missing(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("image_id,dx,lesion_id\n" + "".join(f"i{n},{'ab'[n % 2]},l{n // 2}\n" for n in range(40)))
    with pytest.raises(DataError, match="do not exist"):
        read_source(str(file))
    found = audit_data(read_source(str(file), pixels=False), metadata_only=True)
    assert (found.images, found.grouped, found.random_split is not None) == (40, True, True)
    with pytest.raises(DataError, match="`missing` is `drop`"):
        read_source(f"csv:{file}?missing=drop")


def test_a_split_file_takes_the_place_of_the_sets_own_parts(planted, tmp_path):
    manifest = read_source(str(planted))
    parts = pd.Series(["train"] * 12 + ["test"] * 12)
    other = assembled(
        manifest.table.assign(split=parts), manifest.tasks, store=manifest.store, source=manifest.source, root=tmp_path
    )
    write_split(tmp_path / "split.csv", other)
    found = audit_data(manifest, tmp_path / "split.csv", metadata_only=True)
    assert (found.split.origin, found.split.parts) == ("file", {"train": 12, "test": 12})
    assert audit_data(manifest, metadata_only=True).split.parts == {"train": 16, "test": 8}
    with pytest.raises(DataError, match="lacks 12 images"):
        audit_data(cohort("ab" * 18), tmp_path / "split.csv", metadata_only=True)


def test_classes_that_a_part_lacks_are_named(tmp_path):
    manifest = cohort("a" * 20 + "b" * 20 + "c" * 12, split=["train"] * 20 + ["test"] * 32)
    found = audit_data(manifest, metadata_only=True)
    assert found.split.missing_classes == {"train": ["b", "c"], "test": ["a"]}
    assert [f.severity for f in found.findings if f.check == "missing_classes"] == ["error", "warning"]


def test_tiny_and_uneven_classes_are_told():
    found = audit_data(cohort("a" * 100 + "b" * 9), metadata_only=True)
    assert found.classes.imbalance == pytest.approx(100 / 9)
    told = [finding.severity for finding in found.findings if finding.check == "class_counts"]
    assert told == ["warning", "note"]


def test_a_class_of_one_image_is_an_error_as_it_is_for_training():
    manifest = cohort("a" * 100 + "b" * 20 + "c")
    found = audit_data(manifest, metadata_only=True)
    told = [(finding.severity, finding.sentence) for finding in found.findings if finding.check == "class_counts"]
    assert told[0] == ("error", "One image only of 1 class (`c`).")
    assert [severity for severity, _ in told] == ["error", "note"]
    with pytest.raises(DataError, match="one image only of 1 class"):
        assign_splits(manifest)


def test_class_names_that_differ_only_in_letter_case_are_found():
    held = Classes("dx", {"Mel": 20, "mel": 30, "nv": 40}, 2.0, 0)
    (found,) = class_findings(held)
    assert (found.check, found.severity) == ("class_names", "warning")
    assert found.sentence == "2 classes (`Mel`, `mel`) differ only in letter case or in how a number is written."


def test_overlap_counts_test_images_whose_group_is_elsewhere():
    # Test images: u (also in train), v (also in validation), w, w: two of four have a sibling.
    groups = ["u", "u", "v", "v", "w", "w", "x"]
    parts = ["train", "test", "validation", "test", "test", "test", "train"]
    found = group_overlap(cohort("ababaab", group=groups, split=parts))
    assert (found.groups, found.test_images, found.shared_images, found.share) == (2, 4, 2, 0.5)
    assert list(found.examples) == ["u", "v"]
    assert group_overlap(cohort("abab", split=["train", "test"] * 2)).share is None


def test_a_random_splits_shared_images_have_the_hypergeometric_expectation():
    # A test image of a group of g has no sibling in training iff the other g − 1 are all among the other T − 1 tested.
    sizes = [1] * 300 + [2] * 150 + [4] * 100
    total = sum(sizes)
    tested = round(0.3 * total)
    alone = sum(g * math.comb(tested - 1, g - 1) / math.comb(total - 1, g - 1) for g in sizes) / total
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    found = random_split(cohort("ab" * (total // 2), group=groups))
    assert found.share == pytest.approx(1 - alone, abs=0.01)
    assert found.low < found.share < found.high
    assert random_split(cohort("ab" * 10, group=[f"{n}" for n in range(20)])) is None


def test_columns_are_measured_on_held_out_groups():
    draw = np.random.default_rng(0)
    labels = list("ab" * 400)
    manifest = cohort(
        labels,
        tells=["yes" if label == "a" else "no" for label in labels],
        half=["z" if label == "a" and place % 4 else "o" for place, label in enumerate(labels)],
        noise=list(draw.choice(list("uvw"), 800)),
        number=[str(draw.normal(loc=10 * (label == "a"))) for label in labels],
        random=[str(value) for value in draw.normal(size=800)],
        name=[f"case-{value}" for value in range(800)],
        constant=["k"] * 800,
    )
    found = column_records(manifest, {})
    assert set(found) == {"tells", "half", "noise", "number", "random", "name"}
    assert found["name"].kind == "identifier"
    assert found["tells"].explained > 0.95
    assert found["tells"].pure == {"no": "b", "yes": "a"}
    assert found["number"].kind == "number"
    assert found["number"].balanced_accuracy > 0.99
    # `z` is said of half of all `a` (those at 2 of 4 places): recall of a 1/2, of b 1.
    assert found["half"].balanced_accuracy == pytest.approx(0.75, abs=0.01)
    assert abs(found["noise"].advantage) < 0.1
    assert abs(found["random"].advantage) < 0.1
    assert next(iter(found)) == "tells"


def test_what_only_one_class_has_filled_tells_the_label():
    labels = list("ab" * 100)
    flags = ["yes" if label == "a" else None for label in labels]
    names = [f"H-{place}" if label == "a" else None for place, label in enumerate(labels)]
    found = column_records(cohort(labels, biopsy=flags, number=names, constant=["k"] * 200), {})
    assert set(found) == {"biopsy", "number"}
    assert found["biopsy"].balanced_accuracy == found["number"].balanced_accuracy == 1
    assert found["number"].kind == "identifier"


def test_columns_of_few_groups_are_measured_too():
    labels = list("ab" * 100)
    manifest = cohort(labels, group=[f"h{place // 50}" for place in range(200)], same=labels)
    assert column_records(manifest, {})["same"].balanced_accuracy == 1


def test_a_column_that_only_names_groups_tells_nothing():
    groups = [f"p{place // 4}" for place in range(400)]
    manifest = cohort(["ab"[place // 4 % 2] for place in range(400)], group=groups, ward=groups)
    assert column_records(manifest, {})["ward"].advantage < 0.1, "each ward is seen in one fold only"


def test_the_size_of_images_may_give_the_label_away(tmp_path):
    for place in range(20):
        (tmp_path / "ab"[place % 2]).mkdir(exist_ok=True)
        texture(place, 40 + 8 * (place % 2)).save(tmp_path / "ab"[place % 2] / f"{place}.png")
    found = audit_data(read_source(str(tmp_path)))
    assert found.columns["(image size)"].balanced_accuracy == 1
    assert "columns" in {finding.check for finding in found.findings}


def test_a_set_without_files_is_audited_too():
    found = audit_data(read_source("synthetic:histology?images=12&size=48"))
    assert found.image_files.sizes == {"48x48": 12}
    assert found.exact_duplicates.groups == found.near_duplicates.groups == 0


def test_aptos_has_its_known_sets_of_identical_images(shared):
    source = shared / "data" / "aptos2019"
    known = pd.read_csv(source / "duplicate_groups.csv", dtype=str)
    manifest = read_source(f"aptos2019:{source}")
    manifest = manifest.take(np.flatnonzero(manifest.table["path"].str[13:-4].isin(known["id_code"]).to_numpy()))
    found = audit_data(manifest).exact_duplicates
    expected = {frozenset(rows) for _, rows in known.groupby("group")["id_code"]}
    assert {frozenset(path[13:-4] for path in one.paths) for one in found.sets} == expected
    assert (found.groups, found.conflicting) == (123, 30)


@pytest.mark.slow
def test_idrid_has_its_known_pairs_one_across_the_split(shared):
    found = audit_data(read_source(f"idrid:{shared / 'data' / 'idrid'}")).exact_duplicates
    assert (found.groups, found.across_split) == (6, 1)
    across = next(one for one in found.sets if one.across_split)
    assert across.paths == ["train/IDRiD_118.jpg", "test/IDRiD_064.jpg"]
    assert across.conflicting


@pytest.mark.slow
def test_a_random_split_of_ham10000_shares_lesions_with_a_third_of_the_test_images(shared):
    table = shared / "data" / "ham10000" / "HAM10000_metadata_full.csv"
    found = audit_data(read_source(str(table), pixels=False), metadata_only=True)
    assert found.images == 10_015
    assert 0.34 <= found.random_split.share <= 0.36
    assert found.columns["dx_type"].pure == {"confocal": "bkl", "follow_up": "nv"}
    assert next(iter(found.columns)) == "dx_type"


def test_dicom_files_of_a_table_are_audited_as_they_are_read(tmp_path):
    rows = []
    for place in range(6):
        pixels = np.random.default_rng(place).integers(0, 4000, (24, 24), dtype=np.uint16)
        write_dicom_file(tmp_path / f"{place}.dcm", pixels, {"SOPInstanceUID": f"1.2.{place + 1}"})
        rows.append(f"{place}.dcm,{'ab'[place % 2]}\n")
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(rows))
    assert not audit_data(read_source(f"csv:{tmp_path / 't.csv'}?group=none")).image_files.unreadable
