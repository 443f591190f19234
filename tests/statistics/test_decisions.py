"""Temperature and thresholds of held-out labels."""

import numpy as np
import pytest

from danil.statistics import Predictions, PredictionsError
from danil.statistics.calibration import fitted_temperature, tempered
from danil.statistics.decisions import Wanted, fitted_decisions


def test_thresholds_reach_what_is_wanted_on_the_held_out_labels_with_the_temperature(made):
    held_out = made(n=300, skill=0.8)
    found = fitted_decisions(held_out, Wanted(sensitivities=(0.8, 0.95), specificities=(0.7,), risks=(0.2,)))
    assert found.temperature == fitted_temperature(held_out)
    mended = tempered(held_out, found.temperature.value)
    assert [(one.name, one.wanted, one.at_least) for one in found.classes[:3]] == [
        ("0", "sensitivity", 0.8),
        ("0", "sensitivity", 0.95),
        ("0", "specificity", 0.7),
    ]
    for one in found.classes:
        index = held_out.classes.index(one.name)
        positive, called = mended.labels == index, mended.probabilities[:, index] >= one.threshold
        assert (called[positive] if one.wanted == "sensitivity" else ~called[~positive]).mean() >= one.at_least
    answered = mended.probabilities.max(1) >= found.confidences[0].threshold
    assert (mended.found != mended.labels)[answered].mean() <= 0.2


def test_an_absent_class_has_no_threshold_and_an_unreachable_risk_none(made):
    held_out = made(n=60, labels=np.arange(60) % 2)
    found = fitted_decisions(held_out)
    assert {one.name for one in found.classes} == {"0", "1"}
    wrong = Predictions.of([0] * 10, [[0.4, 0.6]] * 10)
    assert [one.threshold for one in fitted_decisions(wrong).confidences] == [None, None, None]


def test_the_decisions_are_applied_to_other_predictions_by_their_temperature_alone(made):
    found, other = fitted_decisions(made(skill=0.5)), made(seed=9)
    np.testing.assert_array_equal(
        found.calibrated(other).probabilities, tempered(other, found.temperature.value).probabilities
    )


def test_without_held_out_labels_nothing_is_decided():
    with pytest.raises(PredictionsError, match="no labels"):
        fitted_decisions(Predictions.of([-1, -1], [[0.5, 0.5]] * 2))


@pytest.mark.parametrize(
    "wish", [{"sensitivities": (0.0,)}, {"specificities": (1.1,)}, {"risks": (1.0,)}, {"risks": (-0.1,)}]
)
def test_rates_that_are_no_shares_are_refused(wish):
    with pytest.raises(PredictionsError, match="it must lie in"):
        Wanted(**wish)
