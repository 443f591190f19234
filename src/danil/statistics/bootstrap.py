"""The group-aware bootstrap: whole patients (lesions, slides …) are drawn, never single images of one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import t

from danil.cores import cores
from danil.statistics.predictions import Floats, Integers, Predictions, PredictionsError
from danil.statistics.scorer import FAMILIES, Scorer

RESAMPLES = 2000
LEVEL = 0.95
FEW = 10
"""A class of fewer groups than this, or with fewer of all others, has no interval of F1, ROC-AUC, average precision."""
CELLS = 400_000
"""Group weights held at once: few enough to stay in the processor's cache, many enough to hide Python's pace."""


@dataclass(frozen=True)
class Bootstrap:
    """Hold a metric's values: `point` (NaN where undefined) and `samples`, one row per resample."""

    point: Floats
    samples: Floats

    def interval(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        """Return the percentile interval; NaN where under half of the resamples are defined, or where all agree."""
        defined = ~np.isnan(self.samples)
        enough = defined.mean(0) >= 0.5
        usable = np.where(enough, self.samples, 0)
        low, high = np.nanquantile(usable, [(1 - level) / 2, (1 + level) / 2], axis=0)
        told = enough & (low < high)
        return np.where(told, low, np.nan), np.where(told, high, np.nan)

    def area_interval(self, groups: int, level: float = LEVEL) -> tuple[float, float]:
        """Return the interval of one ROC-AUC or average precision, or of their mean over classes.

        Student's on the logit scale (Pepe, The Statistical Evaluation of Medical Tests, 2003, chapter 5), with the
        resamples' spread: areas of few images of a class lie too high for percentiles (docs/evaluation.md). NaN below
        `FEW` groups, where the value is 0 or 1, under half of the resamples are defined, or all agree.

        Args:
            groups: the groups of the rarest class, less one the degrees of freedom.
            level: of the interval.
        """
        defined = self.samples[~np.isnan(self.samples)]
        value, agree = float(self.point), not len(defined) or defined.min() == defined.max()
        if groups < FEW or not 0 < value < 1 or agree or 2 * len(defined) < len(self.samples):
            return np.nan, np.nan
        half = float(t.ppf((1 + level) / 2, groups - 1)) * float(defined.std()) / (value * (1 - value))
        return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def class_groups(predictions: Predictions) -> Integers:
    """Return, for each class, of how many groups its images are or all others, whichever is less; 0 without any."""
    codes = group_codes(predictions)
    mine = [predictions.labels == index for index in range(len(predictions.classes))]
    return np.array([min(len(np.unique(codes[rows])), len(np.unique(codes[~rows]))) for rows in mine])


def rarest_groups(counts: Integers) -> int:
    """Return the smallest of the `class_groups` of classes that occur, 0 where one class is all there is."""
    return min((int(count) for count in counts if count), default=0)


def group_codes(predictions: Predictions) -> Integers:
    """Return each image's group as a number from 0."""
    return pd.factorize(predictions.groups)[0].astype(np.int64)


def resampled_weights(groups: int, resamples: int, seed: tuple[int, int]) -> Floats:
    """Return how often each group is drawn, `(G, resamples)`: G draws with replacement in every column."""
    random = np.random.default_rng(seed)
    counts = np.empty((groups, resamples))
    for column in range(resamples):
        counts[:, column] = np.bincount(random.integers(0, groups, groups), minlength=groups)
    return counts


def bootstrap(
    predictions: Predictions | Sequence[Predictions],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    families: Sequence[str] = FAMILIES,
    ordinal: bool | None = None,
) -> list[dict[str, Bootstrap]]:
    """Return, for each table, metric → its value and its resamples; all tables see the same draws of groups.

    The draws depend on `seed` and the number of groups alone, not on the machine or its number of processors.

    Args:
        predictions: labelled predictions, or several of the same images in the same order.
        resamples: how many times groups are drawn.
        seed: of the draws.
        families: which metrics (`danil.statistics.scorer`).
        ordinal: whether classes are grades; default: by their names.
    """
    tables = [predictions] if isinstance(predictions, Predictions) else list(predictions)
    codes = group_codes(tables[0])
    groups = int(codes.max()) + 1
    scorers = [Scorer(table, codes, groups, families=families, ordinal=ordinal) for table in tables]
    return bootstrapped(scorers, resamples=resamples, seed=seed)


class Weighted(Protocol):
    """Compute values for group weights: a `Scorer`, or what has its shape."""

    groups: int

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → `(b, …)` for weights `(G, b)`."""
        ...

    def point(self) -> dict[str, Floats]:
        """Return the values where every group counts once."""
        ...


def bootstrapped(
    scorers: Sequence[Weighted], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[dict[str, Bootstrap]]:
    """Return the same for scorers over the same groups, e.g. of different images of these groups.

    Draws of a single group would all be alike: its samples are NaN, so that no interval comes of them.

    Raises:
        PredictionsError: no resample is asked for.
    """
    if resamples < 1:
        raise PredictionsError(f"`resamples` is {resamples}; intervals need at least 1, e.g. {RESAMPLES:,}.")
    groups = scorers[0].groups
    size = max(1, min(256, CELLS // groups))

    def batch(number: int) -> list[dict[str, Floats]]:
        weights = resampled_weights(groups, min(size, resamples - number * size), (seed, number))
        return [scorer(weights) for scorer in scorers]

    with ThreadPoolExecutor(cores()) as pool:
        batches = list(pool.map(batch, range(-(-resamples // size))))
    found: list[dict[str, Bootstrap]] = []
    for place, scorer in enumerate(scorers):
        samples = {name: np.concatenate([values[place][name] for values in batches]) for name in batches[0][place]}
        if groups < 2:
            samples = {name: np.full(one.shape, np.nan) for name, one in samples.items()}
        found.append({name: Bootstrap(point, samples[name]) for name, point in scorer.point().items()})
    return found
