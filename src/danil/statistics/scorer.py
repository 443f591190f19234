"""Every metric of one predictions table, under any weights of its groups."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import sparse

from danil.statistics.confusion import class_mean, class_scores, graded, overall_scores, ratio
from danil.statistics.predictions import Floats, Integers, Predictions, PredictionsError
from danil.statistics.ranking import Ranking

BINS = 15
FAMILIES = ("confusion", "probability", "ranking")
LOWER_IS_BETTER = frozenset({"brier", "nll", "ece", "ece_equal_mass"})
"""Metrics that measure an error."""
RANKED = frozenset({"roc_auc", "average_precision"})
"""Metrics of how each class's probability ranks the images."""
LIMITS = {"mcc": (-1.0, 1.0), "quadratic_kappa": (-1.0, 1.0), "brier": (0.0, 2.0), "nll": (0.0, float("inf"))}
"""Metric → the values it can take; the others are shares, 0 to 1."""


class Scorer:
    """Compute metrics of labelled predictions for group weights `(G, b)`, one column per resample.

    Weights of 1 give the metrics themselves. Families: `confusion` (see `danil.statistics.confusion` for the convention
    on absent classes), `probability` (`brier`: Σₖ(pₖ − yₖ)², 0 to 2; `nll` with probabilities clipped at the float64
    epsilon; `ece`, `ece_equal_mass` over `BINS` bins that stay fixed under resampling) and `ranking` (one-vs-rest
    `roc_auc` and `average_precision`, by class and as the mean over classes that occur).

    Args:
        predictions: whose labels are all known.
        codes: each image's group, 0 to `groups` − 1.
        groups: G, also counting groups that have no image here.
        families: which metrics.
        ordinal: whether classes are grades; default: by their names.
    """

    def __init__(
        self,
        predictions: Predictions,
        codes: Integers,
        groups: int,
        *,
        families: Iterable[str] = FAMILIES,
        ordinal: bool | None = None,
    ) -> None:
        if not len(predictions) or (predictions.labels < 0).any():
            raise PredictionsError(f"`{predictions.source}`: metrics need known labels. Take `.labelled()` first.")
        self.predictions = predictions
        self.codes = codes
        self.groups = groups
        self.ordinal = graded(predictions.classes) if ordinal is None else ordinal
        makers: dict[str, Callable[[], Callable[[Floats], dict[str, Floats]]]] = {
            "confusion": self.confusion_part,
            "probability": self.probability_part,
            "ranking": self.ranking_part,
        }
        self.parts = [makers[family]() for family in families]

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return metric → `(b,)`, and `class_<metric>` → `(b, K)` for the per-class ones."""
        values: dict[str, Floats] = {}
        for part in self.parts:
            values.update(part(weights))
        return values

    def point(self) -> dict[str, Floats]:
        """Return the metrics themselves: 0-dimensional, per-class ones `(K,)`."""
        return {name: values[0] for name, values in self(np.ones((self.groups, 1))).items()}

    def sums(self, rows: Integers, size: int, values: Floats | None = None) -> Any:
        """Return a sparse `(size, G)` matrix: sums of `values` (default: counts) of images by row and group."""
        data = np.ones(len(rows)) if values is None else values
        return sparse.csr_array((data, (rows, self.codes)), shape=(size, self.groups))

    def confusion_part(self) -> Callable[[Floats], dict[str, Floats]]:
        """Return the metrics that the confusion matrix decides."""
        k = len(self.predictions.classes)
        cells, cell = np.unique(self.predictions.labels * k + self.predictions.found, return_inverse=True)
        counts = self.sums(cell, len(cells))

        def part(weights: Floats) -> dict[str, Floats]:
            matrix = np.zeros((weights.shape[1], k * k))
            matrix[:, cells] = (counts @ weights).T
            matrix = matrix.reshape(-1, k, k)
            by_class = {f"class_{name}": values for name, values in class_scores(matrix).items()}
            return overall_scores(matrix, self.ordinal) | by_class

        return part

    def probability_part(self) -> Callable[[Floats], dict[str, Floats]]:
        """Return Brier score, negative log-likelihood and both calibration errors."""
        table, labels = self.predictions.probabilities, self.predictions.labels
        own = table[np.arange(len(labels)), labels]
        errors = {
            "brier": (table**2).sum(1) - 2 * own + 1,
            "nll": -np.log(np.clip(own, np.finfo(np.float64).eps, 1)),
        }
        everyone = np.zeros(len(labels), dtype=np.int64)
        totals = {name: self.sums(everyone, 1, values) for name, values in errors.items()}
        confidence = table.max(1)
        gap = (self.predictions.found == labels) - confidence
        for name, edges in (("ece", equal_width_edges()), ("ece_equal_mass", equal_mass_edges(confidence))):
            totals[name] = self.sums(bin_of(confidence, edges), len(edges) - 1, gap)
        images = self.sums(everyone, 1)

        def part(weights: Floats) -> dict[str, Floats]:
            count = (images @ weights)[0]
            return {
                name: ratio(np.abs(total @ weights).sum(0) if "ece" in name else (total @ weights)[0], count)
                for name, total in totals.items()
            }

        return part

    def ranking_part(self) -> Callable[[Floats], dict[str, Floats]]:
        """Return one-vs-rest ROC-AUC and average precision."""
        found = self.predictions
        rankings = [
            Ranking(found.probabilities[:, index], found.labels == index, self.codes, self.groups)
            for index in range(len(found.classes))
        ]

        def part(weights: Floats) -> dict[str, Floats]:
            pairs = [ranking(weights) for ranking in rankings]
            areas, averages = (np.stack(values, axis=1) for values in zip(*pairs, strict=True))
            return {
                "roc_auc": class_mean(areas),
                "average_precision": class_mean(averages),
                "class_roc_auc": areas,
                "class_average_precision": averages,
            }

        return part


def equal_width_edges(bins: int = BINS) -> Floats:
    """Return the edges of bins of equal width on [0, 1]."""
    return np.linspace(0, 1, bins + 1)


def equal_mass_edges(confidence: Floats, bins: int = BINS) -> Floats:
    """Return edges that give each bin about the same number of images (fewer bins where confidences are equal)."""
    inner = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.concatenate(([0.0], inner[(inner > 0) & (inner < 1)], [1.0]))


def bin_of(confidence: Floats, edges: Floats) -> Integers:
    """Return each confidence's bin; bins are open on the left, closed on the right."""
    return np.searchsorted(edges[1:-1], confidence, side="left").astype(np.int64)
