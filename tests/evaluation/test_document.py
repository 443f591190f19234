"""From predictions to the content of `metrics.json`."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from danil.evaluation import evaluate_predictions, summary
from danil.evaluation.summary import text
from danil.report.sections import calibration_section
from danil.statistics import Predictions, PredictionsError
from danil.statistics.calibration import fitted_temperature, tempered
from danil.statistics.decisions import fitted_decisions
from danil.statistics.operating_points import sensitivity_threshold
from danil.statistics.proportions import proportion
from danil.statistics.selective import risk_threshold
from oracles.calibration import calibration_error

KEYS = {
    "format", "images", "labelled", "groups", "grouped", "classes", "ordinal", "resamples", "seed", "level", "metrics",
    "per_class", "confusion_matrix", "constant", "group_level", "calibration", "operating_points", "decision_curves",
    "selective", "subgroups", "notes", "decided_on",
}  # fmt: skip
METRICS = {
    "accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_precision",
    "weighted_recall", "weighted_f1", "mcc", "brier", "nll", "ece", "ece_equal_mass", "roc_auc", "average_precision",
}  # fmt: skip


def document(predictions, **options):
    return evaluate_predictions(predictions, resamples=200, **options)


def test_the_keys_are_the_documented_ones_and_the_values_are_json(made):
    found = document(made())
    assert set(found) == KEYS
    assert set(found["metrics"]) == METRICS
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_values_are_scikit_learns_and_lie_in_their_intervals(made):
    predictions = made()
    found = document(predictions)
    score = f1_score(predictions.labels, predictions.found, average="macro")
    assert found["metrics"]["macro_f1"]["value"] == pytest.approx(score)
    assert found["metrics"]["macro_f1"]["low"] < score < found["metrics"]["macro_f1"]["high"]
    assert found["confusion_matrix"] == confusion_matrix(predictions.labels, predictions.found).tolist()
    recall = (predictions.found[predictions.labels == 1] == 1).mean()
    assert found["per_class"]["mel"]["recall"]["value"] == pytest.approx(recall)
    assert found["per_class"]["mel"]["support"] == 30


def test_the_constant_classifier_answers_the_commonest_training_class(made):
    constant = document(made(), training_counts={"mel": 50, "nv": 10})["constant"]
    assert (constant["class"], constant["from"]) == ("mel", "training labels")
    # a third of the labels are mel: F1 of mel is 2·30/(90 + 30), of the others 0
    assert constant["metrics"]["accuracy"] == pytest.approx(1 / 3)
    assert constant["metrics"]["macro_f1"] == pytest.approx(0.5 / 3)
    assert constant["metrics"]["roc_auc"] == 0.5
    assert constant["metrics"]["mcc"] == 0


def test_without_training_labels_the_constant_is_the_commonest_label_at_hand(made):
    constant = document(made(n=4, labels=[2, 2, 2, 0]))["constant"]
    assert (constant["class"], constant["from"]) == ("nv", "these labels")
    # shares 3/4 and 1/4 are told: Brier = 1 − Σ shares², NLL = entropy
    assert constant["metrics"]["brier"] == pytest.approx(1 - (9 + 1) / 16)
    assert constant["metrics"]["nll"] == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))


def test_grades_get_quadratic_kappa_by_their_names_or_on_demand(made):
    assert "quadratic_kappa" in document(made(classes=("0", "1", "2")))["metrics"]
    assert "quadratic_kappa" in document(made(), ordinal=True)["metrics"]
    assert "quadratic_kappa" not in document(made(classes=("0", "1", "2")), ordinal=False)["metrics"]


def test_groups_are_judged_by_their_mean_probability(made):
    labels = np.repeat(np.arange(30) % 3, 3)
    predictions = made(labels=labels, per_group=3)
    found = document(predictions)
    means = predictions.probabilities.reshape(30, 3, 3).mean(1).argmax(1)
    assert found["grouped"] is True
    assert found["groups"] == found["group_level"]["groups"] == 30
    assert found["group_level"]["metrics"]["accuracy"]["value"] == pytest.approx(
        accuracy_score(np.arange(30) % 3, means)
    )


def test_without_real_groups_there_is_no_group_level(made):
    assert document(made())["group_level"] is None


def test_groups_of_two_labels_are_left_out_and_named(made):
    found = document(made(per_group=45))
    assert found["group_level"] is None
    mixed = made(labels=[0, 1, *np.repeat(np.arange(44) % 3, 2)], per_group=2)
    found = document(mixed)
    assert (found["group_level"]["groups"], found["group_level"]["conflicting"]) == (44, 1)
    assert any("1 group holds images of different labels" in note for note in found["notes"])


def test_images_without_label_are_left_out_and_counted(made):
    predictions = made(labels=[*np.arange(80) % 3, *[0] * 10])
    hidden = Predictions.of(
        np.where(np.arange(90) < 80, predictions.labels, -1), predictions.probabilities, classes=predictions.classes
    )
    found, known = document(hidden), document(hidden.labelled())
    assert (found["images"], found["labelled"]) == (90, 80)
    assert found["metrics"] == known["metrics"]
    assert "10 of 90 images have no label and are left out." in found["notes"]


def test_an_absent_class_is_null_and_named(made):
    found = document(made(labels=np.arange(90) % 2))
    assert found["per_class"]["nv"]["f1"] == {"value": None, "low": None, "high": None}
    assert any(
        note.startswith("No image is labelled nv: macro averages are over the other classes") for note in found["notes"]
    )


def test_one_class_among_the_labels_is_said_clearly(made):
    found = document(made(labels=np.zeros(90, dtype=int)))
    assert found["metrics"]["roc_auc"]["value"] is None
    assert any("Every label is bkl" in note and "ROC-AUC is undefined" in note for note in found["notes"])


def test_without_any_label_there_is_nothing_to_measure():
    with pytest.raises(PredictionsError, match="has no labels, so metrics cannot be had"):
        document(Predictions.of([-1, -1], [[0.5, 0.5], [0.4, 0.6]]))


def test_a_perfect_score_keeps_an_interval_of_some_width():
    labels = np.arange(40) % 2
    found = document(Predictions.of(labels, np.eye(2)[labels]))
    assert found["metrics"]["accuracy"]["high"] == 1
    # Wilson's lower limit at 40 of 40
    assert found["metrics"]["accuracy"]["low"] == pytest.approx(1 / (1 + 1.959964**2 / 40))
    assert found["metrics"]["macro_f1"] == {"value": 1, "low": None, "high": None}
    (note,) = (note for note in found["notes"] if note.startswith("No interval for "))
    assert "macro_f1" in note
    assert "f1 of 0" in note
    assert "which is not certainty" in note


def test_images_of_one_group_have_no_intervals(made):
    one = made(n=60)
    table = Predictions.of(one.labels, one.probabilities, groups=["p"] * 60, classes=one.classes)
    found = document(table)
    assert all(entry["low"] is None and entry["high"] is None for entry in found["metrics"].values())
    assert found["metrics"]["accuracy"]["value"] is not None
    assert any("All images are of one group" in note for note in found["notes"])


def test_temperature_and_thresholds_are_those_given_and_are_judged_on_these_labels(made):
    predictions, validation = made(), made(seed=5)
    found = document(predictions, decided=fitted_decisions(validation))
    fitted = fitted_temperature(validation)
    assert found["decided_on"] == "validation"
    assert found["calibration"]["temperature"]["value"] == pytest.approx(fitted.value)
    assert found["calibration"]["temperature"]["fitted_on"] == "validation"
    mended = tempered(predictions, fitted.value)
    assert found["calibration"]["temperature"]["ece"] == pytest.approx(
        calibration_error(mended.labels, mended.probabilities)
    )
    told = calibration_error(predictions.labels, predictions.probabilities)
    assert found["metrics"]["ece"]["value"] == pytest.approx(told)
    point = found["operating_points"][0]
    held_out = tempered(validation, fitted.value).probabilities[:, 0]
    expected = sensitivity_threshold(validation.labels == 0, held_out, 0.9)
    assert (point["class"], point["wanted"], point["at_least"]) == ("bkl", "sensitivity", 0.9)
    assert point["threshold"] == expected
    called = mended.probabilities[:, 0] >= expected
    assert point["sensitivity"]["value"] == pytest.approx(called[predictions.labels == 0].mean())
    selected = found["selective"]["points"][2]
    threshold = risk_threshold(tempered(validation, fitted.value), 0.1)
    assert (selected["wanted_risk"], selected["threshold"]) == (0.1, pytest.approx(threshold))
    assert selected["coverage"]["value"] == pytest.approx((mended.probabilities.max(1) >= threshold).mean())


def test_decision_curves_and_selective_prediction_are_of_calibrated_probabilities(made):
    predictions, decided = made(), fitted_decisions(made(seed=5, skill=0.5))
    found, mended = document(predictions, decided=decided), document(decided.calibrated(predictions))
    assert decided.temperature.value != pytest.approx(1, abs=0.2)
    assert found["decision_curves"] == mended["decision_curves"] != document(predictions)["decision_curves"]
    assert found["selective"]["curve"] == mended["selective"]["curve"]


def test_without_validation_nothing_is_chosen_on_the_test_labels(made):
    found = document(made())
    assert found["decided_on"] is None
    assert found["calibration"]["temperature"] is None
    assert found["operating_points"] == found["selective"]["points"] == []
    assert any("the test part must not choose them" in note for note in found["notes"])


def test_a_stated_prevalence_moves_the_predictive_values_of_its_class(made):
    points = document(made(), decided=fitted_decisions(made(seed=5)), prevalences={"mel": 0.01})["operating_points"]
    assert [point["prevalence"] for point in points if point["class"] == "mel"] == [0.01, 0.01]
    assert points[0]["prevalence"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("share", "words"),
    [({"melanoma": 0.1}, "prevalence of `melanoma`: the classes are bkl, mel, nv"), ({"mel": 1.5}, "must lie in")],
)
def test_a_prevalence_of_no_class_or_no_share_is_refused(made, share, words):
    with pytest.raises(PredictionsError, match=words):
        document(made(), prevalences=share)


def test_metadata_make_subgroups(made):
    found = document(made(), metadata=pd.DataFrame({"sex": ["f", "m"] * 45}))
    assert [(row["column"], row["value"], row["images"]) for row in found["subgroups"]] == [
        ("sex", "f", 45),
        ("sex", "m", 45),
    ]


def test_the_summary_names_metrics_intervals_classes_and_notes(made):
    found = document(made(labels=np.arange(90) % 2))
    text = summary(found)
    accuracy = found["metrics"]["accuracy"]
    assert f"{accuracy['value']:.3f}  [{accuracy['low']:.3f}, {accuracy['high']:.3f}]" in text
    assert "macro-F1" in text
    assert "note: No image is labelled nv" in text
    assert "–" in next(line for line in text.splitlines() if line.startswith("nv"))


@pytest.mark.parametrize(
    ("skill", "least", "words"),
    [
        (9, False, "the 30 validation images every label is the most probable class, or nearly so: the smaller"),
        (0, True, "the 30 validation images the probabilities tell nothing of the labels: the larger"),
    ],
)
def test_a_temperature_that_nothing_holds_in_its_range_is_called_no_fit(made, skill, least, words):
    held_out = made(30, skill=skill)
    if least:  # each label is the class held for least probable
        labels = held_out.probabilities.argmin(1)
        held_out = Predictions.of(labels, held_out.probabilities, classes=held_out.classes)
    found = document(made(), decided=fitted_decisions(held_out))
    (told,) = [note for note in found["notes"] if "temperature" in note]
    assert words in told
    assert "is no fit" in told
    assert told in calibration_section(found).texts[0]
    assert told in summary(found)


def test_few_validation_images_are_said_and_many_are_not(made):
    told = "Only 18 validation images chose temperature, thresholds and confidences: they are rough."
    assert told in document(made(), decided=fitted_decisions(made(18)))["notes"]
    many = document(made(), decided=fitted_decisions(made(60)))["notes"]
    assert not [note for note in many if "temperature" in note]


def test_the_text_counts_many_metrics_without_interval_and_the_document_names_them(made):
    found = document(made(12, skill=60))
    (full,) = (note for note in found["notes"] if note.startswith("No interval for "))
    assert "f1 of mel" in full
    told = summary(found)
    assert full not in told
    assert re.search(r"note: No interval for \d+ metrics \(see metrics\.json\): a class is of fewer than 10", told)


def test_the_text_has_no_stray_blanks_no_plural_of_one_and_a_true_minus(made):
    lines = summary(document(made(12, skill=60, per_group=12))).splitlines()
    assert lines[0].startswith("12 images in 1 group;")
    alike = made(12, skill=60, per_group=12, labels=[0] * 12)
    assert "mean probability of each of 1 group:" in summary(document(alike))
    assert not [line for line in lines if " ," in line]
    assert (text(-0.25), text(-0.0001), text(0.5), text(None)) == ("−0.250", "0.000", "0.500", "–")


def test_a_class_of_few_images_or_few_groups_has_shares_but_no_interval_of_its_ranks(made):
    labels = [0] * 50 + [1] * 30 + [2] * 4
    found = document(made(84, labels=labels))
    (first, _, last) = found["classes"]
    rare, common = found["per_class"][last], found["per_class"][first]
    assert [rare[key]["low"] for key in ("f1", "roc_auc", "average_precision")] == [None] * 3
    assert rare["recall"]["low"] is not None
    assert all(common[key]["low"] < common[key]["value"] < common[key]["high"] for key in ("f1", "roc_auc"))
    assert found["metrics"]["roc_auc"]["low"] is None, "a mean over classes is no surer than its rarest class"
    assert found["metrics"]["macro_f1"]["low"] is not None
    assert any(note.startswith(f"Few images of {last} (4):") for note in found["notes"])


def test_many_images_of_few_patients_are_told_and_their_recall_has_an_interval_of_patients(made):
    alone, base = made(80, labels=[0] * 80), made(40, labels=[1] * 20 + [2] * 20, seed=1)
    predictions = Predictions.of(
        np.concatenate([alone.labels, base.labels]),
        np.concatenate([alone.probabilities, base.probabilities]),
        groups=[*(f"p{row // 20}" for row in range(80)), *(f"q{row}" for row in range(40))],
        classes=alone.classes,
    )
    found = document(predictions)
    row = found["per_class"][alone.classes[0]]
    assert (row["support"], row["groups"]) == (80, 4)
    assert row["roc_auc"]["low"] is None
    hits, codes = alone.found == 0, np.repeat(np.arange(4), 20)
    assert row["recall"]["low"] == proportion(hits, codes).low
    assert any(note.startswith(f"Few groups of {alone.classes[0]} (4 of 80 images):") for note in found["notes"])


def test_thresholds_of_few_images_and_classes_without_any_are_told(made):
    validation = made(60, labels=[0] * 40 + [1] * 20, seed=3)
    found = document(made(), decided=fitted_decisions(validation))
    names = found["classes"]
    assert {
        point["class"]: point["chosen_on"] for point in found["operating_points"] if point["wanted"] == "specificity"
    }
    assert found["operating_points"][0]["chosen_on"] == 40
    few = document(made(), decided=fitted_decisions(made(66, labels=[0] * 40 + [1] * 23 + [2] * 3, seed=3)))
    (rough,) = (note for note in few["notes"] if note.startswith("Thresholds that fewer than 20 images"))
    assert f"{names[2]} (sensitivity 0.9: 3)" in rough
    assert names[1] not in rough
    (bare,) = (note for note in found["notes"] if note.startswith("No threshold for"))
    assert bare.startswith(f"No threshold for {names[2]}: the validation part")


def test_a_group_that_may_be_no_group_is_told(made):
    predictions = made(30)
    groups = ["NA"] * 10 + [str(row) for row in range(20)]
    found = document(Predictions.of(predictions.labels, predictions.probabilities, groups=groups))
    assert found["notes"][0].startswith("Images of the group `NA` (10) are taken as one patient's.")
    with pytest.raises(PredictionsError, match="no group"):
        Predictions.of(predictions.labels, predictions.probabilities, groups=[" "] * 30)


def test_a_decision_curve_holds_at_the_stated_prevalence(made):
    predictions = made(300, skill=1.0)
    name = predictions.classes[0]
    curve = document(predictions, prevalences={name: 0.02})["decision_curves"][name]
    assert curve["prevalence"] == 0.02
    positive, scores = predictions.labels == 0, predictions.probabilities[:, 0]
    place = curve["thresholds"].index(0.1)
    hit, alarm = (scores[positive] >= 0.1).mean(), (scores[~positive] >= 0.1).mean()
    assert curve["model"][place] == pytest.approx(hit * 0.02 - alarm * 0.98 / 9, abs=1e-6)
    assert curve["everyone"][place] == pytest.approx(0.02 - 0.98 / 9, abs=1e-6)


def test_a_confidence_that_no_test_image_reaches_is_said_in_words(made):
    sure, unsure = made(60, skill=8), made(60, skill=0.0, seed=2)
    found = document(unsure, decided=fitted_decisions(sure))
    found["selective"]["points"] = [
        {"wanted_risk": 0.1, "threshold": 0.99, "coverage": dict.fromkeys(("value", "low", "high"), 0.0)}
        | {"risk": dict.fromkeys(("value", "low", "high"))}
    ]
    assert "0.000 [0.000, 0.000] answered, no image of these labels" in summary(found, selective=True)


def test_no_resamples_are_refused(made):
    with pytest.raises(PredictionsError, match="`resamples` is 0; intervals need at least 1"):
        evaluate_predictions(made(), resamples=0)
