"""What a run folder records."""

import subprocess

import pytest

from danil.runs import RunError, RunFolder, folder


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


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_said_to_be_none_before_any_advice(tmp_path, overwrite):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(RunError, match=r"exists and is not a run folder.*Choose another `--out`"):
        folder.check_free(RunFolder(tmp_path), overwrite)
    (tmp_path / "recipe.toml").touch()
    if overwrite:
        folder.check_free(RunFolder(tmp_path), overwrite)
    else:
        with pytest.raises(RunError, match="Go on with it by `--resume`"):
            folder.check_free(RunFolder(tmp_path), overwrite)
