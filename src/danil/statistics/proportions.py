"""Shares of images, with intervals that respect groups and stay honest at 0 and 1."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from danil.statistics.predictions import Flags, Integers


@dataclass(frozen=True)
class Estimate:
    """Hold a value and its interval; NaN where undefined."""

    value: float
    low: float
    high: float


NOTHING = Estimate(np.nan, np.nan, np.nan)


def effective_size(hits: Flags, codes: Integers) -> float:
    """Return how many independent images these are worth: p(1 − p) ÷ the variance of p between groups.

    The variance is that of a ratio estimator, Σ(hᵍ − p nᵍ)² · G/(G − 1) / n² (Cochran 1977, §6.4). Never more than the
    images; where all or none are hits, the number of groups.
    """
    places = np.unique(codes, return_inverse=True)[1]
    totals = np.bincount(places)
    share = hits.mean()
    if share in (0, 1) or len(totals) == 1:
        return float(len(totals))
    residuals = np.bincount(places, weights=hits) - share * totals
    variance = (residuals**2).sum() * len(totals) / (len(totals) - 1) / len(hits) ** 2
    return float(min(len(hits), share * (1 - share) / variance)) if variance > 0 else float(len(hits))


def proportion(hits: Flags, codes: Integers, level: float = 0.95) -> Estimate:
    """Return the share of hits with its Wilson interval at the effective size; NaN without images."""
    if not len(hits):
        return NOTHING
    size, share = effective_size(hits, codes), float(hits.mean())
    low, high = np.asarray(proportion_confint(share * size, size, alpha=1 - level, method="wilson"), dtype=np.float64)
    return Estimate(share, float(low) if share > 0 else 0.0, float(high) if share < 1 else 1.0)


def shares_differ(first: Flags, second: Flags, first_codes: Integers, second_codes: Integers) -> float:
    """Return the two-sided p-value that two shares are equal: score test with pooled share and effective sizes."""
    sizes = effective_size(first, first_codes), effective_size(second, second_codes)
    pooled = np.concatenate([first, second]).mean()
    spread = np.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
    return 1.0 if spread == 0 else float(2 * norm.sf(abs(first.mean() - second.mean()) / spread))
