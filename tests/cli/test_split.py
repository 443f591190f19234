"""`danil split` from the outside."""

import pytest

from danil.data import read_source, read_split


@pytest.fixture
def source(tmp_path):
    """A table of 48 images of two classes, two of each patient."""
    (tmp_path / "images").mkdir()
    rows = [f"images/{place}.png,{'ab'[place // 2 % 2]},p{place // 2}" for place in range(48)]
    for place in range(48):
        (tmp_path / "images" / f"{place}.png").write_bytes(b"not read")
    (tmp_path / "cohort.csv").write_text("path,label,patient\n" + "\n".join(rows) + "\n")
    return str(tmp_path / "cohort.csv")


def test_a_split_is_printed_with_shares_and_digest(danil, tmp_path, source):
    answer = danil("split", source, "--test", 0.3, "--validation", 0, "--out", tmp_path / "split.csv")
    assert answer.code == 0, answer.err
    assert "%)" in answer.out
    manifest = read_split(tmp_path / "split.csv", read_source(source))
    assert manifest.digest() in answer.out


def test_folds_are_files_that_each_can_be_trained_with(danil, tmp_path, source):
    answer = danil("split", source, "--folds", 3, "--validation", 0, "--out", tmp_path / "cv.csv")
    assert answer.code == 0, answer.err
    parts = [read_split(tmp_path / f"cv-fold{place}.csv", read_source(source)) for place in (1, 2, 3)]
    tested = sum((part.table["split"] == "test").astype(int) for part in parts)
    assert (tested == 1).all()
    assert all(part.digest() in answer.out for part in parts)
    assert not (tmp_path / "cv.csv").exists()


def test_what_cannot_be_kept_is_said(danil, tmp_path, source):
    answer = danil(
        "split", source, "--test", 0.3, "--tolerance", 0, "--out", tmp_path / "split.csv", "--kind", "grouped"
    )
    assert answer.code == 0
    assert "warning: " in answer.err
    assert "(tolerance 0 points)" in answer.err


def test_groups_on_both_sides_of_a_tables_own_split_are_a_warning(danil, tmp_path, source):
    table = tmp_path / "cohort.csv"
    first, *rows = table.read_text().splitlines()
    parts = [("train", ("test", "validation")[place // 4 % 2])[place % 2] for place in range(48)]
    table.write_text(
        "\n".join([f"{first},split", *(f"{row},{part}" for row, part in zip(rows, parts, strict=True))]) + "\n"
    )
    answer = danil("split", source, "--out", tmp_path / "split.csv")
    assert answer.code == 0, answer.err
    assert "warning: 12 of 12 test images belong to a group" in answer.err
    assert "warning: 12 of 12 validation images belong to a group" in answer.err
    assert "belong to a group" not in danil("split", source, "--kind", "grouped", "--out", tmp_path / "b.csv").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--folds", 3, "--test", 0.3], "--test"),
        (["--folds", 1], "`k` is 1"),
        (["--folds", 3, "--kind", "official"], "cannot be `official`"),
        (["--test", 1.5], "`test` is 1.5"),
        (["--seed", -1], "--seed"),
    ],
)
def test_a_split_that_cannot_be_writes_nothing(danil, tmp_path, source, words, told):
    answer = danil("split", source, *words, "--out", tmp_path / "out" / "split.csv")
    assert answer.code == 2
    assert told in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "out").exists()
