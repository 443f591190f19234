"""The program itself: help, languages of the screen, and what it says beside results."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [("-h",), ("explain", "-h"), ("split", "-h")])
def test_help_has_a_short_name(danil, words):
    answer = danil(*words)
    assert answer.code == 0, answer.err
    assert "--help" in answer.out


def test_a_screen_of_another_encoding_gets_what_it_cannot_show_in_numbers():
    words = [sys.executable, "-c", "from danil.cli.main import main; main()", "explain", "--help"]
    answer = subprocess.run(words, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"}, check=False)
    assert answer.returncode == 0, answer.stderr
    assert b"A\\u207a" in answer.stdout


def test_what_was_taken_for_what_is_said_once(danil, tmp_path):
    rows = [f"{place}.png,{'ab'[place % 2]},p{place // 2}" for place in range(24)]
    for place in range(24):
        (tmp_path / f"{place}.png").write_bytes(b"not read")
    (tmp_path / "cohort.csv").write_text("path,label,Patient ID\n" + "\n".join(rows) + "\n")
    for _ in range(2):
        answer = danil("split", tmp_path / "cohort.csv", "--out", tmp_path / "split.csv")
        assert answer.code == 0, answer.err
        assert answer.err.count("image = path, label = label, group = Patient ID, split = none") == 1
        assert "groups in more than one part: 0" in answer.out
    answer = danil("split", f"csv:{tmp_path / 'cohort.csv'}?group=none", "--out", tmp_path / "split.csv")
    assert "groups: not known" in answer.out
