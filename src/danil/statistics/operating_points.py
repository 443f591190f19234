"""Operating points: a threshold on one class's probability, what it finds and misses, what acting on it is worth."""

from dataclasses import dataclass

import numpy as np

from danil.statistics.predictions import Flags, Floats, Integers
from danil.statistics.proportions import NOTHING, Estimate, proportion


@dataclass(frozen=True)
class OperatingPoint:
    """Hold what calling every image positive whose score is at least `threshold` gives.

    `ppv` and `npv` hold at `prevalence`; their limits come from both limits of sensitivity and specificity together,
    which is cautious (the intervals are rather too wide).
    """

    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    prevalence: float
    ppv: Estimate
    npv: Estimate
    positives: int
    negatives: int


def sensitivity_threshold(positive: Flags, scores: Floats, wanted: float) -> float:
    """Return the highest threshold whose sensitivity is at least `wanted`.

    Raises:
        ValueError: `wanted` is not in (0, 1], or nothing is positive.
    """
    ranked = np.sort(checked(scores[positive], wanted, "sensitivity", "positive"))[::-1]
    return float(ranked[needed(wanted, len(ranked)) - 1])


def specificity_threshold(positive: Flags, scores: Floats, wanted: float) -> float:
    """Return the lowest threshold, of the scores given, whose specificity is at least `wanted`.

    It lies just above the highest score where no score of an image will do.

    Raises:
        ValueError: `wanted` is not in (0, 1], or nothing is negative.
    """
    ranked = np.sort(checked(scores[~positive], wanted, "specificity", "negative"))
    bound = ranked[needed(wanted, len(ranked)) - 1]
    above = scores[scores > bound]
    return float(above.min()) if len(above) else float(np.nextafter(bound, np.inf))


def checked(scores: Floats, wanted: float, name: str, kind: str) -> Floats:
    """Return the scores after checking the arguments."""
    if not 0 < wanted <= 1:
        raise ValueError(f"`wanted` {name} is {wanted}; it must lie in (0, 1], e.g. 0.9.")
    if not len(scores):
        raise ValueError(f"no image is {kind}, so {name} is undefined. Choose the threshold on images of both kinds.")
    return scores


def needed(wanted: float, count: int) -> int:
    """Return the fewest of `count` images that make up the wanted share."""
    return int(np.ceil(round(wanted * count, 9)))


def operating_point(
    positive: Flags, scores: Floats, threshold: float, codes: Integers, prevalence: float | None = None
) -> OperatingPoint:
    """Return sensitivity and specificity of a threshold with intervals, predictive values at a stated prevalence.

    The intervals take the threshold as given: they are honest where it was chosen on other images.

    Args:
        positive: `(N,)` which images are of the class.
        scores: `(N,)` the class's probability.
        threshold: images whose score is at least this are called positive.
        codes: `(N,)` each image's group.
        prevalence: share of positives where the classifier will be used. Default: that of these images.

    Raises:
        ValueError: the prevalence is not in [0, 1].
    """
    share = float(positive.mean()) if prevalence is None else prevalence
    if not 0 <= share <= 1:
        raise ValueError(f"`prevalence` is {prevalence}; it must lie in [0, 1], e.g. 0.05 for one in twenty.")
    called = scores >= threshold
    sensitivity = proportion(called[positive], codes[positive])
    specificity = proportion(~called[~positive], codes[~positive])
    return OperatingPoint(
        threshold,
        sensitivity,
        specificity,
        share,
        predictive_value(sensitivity, specificity, share),
        predictive_value(specificity, sensitivity, 1 - share),
        int(positive.sum()),
        int((~positive).sum()),
    )


def predictive_value(rate: Estimate, other: Estimate, share: float) -> Estimate:
    """Return rate·share / (rate·share + (1 − other)·(1 − share)): the PPV, or with the roles exchanged the NPV."""
    if np.isnan(rate.value) or np.isnan(other.value):
        return NOTHING
    values: list[float] = []
    for hit, pass_rate in ((rate.value, other.value), (rate.low, other.low), (rate.high, other.high)):
        called = hit * share + (1 - pass_rate) * (1 - share)
        values.append(hit * share / called if called > 0 else np.nan)
    return Estimate(*values)


@dataclass(frozen=True)
class DecisionCurve:
    """Hold net benefit by threshold probability: acting on the model, on everyone, (on no one: 0)."""

    thresholds: Floats
    model: Floats
    everyone: Floats


def decision_curve(
    positive: Flags, scores: Floats, thresholds: Floats | None = None, prevalence: float | None = None
) -> DecisionCurve:
    """Return the net benefit sensitivity · π − (1 − specificity) · (1 − π) · t/(1 − t) of acting from score t on.

    It needs scores that are calibrated where the prevalence is π: t is the probability from which on acting is worth
    it. π is that of these images (the benefit is then TP/N − FP/N · t/(1 − t)) unless `prevalence` says another.

    Reference: Vickers & Elkin, Med. Decis. Making 26 (2006).
    """
    at = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if ((at <= 0) | (at >= 1)).any():
        raise ValueError(f"`thresholds` run from {at.min()} to {at.max()}; they must lie in (0, 1).")
    true = len(np.flatnonzero(positive)) - np.searchsorted(np.sort(scores[positive]), at, side="left")
    false = len(np.flatnonzero(~positive)) - np.searchsorted(np.sort(scores[~positive]), at, side="left")
    odds, share = at / (1 - at), float(positive.mean()) if prevalence is None else prevalence
    found, called = true / max(positive.sum(), 1), false / max((~positive).sum(), 1)
    return DecisionCurve(at, found * share - called * (1 - share) * odds, share - (1 - share) * odds)
