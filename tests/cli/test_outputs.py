"""Where results cannot be written is said in words, before the work."""

import pytest

from cli.tiny import TINY
from danil.cli.main import worded
from danil.data.writable import file_fault, folder_fault


@pytest.fixture
def place(tmp_path):
    """A folder with a file, a folder in it and nothing else."""
    (tmp_path / "file.txt").write_text("thesis")
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_what_can_be_written_has_no_fault_and_nothing_is_left(place):
    assert folder_fault(place / "new" / "deep") is None
    assert file_fault(place / "new" / "x.csv") is None
    assert file_fault(place / "file.txt") is None
    assert sorted(path.name for path in place.rglob("*")) == ["file.txt", "folder"]


def test_what_cannot_be_written_is_said(place):
    (place / "link").symlink_to(place / "nowhere")
    assert folder_fault(place / "file.txt" / "x") == f"`{place / 'file.txt'}` is a file, not a folder"
    assert folder_fault(place / "link" / "x") == f"`{place / 'link'}` is a file, not a folder"
    assert file_fault(place / "folder") == f"`{place / 'folder'}` is a folder; name a file in it"
    assert "nothing can be written into `/proc` (" in folder_fault(place.__class__("/proc/x/run"))


@pytest.mark.parametrize("flag", [(), ("--resume",), ("--overwrite",)])
def test_a_run_is_not_made_where_a_file_is(danil, place, flag):
    for out in (place / "file.txt", place / "file.txt" / "run"):
        answer = danil("train", "synthetic:dermoscopy?images=60&size=32", *TINY, "--out", out, *flag)
        assert answer.code == 2
        assert f"`{place / 'file.txt'}` is a file, not a folder. Choose another `--out`." in answer.err
        assert "Errno" not in answer.err
    assert (place / "file.txt").read_text() == "thesis"


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "DATA", "--json", "folder"),
        ("audit", "DATA", "--out", "file.txt/x.html"),
        ("compare", "a", "b", "--json", "folder"),
        ("compare", "a", "b", "--out", "folder"),
        ("predict", "a", "b.png", "--out", "folder"),
        ("split", "DATA", "--out", "folder"),
        ("table", "results", "--html", "folder"),
        ("explain", "a", "--out", "file.txt"),
        ("evaluate", "a", "--data", "DATA", "--out", "file.txt"),
        ("demo", "--out", "file.txt"),
    ],
)
def test_every_output_is_asked_for_before_the_work(danil, place, monkeypatch, words):
    monkeypatch.chdir(place)
    answer = danil(*(word.replace("DATA", "synthetic:dermoscopy?images=60&size=32") for word in words))
    assert answer.code == 2
    said = " ".join(answer.err.replace("│", " ").split())
    assert "is a folder; name a file" in said or "is a file, not a folder" in said
    assert words[-2] in said
    assert "Errno" not in said
    assert sorted(path.name for path in place.rglob("*")) == ["file.txt", "folder"]


def test_an_error_of_the_system_is_told_without_its_number():
    assert worded(NotADirectoryError(20, "Not a directory", "a/x")) == "`a/x`: Not a directory."
    assert worded(OSError(28, "could not write `x`: No space left", "x")) == "could not write `x`: No space left."
