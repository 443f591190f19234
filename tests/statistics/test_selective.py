"""Risk–coverage."""

import numpy as np
import pytest

from danil.statistics import Predictions, PredictionsError
from danil.statistics.selective import risk_coverage, risk_threshold, selection


def rated(confidences, right) -> Predictions:
    table = np.stack([confidences, 1 - np.asarray(confidences)], axis=1)
    return Predictions.of(np.where(right, 0, 1), table)


SIMPLE = rated([0.9, 0.8, 0.7, 0.6], [True, True, False, True])


def test_the_curve_is_the_hand_calculation():
    curve = risk_coverage(SIMPLE)
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.risk, [0, 0, 1 / 3, 1 / 4])
    np.testing.assert_allclose(curve.confidence, [0.9, 0.8, 0.7, 0.6])
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)


def test_equal_confidences_are_answered_together_and_their_order_does_not_matter():
    # among the two images of 0.8 the wrong one comes first or second: risks (1/2 + 0)/2 at rank 2, 1/3 at rank 3
    for right in ([True, True, False], [True, False, True]):
        curve = risk_coverage(rated([0.9, 0.8, 0.8], right))
        np.testing.assert_allclose(curve.coverage, [1 / 3, 1])
        np.testing.assert_allclose(curve.risk, [0, 1 / 3])
        assert curve.area == pytest.approx((0 + 0.25 + 1 / 3) / 3)


@pytest.mark.parametrize(("wanted", "threshold"), [(0.0, 0.8), (0.2, 0.8), (0.25, 0.6), (0.5, 0.6)])
def test_the_threshold_of_a_wanted_risk_answers_as_many_as_possible(wanted, threshold):
    assert risk_threshold(SIMPLE, wanted) == pytest.approx(threshold)


def test_a_risk_that_no_confidence_reaches_has_no_threshold():
    assert risk_threshold(rated([0.9, 0.8], [False, True]), 0.1) is None


def test_a_selection_has_coverage_and_risk_of_what_is_answered():
    found = selection(SIMPLE, 0.7)
    assert found.coverage.value == 0.75
    assert found.risk.value == pytest.approx(1 / 3)


def test_impossible_risks_and_missing_labels_are_refused():
    with pytest.raises(ValueError, match=r"`wanted` risk is 1\.5"):
        risk_threshold(SIMPLE, 1.5)
    with pytest.raises(PredictionsError, match="has no labels"):
        risk_coverage(Predictions.of([-1], [[0.5, 0.5]]))
