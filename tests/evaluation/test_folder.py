"""Evaluating run folders."""

import hashlib
import json

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from danil.evaluation import EvaluationError, evaluate_run, evaluate_table, evaluated_outcome, summary
from danil.runs import RunError
from danil.runs.calibration import read_calibration
from danil.statistics import PredictionsError
from danil.statistics.calibration import fitted_temperature
from danil.statistics.decisions import Wanted
from danil.statistics.tables import read_predictions

TEMPERATURE = (
    '{{"tasks": {{"dx": {{"temperature": {{"value": {}, "nll_before": 1, "nll_after": 1, "images": 9}}, '
    '"classes": [], "confidences": []}}}}}}'
)


def test_metrics_are_returned_and_written(run_folder, made):
    folder = run_folder()
    document = evaluate_run(folder, resamples=100)
    assert json.loads((folder / "metrics.json").read_text(encoding="utf-8")) == document
    assert document["task"] == "dx"
    assert document["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(made().labels, made().found))


def test_the_constant_answers_the_training_parts_commonest_class(run_folder):
    assert evaluate_run(run_folder(), resamples=20)["constant"]["class"] == "nv"


def test_subgroups_come_from_the_manifests_metadata_matched_by_path(run_folder, made):
    folder = run_folder()
    manifest = pd.read_csv(folder / "manifest.csv")
    manifest.sample(frac=1, random_state=0).to_csv(folder / "manifest.csv", index=False)
    rows = evaluate_run(folder, resamples=20)["subgroups"]
    predictions = made()
    assert [(row["column"], row["value"]) for row in rows] == [("sex", "f"), ("sex", "m")]
    right = predictions.found == predictions.labels
    assert rows[0]["metrics"]["accuracy"]["value"] == pytest.approx(right[::2].mean())


def test_the_validation_part_gives_temperature_and_thresholds_and_they_are_stored(run_folder, made):
    folder = run_folder(validation=made(seed=3))
    document = evaluate_run(folder, resamples=20)
    stored = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    assert stored["fitted_on"] == "validation"
    fitted = stored["tasks"]["dx"]
    assert fitted["temperature"]["images"] == 90
    assert fitted["temperature"]["value"] == pytest.approx(fitted_temperature(made(seed=3)).value)
    assert document["calibration"]["temperature"]["value"] == fitted["temperature"]["value"]
    assert {point["threshold"] for point in document["operating_points"]} == {
        one["threshold"] for one in fitted["classes"]
    }
    digest = hashlib.sha256((folder / "validation_predictions.csv").read_bytes()).hexdigest()
    assert stored["sources"]["dx"] == {"file": "validation_predictions.csv", "sha256": digest}


def test_a_run_passed_on_without_validation_predictions_keeps_its_temperature_and_thresholds(run_folder, made):
    folder = run_folder(validation=made(seed=3))
    before = evaluate_run(folder, resamples=20, wanted=Wanted(sensitivities=(0.8,)))
    (folder / "validation_predictions.csv").unlink()
    assert evaluate_run(folder, resamples=20) == before
    with pytest.raises(EvaluationError, match=r"no threshold can be chosen for a sensitivity of 0\.95"):
        evaluate_run(folder, wanted=Wanted(sensitivities=(0.8, 0.95)))


def test_without_a_validation_part_nothing_is_fitted_or_stored(run_folder):
    folder = run_folder()
    document = evaluate_run(folder, resamples=20)
    assert document["calibration"]["temperature"] is None
    assert not (folder / "calibration.json").exists()
    with pytest.raises(EvaluationError, match=r"Train with `split\.validation` above 0"):
        evaluate_run(folder, wanted=Wanted(risks=(0.2,)))


def test_predictions_of_test_images_never_pass_for_validation(run_folder, made):
    folder = run_folder(validation=made(seed=3))
    (folder / "validation_predictions.csv").write_bytes((folder / "predictions.csv").read_bytes())
    with pytest.raises(PredictionsError, match=r"misses 90 images .* of the validation part"):
        evaluate_run(folder)
    assert not (folder / "calibration.json").exists()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"tasks": {"dx": {}}}', TEMPERATURE.format(0), TEMPERATURE.format('"x"')]
)
def test_damaged_stored_decisions_are_named(run_folder, content):
    folder = run_folder()
    (folder / "calibration.json").write_text(content)
    with pytest.raises(RunError, match=r"calibration\.json` is damaged: "):
        evaluate_run(folder, resamples=20)


