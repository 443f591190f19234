"""`danil audit` from the outside: exit codes, files, messages."""

import json

import pytest
from PIL import Image

from data.pictures import texture


def pictures(folder, count=12):
    """Write textures, class per folder."""
    for place in range(count):
        (folder / "ab"[place % 2]).mkdir(parents=True, exist_ok=True)
        texture(place).save(folder / "ab"[place % 2] / f"{place}.png")
    return folder


def table(path, parts):
    """Write a table without images whose groups have two rows each, and return its path."""
    rows = [f"i{place},{'ab'[place // 2 % 2]},g{place // 2},{part}" for place, part in enumerate(parts)]
    path.write_text("image,label,patient,split\n" + "\n".join(rows) + "\n")
    return path


def test_a_clean_set_ends_with_exit_code_0(danil, tmp_path):
    answer = danil("audit", pictures(tmp_path / "data", 24))
    assert answer.code == 0, answer.err
    assert "0 errors, 0 warnings" in answer.out


def test_an_error_ends_with_exit_code_1_and_both_files_are_written(danil, tmp_path):
    data = pictures(tmp_path / "data")
    Image.open(data / "a" / "0.png").save(data / "b" / "copy.png")
    answer = danil("audit", data, "--json", tmp_path / "a.json", "--out", tmp_path / "a.html")
    assert answer.code == 1
    assert "a/0.png" in answer.out
    assert json.loads((tmp_path / "a.json").read_text())["exact_duplicates"]["conflicting"] == 1
    assert "different labels (label)" in (tmp_path / "a.html").read_text()


def test_metadata_alone_are_audited_without_images(danil, tmp_path):
    divided = table(tmp_path / "t.csv", ["train", "test"] * 12)
    assert danil("audit", divided).code == 2
    answer = danil("audit", divided, "--metadata-only", "--json", tmp_path / "a.json")
    assert answer.code == 1
    assert json.loads((tmp_path / "a.json").read_text())["group_overlap"]["share"] == 1.0
    kept = danil("audit", table(tmp_path / "k.csv", ["train"] * 16 + ["test"] * 8), "--metadata-only")
    assert kept.code == 0, kept.out


def test_the_split_that_split_wrote_is_audited(danil, tmp_path):
    data = pictures(tmp_path / "data")
    assert danil("split", data, "--validation", 0, "--test", 0.5, "--out", tmp_path / "s.csv").code == 0
    answer = danil("audit", data, "--split", tmp_path / "s.csv", "--json", tmp_path / "a.json")
    assert answer.code == 0, answer.out
    assert json.loads((tmp_path / "a.json").read_text())["split"]["parts"] == {"train": 6, "test": 6}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: ["nowhere"], ["nowhere", "does not exist"]),
        (lambda f: [pictures(f / "d"), "--split", f / "gone.csv"], ["gone.csv", "danil split"]),
        (lambda f: [pictures(f / "d"), "--split", other_split(f)], ["s.csv", "lacks 12 images"]),
        (lambda f: [f"csv:{table(f / 't.csv', ['train'])}?group=ward", "--metadata-only"], ["ward", "patient"]),
        (lambda f: [f"csv:{table(f / 't.csv', ['train'])}?label=dx", "--metadata-only"], ["`dx`", "label"]),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(danil, tmp_path, make, words):
    answer = danil("audit", *make(tmp_path), "--json", tmp_path / "a.json", "--out", tmp_path / "a.html")
    assert answer.code == 2, answer
    assert all(word in answer.err for word in words), answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "a.json").exists()
    assert not (tmp_path / "a.html").exists()


def other_split(folder):
    """Return the split file of other images."""
    file = folder / "s.csv"
    file.write_text("# danil split, digest 0\npath,split\nx.png,train\ny.png,test\n")
    return file
