"""What a run folder records."""

import subprocess

from danil.runs import folder


def git(place, *words):
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", *identity, *words], cwd=place, check=True, capture_output=True)


def test_a_checkout_around_the_installed_package_is_not_its_own(tmp_path, monkeypatch):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "folder.py").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "theirs")
    monkeypatch.setattr(folder, "__file__", str(tmp_path / "venv" / "folder.py"))
    assert folder.git_state() is None
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "ours")
    assert folder.git_state()
