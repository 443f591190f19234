import json
import subprocess
import sys

import pytest

TINY = (
    "data.source=synthetic:dermoscopy?images=48&size=32",
    "data.size=32",
    "model.backbone=test_resnet",
    "model.weights=none",
    "train.epochs=1",
    "train.batch_size=8",
)


def danil(*arguments):
    command = [sys.executable, "-m", "danil.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.slow
def test_the_demonstration_makes_two_runs_and_one_page(tmp_path):
    settings = [argument for setting in TINY for argument in ("--set", setting)]
    answer = danil("demo", "--out", str(tmp_path / "demo"), *settings)
    assert answer.returncode == 0, answer.stderr
    assert f"report: {tmp_path / 'demo' / 'report.html'}" in answer.stdout
    for name in ("base", "danil"):
        run = tmp_path / "demo" / name
        assert json.loads((run / "metrics.json").read_text())["images"] > 0
        assert f'name = "{name}"' in (run / "recipe.toml").read_text()
        assert (run / "report.html").is_file()
        assert list((run / "figures").glob("*.png"))
    text = (tmp_path / "demo" / "report.html").read_text()
    assert "Base and DANIL side by side" in text
    assert len(text) < 5_000_000

    again = danil("demo", "--out", str(tmp_path / "demo"), *settings)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_a_folder_that_is_no_run_is_not_overwritten(tmp_path):
    (tmp_path / "danil").mkdir()
    (tmp_path / "danil" / "precious.txt").write_text("keep")
    answer = danil("demo", "--out", str(tmp_path), "--overwrite")
    assert answer.returncode == 2
    assert "is not a run folder" in answer.stderr
    assert (tmp_path / "danil" / "precious.txt").read_text() == "keep"
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("verb", ["demo", "report", "compare"])
def test_help_of_each_verb_ends_with_an_example(verb):
    answer = danil(verb, "--help")
    assert answer.returncode == 0
    assert f"Example: danil {verb}" in " ".join(answer.stdout.split())


def test_a_report_of_what_is_no_run_is_one_message(tmp_path):
    answer = danil("report", str(tmp_path))
    assert answer.returncode == 2
    assert "not a run folder" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_images_without_masks_are_refused_before_any_training(tmp_path):
    answer = danil("demo", "--out", str(tmp_path / "demo"), "--set", "data.source=folder:somewhere")
    assert answer.returncode == 2
    assert "the demonstration needs pixel masks" in " ".join(answer.stderr.split())
    assert not (tmp_path / "demo").exists()