def test_further_tasks_stand_under_tasks(run_folder, made):
    folder = run_folder()
    manifest = pd.read_csv(folder / "manifest.csv").assign(site="a")
    manifest.to_csv(folder / "manifest.csv", index=False)
    made(classes=("a", "b", "c")).table().to_csv(folder / "predictions_site.csv", index=False)
    (folder / "data.json").write_text(json.dumps({"tasks": {"dx": ["bkl", "mel", "nv"], "site": ["a", "b", "c"]}}))
    document = evaluate_run(folder, resamples=20)
    assert list(document["tasks"]) == ["site"]
    assert document["tasks"]["site"]["classes"] == ["a", "b", "c"]
    assert {row["column"] for row in document["subgroups"]} == {"sex"}
    shown = summary(document)
    assert "task dx" in shown
    assert "task site" in shown
    manifest.assign(site=manifest["site"].where(manifest["split"] != "test")).to_csv(
        folder / "manifest.csv", index=False
    )
    document = evaluate_run(folder, resamples=20)
    assert document["tasks"] == {}
    assert "No image has a known label of the task site." in document["notes"]


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (slice(0, 80), "misses 10 images (`images/080.jpg`"),
        (slice(0, 90), "has 1 image (`other.jpg`) that the test part has not"),
    ],
)
def test_predictions_that_miss_test_images_or_have_others_are_refused(run_folder, keep, words):
    folder = run_folder()
    table = pd.read_csv(folder / "predictions.csv").iloc[keep]
    if len(table) == 90:
        table = pd.concat([table, table.tail(1).assign(path="other.jpg", group="other.jpg")])
    table.to_csv(folder / "predictions.csv", index=False)
    with pytest.raises(PredictionsError, match=r"predictions\.csv") as caught:
        evaluate_run(folder)
    assert words in str(caught.value)
    assert not (folder / "metrics.json").exists()


def test_what_is_no_run_or_has_no_test_part_is_named(run_folder, tmp_path):
    with pytest.raises(EvaluationError, match=r"is not a run folder: it has no `data\.json`"):
        evaluate_run(tmp_path)
    folder = run_folder()
    manifest = pd.read_csv(folder / "manifest.csv")
    manifest[manifest["split"] == "train"].to_csv(folder / "manifest.csv", index=False)
    with pytest.raises(EvaluationError, match="no test part"):
        evaluate_run(folder)
    (folder / "data.json").write_text("{")
    with pytest.raises(EvaluationError, match="damaged"):
        evaluate_run(folder)


def without_test(folder):
    """Move the test part of a run to the validation part."""
    manifest = pd.read_csv(folder / "manifest.csv")
    manifest.replace({"split": {"test": "validation"}}).to_csv(folder / "manifest.csv", index=False)
    (folder / "predictions.csv").rename(folder / "validation_predictions.csv")
    return folder


def test_the_outcome_of_a_run_is_its_test_metrics(run_folder):
    folder = run_folder()
    assert evaluated_outcome(folder) == summary(json.loads((folder / "metrics.json").read_text()))


def test_a_run_without_test_part_has_nothing_to_evaluate_but_shows_its_validation_part(run_folder):
    folder = without_test(run_folder())
    text = evaluated_outcome(folder)
    assert "nothing to evaluate" in text
    assert f"danil evaluate {folder} --data" in text
    assert "always nv" in text
    accuracy = (pd.read_csv(folder / "validation_predictions.csv").eval("label == prediction")).mean()
    assert f"{accuracy:.3f}" in next(line for line in text.splitlines() if line.startswith("accuracy"))
    assert not (folder / "metrics.json").exists()


def test_a_run_without_test_part_keeps_what_its_validation_part_decides(run_folder):
    folder = without_test(run_folder())
    evaluated_outcome(folder)
    held_out = read_predictions(folder / "validation_predictions.csv")
    assert read_calibration(folder)["dx"].temperature.value == pytest.approx(fitted_temperature(held_out).value)


def test_a_run_of_training_images_alone_says_so(run_folder):
    folder = run_folder()
    manifest = pd.read_csv(folder / "manifest.csv")
    manifest[manifest["split"] == "train"].to_csv(folder / "manifest.csv", index=False)
    assert evaluated_outcome(folder).count("\n") == 0


def test_chosen_rates_stay_until_others_are_chosen(run_folder, made):
    folder = run_folder(validation=made(60, seed=3))
    evaluate_run(folder, wanted=Wanted(sensitivities=(0.8,), specificities=(0.7,)), resamples=20)
    for _ in range(2):
        points = evaluate_run(folder, resamples=20)["operating_points"]
        assert {(point["wanted"], point["at_least"]) for point in points} == {
            ("sensitivity", 0.8),
            ("specificity", 0.7),
        }
    points = evaluate_run(folder, wanted=Wanted(), resamples=20)["operating_points"]
    assert {point["at_least"] for point in points} == {0.9}


def test_tables_that_share_patients_are_told(made, tmp_path):
    files = [tmp_path / "test.csv", tmp_path / "validation.csv"]
    for seed, file in enumerate(files):
        table = made(seed=seed, per_group=3).table()
        table.assign(path=file.stem + table["path"]).to_csv(file, index=False)
    document = evaluate_table(files[0], validation=files[1], resamples=20)
    assert document["notes"][0].startswith("The tables share 30 groups, e.g. p0: temperature and thresholds")
