"""Selective prediction: leaving the least confident images to a person lowers the risk on the rest."""

from dataclasses import dataclass

import numpy as np

from danil.statistics.bootstrap import group_codes
from danil.statistics.predictions import Floats, Predictions
from danil.statistics.proportions import Estimate, proportion


@dataclass(frozen=True)
class RiskCoverage:
    """Hold, for each distinct confidence from the highest on, the share of images at or above it and their error rate.

    `area` (AURC) is the mean risk over all coverages 1/N, 2/N … 1, equal confidences in the mean over their orders.
    """

    confidence: Floats
    coverage: Floats
    risk: Floats
    area: float


def risk_coverage(predictions: Predictions) -> RiskCoverage:
    """Return the risk–coverage curve of labelled images.

    Raises:
        PredictionsError: no row has a label.
    """
    known = predictions.labelled()
    known.require_rows("a risk–coverage curve")
    confidence = known.probabilities.max(1)
    wrong = (known.found != known.labels).astype(np.float64)
    levels, block, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    shares = np.bincount(block, weights=wrong) / sizes
    ranks = np.arange(1, len(known) + 1)
    risks = np.cumsum(np.repeat(shares, sizes)) / ranks
    ends = np.cumsum(sizes) - 1
    return RiskCoverage(-levels, ranks[ends] / len(known), risks[ends], float(risks.mean()))


def risk_threshold(predictions: Predictions, wanted: float) -> float | None:
    """Return the lowest confidence at and above which the error rate is at most `wanted`; `None` where none is.

    Give the validation part: on the images it was chosen on, the risk looks lower than it will be.

    Raises:
        ValueError: `wanted` is not in [0, 1).
    """
    if not 0 <= wanted < 1:
        raise ValueError(f"`wanted` risk is {wanted}; it must lie in [0, 1), e.g. 0.05.")
    curve = risk_coverage(predictions)
    fine = np.flatnonzero(curve.risk <= wanted + 1e-12)
    return float(curve.confidence[fine[-1]]) if len(fine) else None


@dataclass(frozen=True)
class Selection:
    """Hold what answering only from a confidence on gives: share of images answered, and the risk on those."""

    threshold: float
    coverage: Estimate
    risk: Estimate


def selection(predictions: Predictions, threshold: float) -> Selection:
    """Return coverage and risk of a threshold on the confidence, with intervals that respect groups."""
    known = predictions.labelled()
    codes = group_codes(known)
    answered = known.probabilities.max(1) >= threshold
    wrong = known.found != known.labels
    return Selection(threshold, proportion(answered, codes), proportion(wrong[answered], codes[answered]))
