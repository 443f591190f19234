import errno
import os
import resource
from pathlib import Path
from stat import S_ISDIR

import pytest

from danil.data.atomic import remove_partial_files, write_atomically


def test_text_is_written_as_it_is_and_parents_are_made(tmp_path):
    path = write_atomically(tmp_path / "a" / "b.txt", "ä\r\n")
    assert path.read_bytes() == "ä\r\n".encode()
    assert [file.name for file in path.parent.iterdir()] == ["b.txt"]


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"a\.txt.*No space") as caught:
        write_atomically(path, "new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_the_replaced_file_is_kept_and_the_destination_is_never_missing(tmp_path, monkeypatch):
    path, kept = tmp_path / "last", tmp_path / "previous"
    seen = []
    replace = Path.replace

    def watched(self, target):
        seen.append(path.read_text())
        return replace(self, target)

    write_atomically(path, "1", keep=kept)
    assert not kept.exists()
    monkeypatch.setattr(Path, "replace", watched)
    for text in ("2", "3"):
        write_atomically(path, text, keep=kept)
    assert (path.read_text(), kept.read_text()) == ("3", "2")
    assert seen == ["1", "1", "2", "2"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last", "previous"]


def test_two_names_of_one_file_become_two_files_again(tmp_path):
    path, kept = tmp_path / "last", tmp_path / "previous"
    path.write_text("1")
    os.link(path, kept)
    write_atomically(path, "2", keep=kept)
    assert (path.read_text(), kept.read_text()) == ("2", "1")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last", "previous"]


def test_a_file_is_kept_without_hard_links_too(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    path, kept = tmp_path / "last", tmp_path / "previous"
    for text in ("1", "2"):
        write_atomically(path, text, keep=kept)
    assert (path.read_text(), kept.read_text()) == ("2", "1")


def test_content_is_flushed_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace
    kind = lambda handle: "folder" if S_ISDIR(os.fstat(handle).st_mode) else "file"  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(kind(handle)), fsync(handle)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("name"), replace(self, target)))
    write_atomically(tmp_path / "a", "text")
    assert done == ["file", "name", "folder"]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "below").mkdir()
    left = [tmp_path / ".log.csv.0123abcd.part", tmp_path / "below" / ".last.safetensors.ffffffff.part"]
    mine = [tmp_path / "notes.part", tmp_path / ".part", tmp_path / ".log.csv.part", tmp_path / "log.csv"]
    for file in left + mine:
        file.write_text("")
    assert sorted(remove_partial_files(tmp_path)) == sorted(left)
    assert all(file.exists() for file in mine)


def test_no_file_may_grow_and_the_old_one_is_intact(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match=r"could not write.*a\.txt.*File too large"):
            write_atomically(path, "x" * 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
