"""Shares of images, with intervals that respect groups and stay honest at 0 and 1."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t
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
    """Return the share of hits with its Wilson interval at the effective size; NaN without images.

    The spread between few groups is itself hardly known: where groups hold several images, the effective size shrinks
    by (z / t)², t with G − 1 degrees of freedom (Korn and Graubard, Survey Methodology 24, 1998).
    """
    if not len(hits):
        return NOTHING
    size, share, groups = effective_size(hits, codes), float(hits.mean()), len(np.unique(codes))
    if 1 < groups < len(hits) and 0 < share < 1:
        size *= float(norm.ppf((1 + level) / 2) / t.ppf((1 + level) / 2, groups - 1)) ** 2
    low, high = np.asarray(proportion_confint(share * size, size, alpha=1 - level, method="wilson"), dtype=np.float64)
    return Estimate(share, float(low) if share > 0 else 0.0, float(high) if share < 1 else 1.0)


def stratified_gap(hits: Flags, inside: Flags, strata: Integers, codes: Integers) -> tuple[float, float]:
    """Return the share of hits inside less that outside, at the same mix of strata, and its two-sided p-value.

    The strata's differences are weighted by n₁n₀/(n₁ + n₀) (Mantel and Haenszel 1959); a stratum that lies on one side
    only tells nothing. The test is Cochran's, Mantel's and Haenszel's without continuity correction, its variance
    enlarged where the images of a group are alike. NaN where no stratum is on both sides; p is 1 where all or none hit.
    """
    size = int(strata.max()) + 1
    inner, outer = (np.bincount(strata[side], minlength=size).astype(np.float64) for side in (inside, ~inside))
    usable = (inner > 0) & (outer > 0)
    if not usable.any():
        return np.nan, np.nan
    kept = usable[strata]
    hits, inside, strata, codes = hits[kept], inside[kept], strata[kept], codes[kept]
    both = inner + outer
    weights = np.divide(inner * outer, both, out=np.zeros(size), where=usable)
    share = np.bincount(strata, weights=hits, minlength=size) / np.maximum(both, 1)
    # each image's part in the weighted sum of differences, around its stratum's share
    parts = weights[strata] * (hits - share[strata]) * np.where(inside, 1 / inner[strata], -1 / outer[strata])
    variance = (weights * both / np.maximum(both - 1, 1) * share * (1 - share)).sum()
    gap = float(parts.sum() / weights.sum())
    if variance == 0:
        return gap, 1.0
    together = np.bincount(np.unique(codes, return_inverse=True)[1], weights=parts)
    variance *= max(1.0, float((together**2).sum() / (parts**2).sum()))
    return gap, float(2 * norm.sf(abs(parts.sum()) / variance**0.5))
