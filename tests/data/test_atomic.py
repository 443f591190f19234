import errno
import os

import pytest

from danil.data.atomic import write_atomically


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
