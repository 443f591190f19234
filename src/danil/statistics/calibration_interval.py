"""Intervals of calibration errors, which the percentile bootstrap gets wrong.

An ECE is a sum of absolute gaps, so chance alone makes it positive, and resampling adds chance again: for a nearly
calibrated network the percentile interval mostly misses the truth (docs/evaluation.md has the simulation). By the
triangle inequality the error lies within ± Σ|error of a bin's gap| of the value; resampling tells that sum.
"""

import numpy as np
from scipy import sparse

from danil.statistics.bootstrap import LEVEL, RESAMPLES, Bootstrap, bootstrapped, group_codes
from danil.statistics.predictions import Floats, Predictions
from danil.statistics.scorer import bin_of, equal_mass_edges, equal_width_edges


class GapErrors:
    """Compute, for group weights `(G, b)`, how far the bins' gaps lie from those of all images, in sum `(b,)`."""

    def __init__(self, predictions: Predictions) -> None:
        codes, confidence = group_codes(predictions), predictions.probabilities.max(1)
        gap = (predictions.found == predictions.labels) - confidence
        self.groups = int(codes.max()) + 1
        self.images = np.bincount(codes).astype(np.float64)
        edges = {"ece": equal_width_edges(), "ece_equal_mass": equal_mass_edges(confidence)}
        self.gaps = {
            name: sparse.csr_array((gap, (bin_of(confidence, edge), codes)), shape=(len(edge) - 1, self.groups))
            for name, edge in edges.items()
        }

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return the sum by calibration error."""
        count = self.images @ weights
        return {
            name: np.abs(gaps @ weights / count - gaps.sum(1)[:, None] / self.images.sum()).sum(0)
            for name, gaps in self.gaps.items()
        }

    def point(self) -> dict[str, Floats]:
        """Return 0 for each: all images are the reference."""
        return dict.fromkeys(self.gaps, np.zeros(()))


def calibration_interval(value: Bootstrap, errors: Bootstrap, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of a calibration error: down by the bins' errors, up to the percentile limit.

    It errs on the wide side, most where the network is calibrated. NaN where the error's own interval is.
    """
    point, high = float(value.point), float(value.interval(level)[1])
    if np.isnan(high):
        return high, high
    return max(0.0, point - float(np.quantile(errors.samples, level))), max(point, high)


def gap_errors(predictions: Predictions, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Bootstrap]:
    """Return `GapErrors` under resampling, for `calibration_interval`."""
    return bootstrapped([GapErrors(predictions)], resamples=resamples, seed=seed)[0]
