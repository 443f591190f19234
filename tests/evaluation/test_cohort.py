"""Evaluating a run on another cohort."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from danil.data import read_source
from danil.evaluation import EvaluationError, evaluate_cohort
from danil.models import create_model
from danil.runs import read_recipe, write_checkpoint
from danil.runs.folder import create_run


@pytest.fixture
def fitted_run(tmp_path):
    """A run with an untrained network, and a cohort of 12 images of its classes under other names."""
    source = tmp_path / "set"
    random = np.random.default_rng(0)
    for place in range(12):
        folder = source / ("test" if place % 2 else "train") / ("melanoma" if place < 6 else "naevus")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{place}.png")
    recipe = read_recipe(
        "paper", [f"data.source={str(source)!r}", "data.size=32", "model.backbone=test_resnet", "model.weights=none"]
    )
    manifest = read_source(str(source))
    run = create_run(tmp_path / "run", recipe, manifest, ["danil"], overwrite=False)
    model = create_model("test_resnet", manifest.tasks, weights="none")
    write_checkpoint(run.checkpoint("last"), {"model": model.state_dict()})
    return run.path


@pytest.fixture
def clinic(tmp_path):
    """Write a cohort's table with these labels and return its path."""

    def make(*labels):
        names = [f"set/test/{'melanoma' if place < 6 else 'naevus'}/{place}.png" for place in (1, 3, 5, 7, 9, 11)]
        path = tmp_path / "clinic.csv"
        pd.DataFrame({"path": names[: len(labels)], "label": labels}).to_csv(path, index=False)
        return str(path)

    return make


def test_other_class_names_are_mapped_and_missing_classes_accepted(fitted_run, clinic):
    metrics, folder = evaluate_cohort(fitted_run, clinic("MEL", "MEL", "naevus", "odd"), ["MEL=melanoma", "odd="])
    assert folder == fitted_run / "cohorts" / "clinic"
    assert (metrics["images"], metrics["labelled"]) == (4, 3)
    assert metrics["per_class"]["melanoma"]["support"] == 2
    assert metrics["mapping"] == ["MEL=melanoma", "odd="]
    table = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    assert table["label"].tolist() == ["melanoma", "melanoma", "naevus", ""]
    assert (folder / "metrics.json").is_file()


def test_images_without_labels_are_predicted_only(fitted_run, clinic, tmp_path):
    metrics, folder = evaluate_cohort(fitted_run, clinic("", "", ""), out=tmp_path / "out")
    assert metrics is None
    assert sorted(file.name for file in folder.iterdir()) == ["predictions.csv"]


def test_a_cohort_is_judged_at_the_runs_own_temperature_and_thresholds(fitted_run, clinic):
    stored = {
        "temperature": {"value": 2.0, "nll_before": 1.0, "nll_after": 0.9, "images": 50},
        "classes": [{"name": "melanoma", "wanted": "sensitivity", "at_least": 0.9, "threshold": 0.25}],
        "confidences": [{"risk": 0.1, "threshold": 0.75}],
    }
    (fitted_run / "calibration.json").write_text(json.dumps({"tasks": {"label": stored}}))
    metrics, _ = evaluate_cohort(fitted_run, clinic("melanoma", "melanoma", "melanoma", "naevus"), resamples=100)
    assert metrics["decided_on"] == "validation"
    assert metrics["calibration"]["temperature"]["value"] == 2
    assert [(point["class"], point["threshold"]) for point in metrics["operating_points"]] == [("melanoma", 0.25)]
    assert metrics["selective"]["points"][0]["threshold"] == 0.75


@pytest.mark.parametrize(
    ("labels", "mapping", "words"),
    [
        (("MEL", "naevus"), [], ("1 label (`MEL`)", "melanoma, naevus", "--map MEL=melanoma", "--map MEL=`")),
        (("MEL", "naevus"), ["MEL"], ("`--map MEL` is not OLD=NEW",)),
        (("MEL", "naevus"), ["MEL=nv"], ("`nv` is none of the run's classes melanoma, naevus",)),
        (("MEL", "naevus"), ["MEL=melanoma", "MEL=naevus"], ("gives `MEL` twice",)),
        (("melanoma", "naevus"), ["MEL=melanoma"], ("has no class `MEL`; it has melanoma, naevus",)),
    ],
)
def test_a_wrong_mapping_is_refused_and_nothing_is_written(fitted_run, clinic, labels, mapping, words):
    with pytest.raises(EvaluationError) as caught:
        evaluate_cohort(fitted_run, clinic(*labels), mapping)
    for word in words:
        assert word in str(caught.value)
    assert not (fitted_run / "cohorts").exists()
