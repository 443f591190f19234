"""The group-aware bootstrap: whole patients (lesions, slides …) are drawn, never single images of one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from danil.cores import cores
from danil.statistics.predictions import Floats, Integers, Predictions
from danil.statistics.scorer import FAMILIES, Scorer

RESAMPLES = 2000
LEVEL = 0.95
CELLS = 400_000
"""Group weights held at once: few enough to stay in the processor's cache, many enough to hide Python's pace."""


@dataclass(frozen=True)
class Bootstrap:
    """Hold a metric's values: `point` (NaN where undefined) and `samples`, one row per resample."""

    point: Floats
    samples: Floats

    def interval(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        """Return the percentile interval; NaN where under half of the resamples are defined."""
        defined = ~np.isnan(self.samples)
        enough = defined.mean(0) >= 0.5
        usable = np.where(enough, self.samples, 0)
        low, high = np.nanquantile(usable, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


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
    """
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
