"""Evaluating a run on another cohort."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from danil.data import read_source
from danil.data.fake import write_fake
from danil.evaluation import EvaluationError, evaluate_cohort
from danil.models import create_model
from danil.runs import open_run, predict_files, read_recipe, write_checkpoint
from runs.made import made_run


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
    run = made_run(tmp_path / "run", recipe, manifest)
    model = create_model("test_resnet", manifest.tasks, weights="none")
    write_checkpoint(run.checkpoint("last"), {"model": model.state_dict()})
    return run.path


def untrained_run(folder, source, objective):
    """A run of several tasks with an untrained network, after a pass in train mode: its answers differ by image."""
    settings = (f"data.source={source!r}", "data.size=32", "model.backbone=test_resnet", "model.weights=none")
    recipe = read_recipe("paper", [*settings, f"objective.name={objective}"])
    manifest = read_source(source)
    run = made_run(folder, recipe, manifest)
    torch.manual_seed(0)
    model = create_model("test_resnet", manifest.tasks, weights="none", head=recipe.head)
    write_checkpoint(run.checkpoint("last"), {"model": model.state_dict()})
    return run.path


@pytest.fixture
def two_diseases(tmp_path):
    """A CANet run with the tasks DR (0–4) and DME (0–2), and the 24 images it knows, as `idrid:FOLDER`."""
    source = f"idrid:{write_fake('idrid', tmp_path / 'idrid')}"
    return untrained_run(tmp_path / "run", source, "canet"), source


@pytest.fixture
def eye_clinic(tmp_path):
    """Write a table of the first images of `two_diseases` with these columns and return it as a source."""

    def make(label, **columns):
        folder = tmp_path / "idrid" / "1. Original Images" / "a. Training Set"
        count = len(next(iter(columns.values())))
        paths = [str(path.relative_to(tmp_path)) for path in sorted(folder.iterdir())[:count]]
        pd.DataFrame({"path": paths, **columns}).to_csv(tmp_path / "eyes.csv", index=False)
        return f"csv:{tmp_path / 'eyes.csv'}?label={label}"

    return make


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
    assert folder == fitted_run / "cohorts" / f"{fitted_run.parent.name}-clinic"
    assert (metrics["images"], metrics["labelled"]) == (4, 3)
    assert metrics["per_class"]["melanoma"]["support"] == 2
    assert metrics["mapping"] == ["MEL=melanoma", "odd="]
    table = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    assert table["label"].tolist() == ["melanoma", "melanoma", "naevus", ""]
    assert (folder / "metrics.json").is_file()


def test_images_without_labels_are_predicted_only(fitted_run, clinic, tmp_path):
    metrics, folder = evaluate_cohort(fitted_run, clinic("", "", ""), out=tmp_path / "out")
    assert metrics is None
    assert sorted(file.name for file in folder.iterdir()) == ["cohort.json", "predictions.csv"]


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


def test_every_task_is_predicted_and_judged_with_its_own_temperature(two_diseases):
    run, source = two_diseases
    stored = {"value": 2.0, "nll_before": 1.0, "nll_after": 0.9, "images": 50}
    decided = {"temperature": stored, "classes": [], "confidences": []}
    (run / "calibration.json").write_text(json.dumps({"tasks": {"DME": decided}}))
    metrics, folder = evaluate_cohort(run, source, resamples=20)
    assert (metrics["task"], list(metrics["tasks"])) == ("DR", ["DME"])
    assert (metrics["decided_on"], metrics["tasks"]["DME"]["decided_on"]) == (None, "validation")
    manifest, fitted = read_source(source), open_run(run)
    pixels = [manifest.store.read(path) for path in manifest.table["path"]]
    for task, name, document in (
        ("DR", "predictions.csv", metrics),
        ("DME", "predictions_DME.csv", metrics["tasks"]["DME"]),
    ):
        table = pd.read_csv(folder / name, dtype=str)
        assert table["label"].tolist() == manifest.table[task].tolist()
        assert document["metrics"]["accuracy"]["value"] == pytest.approx((table["label"] == table["prediction"]).mean())
        expected = fitted.predict(pixels)["prediction" if task == "DR" else "DME_prediction"]
        assert table["prediction"].tolist() == expected.tolist()
    assert metrics["metrics"] != metrics["tasks"]["DME"]["metrics"]


def test_classes_of_every_task_are_mapped(two_diseases, eye_clinic):
    run, _ = two_diseases
    source = eye_clinic("DR,DME", DR=["0", "none", "4"], DME=["1", "bad", "odd"])
    metrics, folder = evaluate_cohort(run, source, ["none=0", "DME:bad=2", "DME:odd="], resamples=20)
    assert pd.read_csv(folder / "predictions.csv", dtype=str)["label"].tolist() == ["0", "0", "4"]
    found = pd.read_csv(folder / "predictions_DME.csv", dtype=str, keep_default_na=False)
    assert found["label"].tolist() == ["1", "2", ""]
    assert metrics["tasks"]["DME"]["labelled"] == 2


def test_labels_of_another_task_are_never_taken_for_the_main_ones(two_diseases, eye_clinic):
    run, _ = two_diseases
    metrics, folder = evaluate_cohort(run, eye_clinic("DME", DME=["0", "1", "2"]), resamples=20)
    assert pd.read_csv(folder / "predictions.csv", dtype=str)["label"].isna().all()
    assert (metrics["task"], metrics["tasks"]) == ("DME", {})
    assert "The figures above are of the task DME." in metrics["notes"]
    assert metrics["notes"][-1] == "No image has a known label of the task DR."


def test_a_cohort_of_other_column_names_is_labelled_in_the_main_task(two_diseases, eye_clinic):
    run, _ = two_diseases
    metrics, folder = evaluate_cohort(run, eye_clinic("grade", grade=["0", "3", "4"]), resamples=20)
    assert metrics["labelled"] == 3
    assert metrics["notes"][-1] == "No image has a known label of the task DME."
    assert pd.read_csv(folder / "predictions_DME.csv", dtype=str)["label"].isna().all()


def test_a_prevalence_is_of_the_main_task(two_diseases, eye_clinic):
    run, _ = two_diseases
    source = eye_clinic("DR,DME", DR=["0", "1", "4"], DME=["0", "1", "2"])
    metrics, _ = evaluate_cohort(run, source, resamples=20, prevalences={"4": 0.2})
    assert metrics["tasks"]["DME"]["labelled"] == 3


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (["none=0"], ("1 label (`bad`)", "classes 0, 1, 2", "`--map DME:bad=0`", "`--map DME:bad=`")),
        (
            ["none=0", "DME:bad=4"],
            ("`--map DME:bad=4`: `4` is none of the run's classes 0, 1, 2", "TASK:bad=4", "DR, DME"),
        ),
        (["none=0", "DME:none=0"], ("`--map DME:none=…`", "no class `none`; it has bad")),
    ],
)
def test_a_wrong_mapping_of_a_further_task_is_refused(two_diseases, eye_clinic, mapping, words):
    run, _ = two_diseases
    with pytest.raises(EvaluationError) as caught:
        evaluate_cohort(run, eye_clinic("DR,DME", DR=["none"], DME=["bad"]), mapping)
    for word in words:
        assert word in str(caught.value)
    assert not (run / "cohorts").exists()


def test_a_reader_with_several_tasks_gives_them_to_a_run_that_has_them(tmp_path):
    source = f"ham10000:{write_fake('ham10000', tmp_path / 'ham')}"
    run = untrained_run(tmp_path / "run", f"{source}?tasks=dx,localization", "multitask")
    metrics, _ = evaluate_cohort(run, source, resamples=20)
    assert metrics["tasks"]["localization"]["labelled"] == 16


def test_predicted_files_have_columns_for_every_task(two_diseases, tmp_path):
    run, source = two_diseases
    manifest = read_source(source)
    files = [manifest.root / path for path in manifest.table["path"][:3]]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    table, faults = predict_files(open_run(run), [*files, tmp_path / "broken.jpg"])
    assert list(table) == [
        "path", "prediction", *(f"probability_{grade}" for grade in range(5)),
        "DME_prediction", *(f"DME_probability_{grade}" for grade in range(3)),
    ]  # fmt: skip
    assert len(table) == 3
    assert len(faults) == 1
    for front in ("", "DME_"):
        probabilities = table.filter(regex=f"^{front}probability_")
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        best = probabilities.idxmax(axis=1).str.removeprefix(f"{front}probability_")
        assert table[f"{front}prediction"].tolist() == best.tolist()


def test_tables_of_one_name_in_two_folders_have_results_of_their_own(fitted_run, clinic, tmp_path):
    table, folders = clinic("melanoma", "naevus", "naevus"), []
    for site in ("siteA", "siteB"):
        (tmp_path / site).mkdir()
        place = f"csv:{shutil.copy(table, tmp_path / site / 'cohort.csv')}?root={tmp_path}"
        folders.append(evaluate_cohort(fitted_run, place, resamples=100)[1])
    assert [folder.name for folder in folders] == ["siteA-cohort", "siteB-cohort"]
    with pytest.raises(EvaluationError, match=r"of .*siteA/cohort\.csv, not of .*siteB/cohort\.csv\. Choose another"):
        evaluate_cohort(fitted_run, place, out=folders[0], resamples=100)
    again, _ = evaluate_cohort(fitted_run, place, out=folders[1], resamples=100)
    assert again["cohort"] == place


def test_the_folder_one_stands_in_is_called_by_its_name(fitted_run, monkeypatch):
    monkeypatch.chdir(fitted_run.parent / "set" / "test")
    _, folder = evaluate_cohort(fitted_run, ".", resamples=100)
    assert folder == fitted_run / "cohorts" / "set-test"


def test_a_cohorts_results_never_go_into_a_run(fitted_run, clinic):
    (fitted_run / "predictions.csv").write_text("the run's own")
    with pytest.raises(EvaluationError, match="is a run folder"):
        evaluate_cohort(fitted_run, clinic("melanoma", "naevus"), out=fitted_run)
    assert (fitted_run / "predictions.csv").read_text() == "the run's own"


def test_a_column_named_like_the_task_goes_before_one_called_label(two_diseases, eye_clinic):
    run, _ = two_diseases
    table = (
        eye_clinic("", DR=["0", "4"], DME=["1", "2"], diagnosis=["odd", "odd"]).removeprefix("csv:").partition("?")[0]
    )
    metrics, folder = evaluate_cohort(run, table, resamples=20)
    assert pd.read_csv(folder / "predictions.csv", dtype=str)["label"].tolist() == ["0", "4"]
    assert metrics["tasks"]["DME"]["labelled"] == 2
    with pytest.raises(EvaluationError, match="`odd`"):
        evaluate_cohort(run, f"csv:{table}?label=diagnosis", resamples=20)


def test_metrics_of_an_earlier_evaluation_do_not_stay_beside_other_predictions(fitted_run, clinic):
    source = clinic("melanoma", "naevus")
    metrics, folder = evaluate_cohort(fitted_run, source, resamples=20)
    assert metrics is not None
    assert (folder / "metrics.json").is_file()
    clinic("", "")
    assert evaluate_cohort(fitted_run, source, resamples=20) == (None, folder)
    assert not (folder / "metrics.json").exists()


def test_prevalences_of_a_main_task_without_labels_are_told(two_diseases, eye_clinic):
    run, _ = two_diseases
    source = eye_clinic("DME", DME=["0", "1", "2"] * 4)
    metrics, _ = evaluate_cohort(run, source, resamples=20, prevalences={"2": 0.1})
    assert "The prevalences are of the task DR, which has no labels here: not used." in metrics["notes"]
