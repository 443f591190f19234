"""Intervals of calibration errors."""

import numpy as np
import pytest

from danil.statistics import Bootstrap, Predictions, bootstrap
from danil.statistics.calibration_interval import GapErrors, calibration_interval, gap_errors


def confident(share, right, groups=None) -> Predictions:
    """Predictions of class 0 with these probabilities, right or not."""
    return Predictions.of(np.where(right, 0, 1), np.stack([share, 1 - share], 1), groups=groups)


def test_the_bins_errors_are_the_hand_calculation():
    # gaps: bin of 0.9: 2 images, −0.9 and +0.1; bin of 0.6: +0.4; all: (−0.8, 0.4) / 3
    scorer = GapErrors(confident(np.array([0.9, 0.9, 0.6]), np.array([False, True, True])))
    found = scorer(np.array([[1.0, 0.0], [1.0, 3.0], [1.0, 0.0]]))["ece"]
    assert found == pytest.approx([0, abs(0.3 / 3 + 0.8 / 3) + abs(0 - 0.4 / 3)])
    assert scorer.point()["ece"] == 0


def test_groups_are_weighted_whole():
    scorer = GapErrors(confident(np.array([0.9, 0.9, 0.6]), np.array([False, True, True]), ["a", "a", "b"]))
    # twice the first group, nothing of the second: gap −1.6 / 4 in its bin
    assert scorer(np.array([[2.0], [0.0]]))["ece"] == pytest.approx([abs(-1.6 / 4 + 0.8 / 3) + 0.4 / 3])


def test_the_interval_goes_down_by_the_bins_errors_and_up_to_the_percentile_limit():
    value = Bootstrap(np.array(0.10), np.linspace(0.08, 0.18, 101))
    errors = Bootstrap(np.array(0.0), np.linspace(0.0, 0.04, 101))
    assert calibration_interval(value, errors) == pytest.approx((0.10 - 0.038, 0.1775))
    assert calibration_interval(Bootstrap(np.array(0.02), value.samples), errors)[0] == 0


def test_a_calibrated_network_is_not_claimed_to_be_off_and_an_overconfident_one_is():
    random = np.random.default_rng(0)
    holds, claims, percentile = 0, 0, 0
    for trial in range(40):
        share = random.uniform(0.5, 1, 400)
        for off, table in (
            (0, confident(share, random.random(400) < share)),
            (0.25, confident(share, random.random(400) < share - 0.25)),
        ):
            found = bootstrap(table, resamples=150, seed=trial, families=["probability"])[0]["ece"]
            low, high = calibration_interval(found, gap_errors(table, resamples=150, seed=trial)["ece"])
            holds += low <= off <= high
            claims += off > 0 and low > 0
            percentile += off == 0 and found.interval()[0] == 0
    assert holds >= 76
    assert claims == 40
    assert percentile == 0
