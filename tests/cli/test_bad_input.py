"""What is wrong with the input ends in one message, exit code 2, and nothing half written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cli.tiny import TINY
from danil.data.fake import write_fake


def images(folder, **counts):
    """Write PNG files, class per folder."""
    draw = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def table(folder, text):
    """Write a CSV beside ten images."""
    images(folder, a=5, b=5)
    path = folder / "cohort.csv"
    path.write_text(text)
    return path


ROWS = "".join(f"a/{n}.png,x\nb/{n}.png,y\n" for n in range(5))

CASES = {
    "missing folder": (lambda f: f / "nowhere", ["nowhere", "does not exist"]),
    "empty folder": (lambda f: (f / "empty").mkdir() or f / "empty", ["empty"]),
    "one class": (lambda f: images(f / "one", a=6), ["one", "class"]),
    "a class with one image": (lambda f: images(f / "lone", a=6, b=1), ["b"]),
    "CSV without the column": (lambda f: table(f / "t", "path,kind\n" + ROWS), ["cohort.csv", "label", "kind"]),
    "CSV with an empty label": (lambda f: table(f / "t", "path,label\n" + ROWS + "a/0.png,\n"), ["cohort.csv"]),
    "CSV with a missing file": (lambda f: table(f / "t", "path,label\n" + ROWS + "a/99.png,x\n"), ["a/99.png"]),
    "CSV with a header only": (lambda f: table(f / "t", "path,label\n"), ["cohort.csv"]),
    "CSV with a path that climbs out": (lambda f: table(f / "t", "path,label\n" + ROWS + "../x.png,x\n"), ["../x.png"]),
    "unknown reader": (lambda f: f"ham1000:{f}", ["ham1000", "Did you mean", "ham10000"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_data_is_named(danil, tmp_path, case):
    make, words = CASES[case]
    answer = danil("train", make(tmp_path), *TINY, "--out", tmp_path / "run")
    assert answer.code == 2, answer
    assert all(word in answer.err for word in words), answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "run").exists()


def spoiled(folder):
    """Write a folder with three images that cannot be read."""
    images(folder, a=8, b=8)
    whole = (folder / "a" / "0.png").read_bytes()
    (folder / "a" / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "2.png").write_bytes(b"")
    (folder / "b" / "3.png").write_bytes(b"not an image at all")
    return folder


def test_unreadable_images_are_listed_all_at_once_before_training(danil, tmp_path):
    answer = danil("train", spoiled(tmp_path / "data"), *TINY, "--out", tmp_path / "run")
    assert answer.code == 2
    assert all(name in answer.err for name in ("a/1.png", "b/2.png", "b/3.png", "--skip-bad"))
    assert not (tmp_path / "run").exists()


def test_skip_bad_goes_on_without_them(danil, tmp_path):
    answer = danil("train", spoiled(tmp_path / "data"), *TINY, "--out", tmp_path / "run", "--skip-bad")
    assert answer.code == 0, answer.err
    assert sum(json.loads((tmp_path / "run" / "data.json").read_text())["images"].values()) == 13


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "train.epocs=3"], ["train.epocs", "`epochs`"]),
        (["--recipe", "papr"], ["papr", "`paper`"]),
        (["--set", "model.backbone=resnet5"], ["resnet5", "resnet50"]),
        (["--set", "train.optimizer=adamww"], ["adamww", "adamw"]),
        (["--resume", "--overwrite"], ["--overwrite"]),
    ],
)
def test_a_wrong_choice_offers_the_nearest(danil, tmp_path, words, expected):
    data = images(tmp_path / "data", a=8, b=8)
    answer = danil("train", data, *TINY, *words, "--out", tmp_path / "run")
    assert answer.code == 2, answer
    assert all(word in answer.err for word in expected), answer.err
    assert not (tmp_path / "run").exists()


def test_weights_of_another_architecture_are_refused_with_tensors_named(danil, tmp_path):
    data = images(tmp_path / "data", a=8, b=8)
    save_file({"layer.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    weights = f"model.weights={tmp_path}/other.safetensors"
    answer = danil("train", data, *TINY, "--set", weights, "--out", tmp_path / "run")
    assert answer.code == 2
    assert "other.safetensors" in answer.err
    assert "layer.weight" in answer.err
    assert not (tmp_path / "run").exists()


def test_a_hub_download_without_network_says_how_to_give_a_file(danil, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    data = images(tmp_path / "data", a=8, b=8)
    answer = danil("train", data, *TINY, "--set", "model.weights=hub", "--out", tmp_path / "run")
    assert answer.code == 2, answer.err
    assert "model.weights" in answer.err or "weights" in answer.err
    assert not (tmp_path / "run").exists()


def test_predict_keeps_order_and_skips_bad_files_with_exit_code_3(danil, tmp_path):
    data = images(tmp_path / "data", a=8, b=8)
    assert danil("train", data, *TINY, "--out", tmp_path / "run").code == 0
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    files = [data / "b" / "3.png", bad, data / "a" / "1.png"]
    answer = danil("predict", tmp_path / "run", *files, "--out", tmp_path / "out.csv")
    assert answer.code == 3
    assert "bad.png" in answer.err
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [str(files[0]), str(files[2])]


def test_predict_skips_a_file_that_is_not_there_or_empty_as_any_other(danil, tmp_path):
    data = images(tmp_path / "data", a=8, b=8)
    assert danil("train", data, *TINY, "--out", tmp_path / "run").code == 0
    (tmp_path / "empty.png").touch()
    answer = danil("predict", tmp_path / "run", tmp_path / "nothere.png", tmp_path / "empty.png", data / "a" / "1.png")
    assert answer.code == 3
    assert len(answer.out.splitlines()) == 2
    assert f"skipped: image `{tmp_path / 'nothere.png'}` does not exist" in answer.err
    assert (
        f"skipped: image `{tmp_path / 'empty.png'}` is empty (0 bytes). Copy it again, or leave it out." in answer.err
    )
    answer = danil("predict", tmp_path / "run", tmp_path / "nothere.png")
    assert answer.code == 2
    assert "1 path (" in answer.err


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_a_run_without_test_part_ends_well_and_says_that_nothing_is_evaluated(danil, tmp_path, validation):
    data = images(tmp_path / "data", a=8, b=8)
    shares = ("--set", "split.test=0.0", "--set", f"split.validation={validation}")
    answer = danil("train", data, *TINY, *shares, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "nothing to evaluate" in answer.out
    assert ("validation part" in answer.out) == (validation > 0)
    assert danil("report", tmp_path / "run").code == 0


def test_predicting_with_what_is_no_run_is_refused(danil, tmp_path):
    answer = danil("predict", tmp_path, tmp_path)
    assert answer.code == 2
    assert "not a run folder" in answer.err or "no image" in answer.err


@pytest.mark.parametrize("reader", ["folder", "csv", "dicom", "ham10000", "aptos2019", "crc_msi", "idrid", "medmnist"])
def test_every_reader_trains_from_its_real_layout(danil, tmp_path, reader):
    source = write_fake(reader, tmp_path / "data")
    answer = danil("train", source, *TINY, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert (tmp_path / "run" / "predictions.csv").is_file()
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_warnings_are_words_without_a_place_in_the_code(capsys):
    from danil.cli import main

    main.show_warning("too many workers", UserWarning, str(Path(main.__file__).parents[1] / "training" / "run.py"), 3)
    main.show_warning("theirs", UserWarning, "/elsewhere/library.py", 3)
    ours, theirs = capsys.readouterr().err.splitlines()[:2]
    assert ours == "danil: warning: too many workers"
    assert theirs == "/elsewhere/library.py:3: UserWarning: theirs"
