"""Holm's correction."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from danil.statistics.multiplicity import holm_corrected


@pytest.mark.parametrize("seed", range(5))
def test_the_correction_is_statsmodels(seed):
    values = np.random.default_rng(seed).random(seed + 1) ** 3
    np.testing.assert_allclose(holm_corrected(values), multipletests(values, method="holm")[1])


def test_what_was_not_tested_does_not_count():
    # two tests: 0.01 · 2 and 0.04 · 1
    np.testing.assert_allclose(holm_corrected([np.nan, 0.04, 0.01]), [np.nan, 0.04, 0.02])
