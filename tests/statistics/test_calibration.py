"""Reliability, ECE, temperature."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from danil.statistics import Predictions, PredictionsError, Scorer
from danil.statistics.bootstrap import group_codes
from danil.statistics.calibration import fitted_temperature, reliability, tempered
from oracles.calibration import calibration_error


def hot(temperature, n=4000, k=3, seed=0) -> Predictions:
    """Labels are drawn from softmax(z), softmax(z · T) is told: calibrated but for the temperature."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, k)) * 1.5
    truth = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (truth.cumsum(1) < random.random((n, 1))).sum(1)
    told = np.exp(logits * temperature)
    return Predictions.of(labels, told / told.sum(1, keepdims=True))


def errors(predictions):
    return Scorer(predictions, group_codes(predictions), len(predictions)).point()


def test_reliability_bins_are_scikit_learns(made):
    predictions = made(n=500)
    confidence, right = predictions.probabilities.max(1), predictions.found == predictions.labels
    shares, means = calibration_curve(right, confidence, n_bins=10)
    bars = reliability(predictions, 10)
    np.testing.assert_allclose([bar.accuracy for bar in bars], shares)
    np.testing.assert_allclose([bar.confidence for bar in bars], means)
    assert sum(bar.images for bar in bars) == 500


def test_bins_of_equal_mass_hold_as_many_images_each(made):
    assert {bar.images for bar in reliability(made(n=500), 10, equal_mass=True)} == {50}


@pytest.mark.parametrize("equal_mass", [False, True])
def test_calibration_error_is_the_weighted_mean_gap(made, equal_mass):
    predictions = made(n=300)
    bars = reliability(predictions, equal_mass=equal_mass)
    gap = sum(abs(bar.accuracy - bar.confidence) * bar.images for bar in bars) / 300
    assert errors(predictions)["ece_equal_mass" if equal_mass else "ece"] == pytest.approx(gap)
    if not equal_mass:
        assert gap == pytest.approx(calibration_error(predictions.labels, predictions.probabilities))


def test_equal_confidences_make_one_bin_of_equal_mass():
    predictions = Predictions.of([0, 0, 1, 1], [[0.75, 0.25]] * 4)
    assert errors(predictions)["ece_equal_mass"] == pytest.approx(0.25)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    assert fitted_temperature(hot(temperature)).value == pytest.approx(temperature, rel=0.08)


def test_the_fitted_temperature_is_the_best_of_a_fine_grid_and_lowers_the_calibration_error():
    predictions = hot(2.5)
    found = fitted_temperature(predictions)
    grid = [log_loss(predictions.labels, tempered(predictions, t).probabilities) for t in np.geomspace(0.1, 10, 200)]
    assert found.nll_after <= min(grid) + 1e-9
    assert found.nll_before == pytest.approx(log_loss(predictions.labels, predictions.probabilities))
    assert errors(tempered(predictions, found.value))["ece"] < errors(predictions)["ece"] / 3


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [0, 1, 0]])
def test_likelihood_is_never_worse_also_on_tiny_or_certain_validation_parts(labels):
    predictions = Predictions.of(labels, [[1.0, 0.0], [0.9, 0.1], [0.5, 0.5]])
    found = fitted_temperature(predictions)
    assert found.nll_after <= found.nll_before
    assert np.isfinite(found.nll_after)


def test_a_temperature_keeps_predictions_and_sums_and_one_changes_nothing(made):
    predictions = made()
    cooled = tempered(predictions, 3.0)
    np.testing.assert_array_equal(cooled.found, predictions.found)
    np.testing.assert_allclose(cooled.probabilities.sum(1), 1)
    np.testing.assert_allclose(tempered(predictions, 1.0).probabilities, predictions.probabilities)


def test_a_temperature_needs_labels_and_must_be_positive(made):
    with pytest.raises(PredictionsError, match="has no labels, so a temperature cannot be had"):
        fitted_temperature(Predictions.of([-1], [[0.5, 0.5]]))
    with pytest.raises(ValueError, match="must be positive"):
        tempered(made(), 0.0)
