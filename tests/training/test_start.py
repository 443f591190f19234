"""Beginning a run and going on with it: what is compared first, and what is said."""

import json
import shutil

import pytest

from cli.tiny import TINY
from danil.cli.main import main
from danil.data.fake import write_fake
from danil.data.files import UnreadableImages
from danil.runs import RunError, RunFolder
from danil.training import run, train_run


@pytest.fixture
def begun(tiny, tmp_path):
    """A finished run of images in files: its recipe's further settings and its folder."""
    settings = (f"data.source={str(write_fake('folder', tmp_path / 'data', images=16))!r}", "train.epochs=1")
    return settings, train_run(tiny(*settings), tmp_path / "run", quiet=True)


def test_another_recipe_is_refused_key_by_key_before_data_and_weights_are_fetched(tiny, begun, monkeypatch):
    settings, folder = begun
    monkeypatch.setattr(run, "prepared_images", None)
    monkeypatch.setattr(run, "create_model", None)
    changed = ("train.epochs=60", "model.weights=hub", "train.clip=2.0", "train.channels_last=false")
    with pytest.raises(RunError) as caught:
        train_run(tiny(*settings, *changed), folder.path, resume=True, quiet=True)
    differing = (
        "(`model.weights`: none → hub, `train.epochs`: 1 → 60, `train.clip`: none → 2.0, "
        "`train.channels_last`: true → false)"
    )
    assert differing in str(caught.value)
    assert f"--recipe {folder.recipe}" in str(caught.value)


def test_a_run_goes_on_with_its_own_recipe_file(begun, monkeypatch, capsys):
    _, folder = begun
    source = json.loads(folder.data.read_text())["source"]
    words = ["train", source, "--recipe", str(folder.recipe), "--resume", "--quiet", "--out", str(folder.path)]
    monkeypatch.setattr("sys.argv", ["danil", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code, capsys.readouterr().err


def test_the_place_of_moved_data_is_recorded_when_a_run_goes_on(tiny, begun, tmp_path):
    settings, folder = begun
    old = json.loads(folder.data.read_text())
    moved = shutil.move(tmp_path / "data", tmp_path / "moved")
    train_run(tiny(*settings, f"data.source={str(moved)!r}"), folder.path, resume=True, quiet=True)
    new = json.loads(folder.data.read_text())
    assert (new.pop("source"), new.pop("root")) == (f"folder:{moved}", str(moved))
    assert new == {key: value for key, value in old.items() if key not in ("source", "root")}


def test_a_run_begun_without_bad_images_says_so_when_they_stop_it(tiny, tmp_path):
    data = write_fake("folder", tmp_path / "data", images=16)
    (bad,) = sorted(data.rglob("*.png"))[:1]
    bad.write_bytes(b"")
    recipe = tiny(f"data.source={str(data)!r}", "train.epochs=1")
    train_run(recipe, tmp_path / "run", skip_bad=True, quiet=True)
    with pytest.raises(UnreadableImages) as caught:
        train_run(recipe, tmp_path / "run", resume=True, quiet=True)
    assert "was begun without them by `--skip-bad`: resume it with `--skip-bad`" in caught.value.__notes__[0]
    with pytest.raises(UnreadableImages) as caught:
        train_run(recipe, tmp_path / "other", resume=True, quiet=True)
    assert not hasattr(caught.value, "__notes__")


def test_resuming_what_is_not_there_is_told(monkeypatch, tmp_path, capsys):
    words = ["train", "synthetic:dermoscopy?images=60&size=32", *TINY, "--resume", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["danil", *words])
    with pytest.raises(SystemExit):
        main()
    assert f"there is no run in `{tmp_path / 'run'}` to resume: the training starts anew" in capsys.readouterr().err
    assert RunFolder(tmp_path / "run").predictions.is_file()
