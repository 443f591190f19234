"""Correction for many tests at once."""

import numpy as np
from numpy.typing import ArrayLike

from danil.statistics.predictions import Floats


def holm_corrected(p_values: ArrayLike) -> Floats:
    """Return p-values corrected after Holm (1979); NaN (not tested) stays NaN and does not count.

    statsmodels' `multipletests` gives the same, but collects garbage at every call, which takes 50 ms and more.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]
    corrected = np.full(values.shape, np.nan)
    steps = values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected
