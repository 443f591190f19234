"""Cohorts that hold images of the run's training or validation part."""

import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from danil.data import assign_splits, read_source
from danil.evaluation import evaluate_cohort
from danil.evaluation.overlap import alike_named, training_overlap
from danil.models import create_model
from danil.runs import read_checkpoint, read_recipe, write_checkpoint
from runs.made import made_run


@pytest.fixture
def trained(tmp_path):
    """A run, untrained in truth, whose parts are 8 training, 2 validation and 2 test images, and its images' folder."""
    random, data = np.random.default_rng(0), tmp_path / "data"
    for place in range(12):
        file = data / "ab"[place % 2] / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
    settings = [f"data.source={str(data)!r}", "data.size=32", "model.backbone=test_resnet", "model.weights=none"]
    manifest = assign_splits(read_source(str(data)), "random", test=1 / 6, validation=1 / 6)
    assert manifest.table["split"].value_counts().to_dict() == {"train": 8, "validation": 2, "test": 2}
    run = made_run(tmp_path / "run", read_recipe("paper", settings), manifest)
    write_checkpoint(
        run.checkpoint("last"), {"model": create_model("test_resnet", manifest.tasks, weights="none").state_dict()}
    )
    return run.path, data


def parts(run):
    return pd.read_csv(run / "manifest.csv").set_index("path")["split"]


def test_training_and_validation_images_are_counted_in_a_warning_and_in_the_notes(trained, caplog):
    run, data = trained
    metrics, _ = evaluate_cohort(run, str(data), resamples=20)
    told = "10 of the cohort's 12 images are among those the run was trained or validated on, so"
    assert metrics["notes"][0].startswith(told)
    assert [record.levelno for record in caplog.records if record.message.startswith(told)] == [logging.WARNING]


def test_an_unfinished_training_stands_before_all_in_the_notes(trained):
    run, data = trained
    state = read_checkpoint(run / "checkpoints" / "last.safetensors").state
    state["position"] = {"epoch": 2, "steps": 4, "finished": False}
    write_checkpoint(run / "checkpoints" / "last.safetensors", state)
    metrics, _ = evaluate_cohort(run, str(data), resamples=20)
    assert "is not finished: it stopped after epoch 2 of 30" in metrics["notes"][0]
    assert "10 of the cohort's 12 images" in metrics["notes"][1]


def test_a_copy_under_another_name_is_known_by_its_bytes(trained, tmp_path):
    run, data = trained
    part, other = parts(run), tmp_path / "other"
    for place, name in enumerate([*part.index[part == "train"][:3], *part.index[part == "test"]]):
        (other / "x").mkdir(parents=True, exist_ok=True)
        shutil.copy(data / name, other / "x" / f"copy{place}.png")
    found, unknown = training_overlap(run, read_source(f"folder:{other}", labelled=False))
    assert found.startswith("3 of the cohort's 5 images")
    assert unknown is None


def test_other_images_of_the_same_names_and_size_are_none_of_them(trained, tmp_path):
    run, data = trained
    shutil.copytree(data, tmp_path / "other")
    for file in (tmp_path / "other").glob("*/*.png"):
        content = bytearray(file.read_bytes())
        content[-20] ^= 1
        file.write_bytes(content)
    assert training_overlap(run, read_source(str(tmp_path / "other"))) == (None, None)


def test_without_the_training_images_names_are_compared_and_the_rest_is_said_to_be_unknown(trained, tmp_path):
    run, data = trained
    data.rename(tmp_path / "moved")
    found, unknown = training_overlap(run, read_source(str(tmp_path / "moved")))
    assert found.startswith("10 of the cohort's 12 images are named like images the run was trained or validated on")
    assert "If they are the same" in found
    assert "10 of the run's 10 training and validation images are not at hand" in unknown
    shutil.move(tmp_path / "moved" / "a" / "0.png", tmp_path / "moved" / "a" / "new.png")
    assert training_overlap(run, read_source(str(tmp_path / "moved")))[0].startswith("9 of")


def test_synthetic_images_count_where_the_set_is_the_same(tmp_path):
    source = "synthetic:dermoscopy?images=60&size=32"
    recipe = read_recipe("paper", [f"data.source={source!r}", "data.size=32"])
    manifest = assign_splits(read_source(source), "random", test=0.5)
    run = made_run(tmp_path / "run", recipe, manifest).path
    assert training_overlap(run, read_source(source))[0].startswith("30 of the cohort's 60 images")
    assert training_overlap(run, read_source(f"{source}&seed=3")) == (None, None)


def test_paths_are_alike_where_one_ends_as_the_other():
    assert alike_named(["data/a/1.png"], ["a/1.png", "1.png", "x/data/a/1.png", "b/1.png", "11.png"]) == {
        "a/1.png", "1.png", "x/data/a/1.png"
    }  # fmt: skip
