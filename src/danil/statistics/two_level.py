"""Intervals of means over seeds and groups.

A method's result varies with the seed of its training and with the test images drawn. With S seeds and test groups
crossed, the variance of a mean over seeds is V(seeds) + V(groups) − V(residual): the variance of the seeds' results ÷ S
holds the seeds' own spread *and* S⁻¹ of what seeds and images do together; the bootstrap variance of the mean over
groups holds the groups' spread and the same S⁻¹ again, which is therefore taken off once (two-way random effects).
The group part, V(groups) − V(residual), is kept at 0 or above. The interval is Student's t with Satterthwaite's degrees
of freedom, since the spread of 5 seeds is known from 5 numbers only. Under simulated nulls with 5 seeds it claims a
difference in 4 to 5 % of 300 cases (`benchmarks/interval_coverage.py`). A percentile interval over resampled seeds and
groups would count what seeds and images do together twice, and take 5 seeds for all there are. With one seed only the
groups' part can be known. Between two trainings of one and the same method that differ in the seed alone, its interval
of macro-F1 excludes 0 in nearly half of the cases (docs/replication.md): fewer than `ENOUGH` seeds carry no verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from danil.statistics.bootstrap import LEVEL, Bootstrap
from danil.statistics.predictions import Floats
from danil.statistics.scorer import LIMITS

ENOUGH = 3
"""Seeds below which no verdict is given: how far trainings of one method differ is not known from fewer."""


@dataclass(frozen=True)
class Difference:
    """Hold the difference of two methods (first − second) in one metric; `p_holm` is corrected over all pairs."""

    value: float
    low: float
    high: float
    p: float
    p_holm: float = np.nan


def difference(first: Bootstrap, second: Bootstrap, groups: int, paired: bool) -> Difference:
    """Return the difference of two methods' means over seeds; columns of `samples` are seeds."""
    if paired and len(first.point) == len(second.point):
        return two_level([Bootstrap(first.point - second.point, first.samples - second.samples)], groups)
    return two_level([first, Bootstrap(-second.point, -second.samples)], groups)


def method_mean(values: Bootstrap, groups: int, metric: str) -> Difference:
    """Return a method's mean over seeds with its interval, within the values that the metric can take; `p` is NaN.

    There is no interval where all seeds and resamples agree, which is not certainty, and none of a calibration error,
    which resampling gets wrong (`danil.statistics.calibration_interval`).
    """
    found = two_level([values], groups)
    if metric.startswith("ece"):
        return Difference(found.value, np.nan, np.nan, np.nan)
    low, high = np.clip([found.low, found.high], *LIMITS.get(metric, (0.0, 1.0)))
    return Difference(found.value, *((float(low), float(high)) if low < high else (np.nan, np.nan)), np.nan)


def two_level(arms: Sequence[Bootstrap], groups: int, level: float = LEVEL) -> Difference:
    """Return the sum of the arms' means over seeds with its interval over seeds and groups (see the module).

    Args:
        arms: independent sets of seeds; `point` `(S,)`, `samples` `(R, S)` under the same draws of groups.
        groups: G.
        level: of the interval.

    Returns:
        NaN bounds where all seeds and resamples agree on a value other than 0, which is not certainty.
    """
    value = float(sum(arm.point.mean() for arm in arms))
    defined = ~np.any([np.isnan(arm.samples).any(1) for arm in arms], axis=0)
    if np.isnan(value) or defined.mean() < 0.5 or groups < 2:
        return Difference(value, np.nan, np.nan, np.nan)
    samples = [arm.samples[defined] for arm in arms]
    total = np.sum([sample.mean(1) for sample in samples], axis=0)
    if min(len(arm.point) for arm in arms) < 2:
        if total.min() == total.max() != 0:
            return Difference(value, np.nan, np.nan, np.nan)
        low, high = np.quantile(total, [(1 - level) / 2, (1 + level) / 2])
        beyond = min((total <= 0).mean(), (total >= 0).mean())
        return Difference(value, float(low), float(high), float(min(1.0, 2 * max(beyond, 1 / len(total)))))
    seeds = [float(arm.point.var(ddof=1)) / len(arm.point) for arm in arms]
    residual = sum(residual_variance(sample) for sample in samples)
    # drawing G of G groups spreads a mean by (G − 1)/G of what another G would
    image_part = max(0.0, float(total.var(ddof=1)) - residual) * groups / (groups - 1)
    variance = sum(seeds) + image_part
    if variance == 0:
        return Difference(value, *((0.0, 0.0, 1.0) if value == 0 else (np.nan, np.nan, np.nan)))
    terms = [(part, len(arm.point) - 1) for part, arm in zip(seeds, arms, strict=True)] + [(image_part, groups - 1)]
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in terms)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * variance**0.5
    return Difference(value, value - half, value + half, float(2 * stats.t.sf(abs(value) / variance**0.5, freedom)))


def residual_variance(samples: Floats) -> float:
    """Return what seeds and images do together, as a variance of the mean over the S columns."""
    count = samples.shape[1]
    own = samples - samples.mean(1, keepdims=True)
    return float(own.var(axis=0, ddof=1).sum()) / (count - 1) / count
