"""Gaps between shares at the same mix of strata."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import StratifiedTable

from danil.statistics.proportions import stratified_gap

STRATA = np.repeat([0, 1], [60, 40])
INSIDE = np.concatenate([np.arange(60) < 40, np.arange(40) < 10])
HITS = np.random.default_rng(0).random(100) < np.where(STRATA == 0, 0.9, 0.3)


def tables(hits, inside, strata):
    """A 2 × 2 table per stratum: side by hit."""
    sides = ((inside & (strata == s), ~inside & (strata == s)) for s in np.unique(strata))
    return [[[hits[side].sum(), (~hits[side]).sum()] for side in pair] for pair in sides]


def test_the_test_is_cochrans_mantels_and_haenszels():
    _, p = stratified_gap(HITS, INSIDE, STRATA, np.arange(100))
    oracle = StratifiedTable([np.array(table).T for table in tables(HITS, INSIDE, STRATA)])
    assert p == pytest.approx(oracle.test_null_odds(correction=False).pvalue)


def test_the_gap_is_the_mantel_haenszel_risk_difference():
    gap, _ = stratified_gap(HITS, INSIDE, STRATA, np.arange(100))
    weights, differences = [], []
    for (hit_in, miss_in), (hit_out, miss_out) in tables(HITS, INSIDE, STRATA):
        inner, outer = hit_in + miss_in, hit_out + miss_out
        weights.append(inner * outer / (inner + outer))
        differences.append(hit_in / inner - hit_out / outer)
    assert gap == pytest.approx(np.average(differences, weights=weights))


def test_another_mix_of_strata_alone_is_no_gap():
    hits = STRATA == 0
    assert abs(hits[INSIDE].mean() - hits[~INSIDE].mean()) > 0.3
    assert stratified_gap(hits, INSIDE, STRATA, np.arange(100)) == (0, 1)


def test_strata_on_one_side_only_tell_nothing():
    lone = np.concatenate([STRATA, [2] * 30])
    hits, inside = np.concatenate([HITS, [True] * 30]), np.concatenate([INSIDE, [True] * 30])
    assert stratified_gap(hits, inside, lone, np.arange(130)) == stratified_gap(HITS, INSIDE, STRATA, np.arange(100))
    assert np.isnan(stratified_gap(hits[:30], inside[:30], lone[:30], np.arange(30))).all()


def test_images_that_agree_within_groups_count_once():
    five = [np.repeat(values, 5) for values in (HITS, INSIDE, STRATA, np.arange(100))]
    gap, p = stratified_gap(*five)
    once = stratified_gap(HITS, INSIDE, STRATA, np.arange(100))
    assert gap == pytest.approx(once[0])
    assert p == pytest.approx(once[1], rel=0.05)
    assert stratified_gap(*five[:3], np.arange(500))[1] < once[1] / 3


def test_groups_that_lie_on_both_sides_do_not_widen_the_gap():
    rows = np.arange(200)
    hits, inside, pairs = np.random.default_rng(1).random(200) < 0.6, rows % 2 == 0, rows // 2
    alone = stratified_gap(hits, inside, np.zeros(200, dtype=np.int64), rows)
    assert stratified_gap(hits, inside, np.zeros(200, dtype=np.int64), pairs)[1] >= alone[1] - 1e-12
