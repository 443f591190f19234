"""Every metric against scikit-learn or a hand calculation."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from danil.statistics import Predictions, PredictionsError, Scorer, confusion_matrix, macro_f1
from danil.statistics.bootstrap import group_codes
from danil.statistics.confusion import graded


def scores(predictions, **options):
    codes = group_codes(predictions)
    return Scorer(predictions, codes, int(codes.max()) + 1, **options).point()


def expected(p: Predictions) -> dict[str, float]:
    y, found, q, k = p.labels, p.found, p.probabilities, len(p.classes)
    truth = np.eye(k)[y]
    row = {
        "accuracy": oracle.accuracy_score(y, found),
        "balanced_accuracy": oracle.balanced_accuracy_score(y, found),
        "mcc": oracle.matthews_corrcoef(y, found),
        "quadratic_kappa": oracle.cohen_kappa_score(y, found, weights="quadratic"),
        "brier": ((q - truth) ** 2).sum(1).mean(),
        "nll": oracle.log_loss(y, q, labels=range(k)),
        "roc_auc": oracle.roc_auc_score(truth, q, average="macro"),
        "average_precision": oracle.average_precision_score(truth, q, average="macro"),
    }
    for average in ("macro", "weighted"):
        triple = oracle.precision_recall_fscore_support(y, found, average=average, zero_division=0)
        row |= dict(zip((f"{average}_precision", f"{average}_recall", f"{average}_f1"), triple, strict=False))
    return row


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("skill", [0.0, 2.0])
def test_metrics_equal_scikit_learn(made, k, skill):
    predictions = made(n=300, k=k, skill=skill, seed=k)
    found = scores(predictions, ordinal=True)
    for name, value in expected(predictions).items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_per_class_metrics_equal_scikit_learn(made):
    predictions = made(n=300, k=4)
    found = scores(predictions)
    triple = oracle.precision_recall_fscore_support(predictions.labels, predictions.found)
    truth = np.eye(4)[predictions.labels]
    np.testing.assert_allclose(found["class_precision"], triple[0])
    np.testing.assert_allclose(found["class_recall"], triple[1])
    np.testing.assert_allclose(found["class_f1"], triple[2])
    np.testing.assert_allclose(
        found["class_roc_auc"], oracle.roc_auc_score(truth, predictions.probabilities, average=None)
    )
    np.testing.assert_allclose(
        found["class_average_precision"],
        oracle.average_precision_score(truth, predictions.probabilities, average=None),
    )


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_ranking_metrics_equal_scikit_learn_where_scores_are_tied(made, decimals):
    predictions = made(n=200, k=2, seed=3)
    first = np.round(predictions.probabilities[:, 0], decimals)
    tied = Predictions.of(predictions.labels, np.stack([first, 1 - first], axis=1))
    found = scores(tied)
    for index, score in enumerate((first, 1 - first)):
        positive = tied.labels == index
        assert found["class_roc_auc"][index] == pytest.approx(oracle.roc_auc_score(positive, score), abs=1e-12)
        assert found["class_average_precision"][index] == pytest.approx(
            oracle.average_precision_score(positive, score), abs=1e-12
        )


def test_group_weights_act_as_sample_weights_do_in_scikit_learn(made):
    predictions = made(n=120, k=3, per_group=2)
    codes = group_codes(predictions)
    weights = np.random.default_rng(0).integers(0, 4, (60, 5)).astype(float)
    found = Scorer(predictions, codes, 60)(weights)
    y, q, truth = predictions.labels, predictions.probabilities, np.eye(3)[predictions.labels]
    for column in range(5):
        own = weights[codes, column]
        assert found["accuracy"][column] == pytest.approx(np.average(y == predictions.found, weights=own))
        f1 = oracle.f1_score(y, predictions.found, average="macro", sample_weight=own)
        assert found["macro_f1"][column] == pytest.approx(f1)
        assert found["nll"][column] == pytest.approx(oracle.log_loss(y, q, sample_weight=own))
        assert found["roc_auc"][column] == pytest.approx(oracle.roc_auc_score(truth, q, sample_weight=own))
        precision = oracle.average_precision_score(truth, q, sample_weight=own)
        assert found["average_precision"][column] == pytest.approx(precision)


def test_calibration_error_equals_the_hand_calculation():
    predictions = Predictions.of([0, 0, 1, 1], [[0.95, 0.05], [0.94, 0.06], [0.94, 0.06], [0.4, 0.6]])
    # bin (14/15, 1]: confidences 0.95, 0.94, 0.94, two right; bin (8/15, 9/15]: 0.6, right.
    assert scores(predictions)["ece"] == pytest.approx(abs(2 - 2.83) / 4 + abs(1 - 0.6) / 4)


def test_macro_averages_leave_out_classes_without_true_images():
    # labels a a b; predicted a c b: F1(a) = 2/3, F1(b) = 1, class c has no true image.
    predictions = Predictions.of(
        [0, 0, 1], [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]], classes=["a", "b", "c"]
    )
    found = scores(predictions)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro_recall"] == pytest.approx(0.75)
    assert found["roc_auc"] == pytest.approx((found["class_roc_auc"][0] + found["class_roc_auc"][1]) / 2)
    for name in ("precision", "recall", "f1", "roc_auc", "average_precision"):
        assert np.isnan(found[f"class_{name}"][2])


def test_a_class_that_is_never_predicted_has_precision_zero(made):
    predictions = Predictions.of([0, 1], [[0.9, 0.1], [0.8, 0.2]])
    found = scores(predictions)
    assert found["class_precision"].tolist() == [0.5, 0.0]
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["mcc"] == 0


def test_with_one_class_among_the_labels_ranking_is_undefined_and_the_rest_is_not():
    found = scores(Predictions.of([1, 1], [[0.9, 0.1], [0.2, 0.8]]))
    assert np.isnan(found["roc_auc"])
    assert found["accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx(2 / 3)


def test_unknown_labels_are_refused_by_the_scorer(made):
    with pytest.raises(PredictionsError, match="known labels"):
        scores(Predictions.of([0, -1], [[0.9, 0.1], [0.2, 0.8]]))


def test_macro_f1_of_a_constant_classifier_on_ham10000_is_the_papers():
    counts = [6705, 1113, 1099, 514, 327, 142, 115]
    labels = np.repeat(np.arange(7), counts)
    assert macro_f1(labels, np.zeros_like(labels), 7) == pytest.approx(0.115, abs=5e-4)


def test_the_confusion_matrix_has_labels_in_rows_and_leaves_unknown_ones_out():
    matrix = confusion_matrix(np.array([0, 0, 1, -1]), np.array([1, 0, 1, 0]), 2)
    assert matrix.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("classes", "answer"),
    [
        (("0", "1", "2", "3", "4"), True),
        (("1", "2", "3"), True),
        (("0.0", "1.0", "2.0"), True),
        (("0.0", "1.0", "2"), True),
        (("0.5", "1.5", "2.5"), False),
        (("0", "1"), False),
        (("0", "2", "1"), False),
        (("1", "3", "5"), False),
        (("a", "b", "c"), False),
    ],
)
def test_grades_are_three_or_more_consecutive_integers(classes, answer):
    assert graded(classes) is answer
