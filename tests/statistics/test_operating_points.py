"""Thresholds, predictive values, net benefit, intervals of shares."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from danil.statistics.operating_points import (
    decision_curve,
    operating_point,
    sensitivity_threshold,
    specificity_threshold,
)
from danil.statistics.proportions import effective_size, proportion

POSITIVE = np.array([True, True, True, True, False, False, False, False, False])
SCORES = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.5, 0.3, 0.2, 0.1])
ALONE = np.arange(9)


def rates(threshold):
    called = threshold <= SCORES
    return called[POSITIVE].mean(), (~called[~POSITIVE]).mean()


@pytest.mark.parametrize("wanted", [0.01, 0.25, 0.26, 0.5, 0.75, 0.9, 1.0])
def test_thresholds_reach_what_is_wanted_and_the_next_one_does_not(wanted):
    cut = sensitivity_threshold(POSITIVE, SCORES, wanted)
    assert rates(cut)[0] >= wanted
    assert rates(np.nextafter(cut, 1))[0] < wanted
    cut = specificity_threshold(POSITIVE, SCORES, wanted)
    assert rates(cut)[1] >= wanted
    lower = SCORES[cut > SCORES]
    assert not len(lower) or rates(lower.max())[1] < wanted


def test_a_threshold_above_every_score_is_given_where_only_that_spares_all_negatives():
    cut = specificity_threshold(np.array([True, False]), np.array([0.2, 0.9]), 1.0)
    assert 0.9 < cut < 0.9001


def test_an_operating_point_is_the_hand_calculation():
    point = operating_point(POSITIVE, SCORES, 0.6, ALONE)
    assert (point.sensitivity.value, point.specificity.value) == (0.75, 0.8)
    assert (point.ppv.value, point.npv.value) == pytest.approx((3 / 4, 4 / 5))
    assert (point.positives, point.negatives) == (4, 5)
    stated = operating_point(POSITIVE, SCORES, 0.6, ALONE, prevalence=0.1)
    # Bayes: 0.75 · 0.1 / (0.75 · 0.1 + 0.2 · 0.9) and 0.8 · 0.9 / (0.8 · 0.9 + 0.25 · 0.1)
    assert (stated.ppv.value, stated.npv.value) == pytest.approx((0.075 / 0.255, 0.72 / 0.745))
    assert stated.ppv.low < stated.ppv.value < stated.ppv.high


def test_a_share_of_independent_images_has_wilsons_interval():
    hits = np.arange(50) < 20
    found = proportion(hits, np.arange(50))
    # the variance estimate divides by n − 1, so the effective size is 49
    assert effective_size(hits, np.arange(50)) == pytest.approx(49)
    assert (found.low, found.high) == pytest.approx(proportion_confint(0.4 * 49, 49, method="wilson"))


def test_images_of_groups_that_agree_within_are_worth_their_groups():
    hits = np.repeat(np.arange(50) < 20, 4)
    assert effective_size(hits, np.repeat(np.arange(50), 4)) == pytest.approx(49)


def test_images_are_never_worth_more_than_their_number():
    assert effective_size(np.tile([True, False], 30), np.repeat(np.arange(30), 2)) == 60


def test_no_error_in_20_groups_is_not_certainty():
    found = proportion(np.ones(60, dtype=bool), np.repeat(np.arange(20), 3))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(proportion_confint(20, 20, method="wilson")[0])


def test_net_benefit_is_the_hand_calculation():
    curve = decision_curve(POSITIVE, SCORES, np.array([0.25, 0.6]))
    # at 0.25: 4 true, 3 false positives; at 0.6: 3 true, 1 false
    assert curve.model == pytest.approx([(4 - 3 * (1 / 3)) / 9, (3 - 1 * 1.5) / 9])
    assert curve.everyone == pytest.approx([(4 - 5 * (1 / 3)) / 9, (4 - 5 * 1.5) / 9])


def test_what_cannot_be_wanted_is_refused():
    with pytest.raises(ValueError, match=r"`wanted` sensitivity is 1.2; it must lie in \(0, 1\]"):
        sensitivity_threshold(POSITIVE, SCORES, 1.2)
    with pytest.raises(ValueError, match="no image is negative"):
        specificity_threshold(np.ones(2, dtype=bool), np.array([0.1, 0.2]), 0.5)
    with pytest.raises(ValueError, match="`prevalence` is 5"):
        operating_point(POSITIVE, SCORES, 0.5, ALONE, prevalence=5)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\)"):
        decision_curve(POSITIVE, SCORES, np.array([0.5, 1.0]))


@pytest.mark.slow
def test_intervals_of_shares_cover_the_truth_also_near_one_and_in_groups():
    random = np.random.default_rng(0)
    for share, spread in ((0.8, 0.0), (0.95, 0.0), (0.8, 0.2)):
        covered, trials = 0, 4000
        for _ in range(trials):
            own = share + spread * random.choice([-1, 1], size=100)
            found = proportion(random.random(300) < np.repeat(own, 3), np.repeat(np.arange(100), 3))
            covered += found.low <= share <= found.high
        assert covered / trials == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("groups", [5, 8, 20])
def test_shares_of_few_patients_are_covered(groups):
    random = np.random.default_rng(groups)
    codes, trials, held = np.repeat(np.arange(groups), 8), 1500, 0
    for _ in range(trials):
        mean = np.repeat(random.beta(0.8, 0.2, groups), 8)  # share 0.8, correlation 0.5 within a patient
        found = proportion(random.random(len(codes)) < mean, codes)
        held += found.low <= 0.8 <= found.high
    assert 0.91 <= held / trials <= 0.995
