"""Metadata columns that give the label away: how well one column alone predicts it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from danil.data.manifest import RESERVED, Manifest
from danil.data.splits import dealt

FOLDS = 5
BINS = 20
DISTINCT = 0.5
"""Share of distinct values above which a text column counts as an identifier and is not examined."""

PURE = 20
"""Images that a value must have, all of one class, to be named."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Column:
    """Hold how well one column alone predicts the main label on held-out groups.

    `kind` is `text`, `number` (cut into 20 quantiles) or `identifier` (nearly all values differ: not examined, its
    numbers are `None`). `explained`: share of the label's entropy that the column takes away, below 0 where it
    misleads.
    `accuracy` beside `majority`, the share of the most frequent class; `balanced_accuracy` beside `chance`, 1/classes.
    `advantage` is the balanced accuracy rescaled so that chance is 0 and certainty 1. `pure`: values with at least 20
    images, all of one class → that class.
    """

    kind: str
    values: int
    missing: int
    explained: float | None = None
    accuracy: float | None = None
    majority: float | None = None
    balanced_accuracy: float | None = None
    chance: float | None = None
    advantage: float | None = None
    pure: Mapping[str, str] | None = None


def column_records(manifest: Manifest, more: Mapping[str, pd.Series]) -> dict[str, Column]:
    """Return a record per metadata column, the most telling first; constant columns are left out.

    Other tasks are labels, not metadata. Cross-validation is five-fold (with fewer groups, as many folds), over groups,
    stratified by class. An empty cell is a value; of an identifier it alone is, filled or empty.

    Args:
        manifest: the set; images without a label of the main task are left out.
        more: further columns, such as the size of each image, in the manifest's order.
    """
    known = manifest.labels() >= 0
    part = manifest.take(np.flatnonzero(known))
    classes = len(np.unique(part.labels()))
    names = [name for name in part.table.columns if name not in {*RESERVED, *manifest.tasks}]
    series = {name: part.table[name] for name in names} | {name: column[known] for name, column in more.items()}
    series = {
        name: column.reset_index(drop=True) for name, column in series.items() if column.nunique(dropna=False) > 1
    }
    folds = min(FOLDS, part.table["group"].nunique())
    if not series or classes < 2 or folds < 2:
        return {}
    fold = dealt(part, [1 / folds] * folds, 0, grouped=True)
    found = {name: column_record(column, part, fold) for name, column in series.items()}
    return dict(sorted(found.items(), key=lambda item: -(-1.0 if item[1].explained is None else item[1].explained)))


def column_record(column: pd.Series, part: Manifest, fold: Array) -> Column:
    """Return the record of one column that has more than one value."""
    missing, distinct = int(column.isna().sum()), int(column.nunique())
    numbers = pd.to_numeric(column, errors="coerce")
    if distinct > BINS and numbers.notna().sum() == len(column) - missing:
        codes = np.asarray(pd.qcut(numbers, BINS, labels=False, duplicates="drop").fillna(-1), dtype=np.int64) + 1
        return Column("number", distinct, missing, **told(codes, part.labels(), fold), pure={})
    if distinct > DISTINCT * (len(column) - missing):
        if not missing:
            return Column("identifier", distinct, missing)
        filled = column.notna().to_numpy().astype(np.int64)
        return Column("identifier", distinct, missing, **told(filled, part.labels(), fold), pure={})
    codes = pd.factorize(column.astype("str").where(column.notna()))[0] + 1
    pure = pure_values(column, part.table[part.task])
    return Column("text", distinct, missing, **told(np.asarray(codes), part.labels(), fold), pure=pure)


def told(codes: Array, labels: Array, fold: Array) -> dict[str, float]:
    """Return how well codes predict labels, each fold from the others: frequencies, smoothed by one image's prior."""
    present, truth = np.unique(labels, return_inverse=True)
    classes, rows = len(present), np.arange(len(labels))
    chances, priors = np.empty((len(labels), classes)), np.empty((len(labels), classes))
    for place in np.unique(fold):
        inside = fold == place
        counts = np.zeros((int(codes.max()) + 1, classes))
        np.add.at(counts, (codes[~inside], truth[~inside]), 1.0)
        prior = (counts.sum(0) + 1) / (counts.sum() + classes)
        priors[inside] = prior
        chances[inside] = ((counts + prior) / (counts.sum(1, keepdims=True) + 1))[codes[inside]]
    hit = (chances / priors).argmax(1) == truth
    balanced = float(np.mean([hit[truth == one].mean() for one in range(classes)]))
    surprise, without = (-np.log(table[rows, truth]).mean() for table in (chances, priors))
    return {
        "explained": float(1 - surprise / without),
        "accuracy": float((chances.argmax(1) == truth).mean()),
        "majority": float(np.bincount(truth).max() / len(truth)),
        "balanced_accuracy": balanced,
        "chance": 1 / classes,
        "advantage": (balanced - 1 / classes) / (1 - 1 / classes),
    }


def pure_values(column: pd.Series, labels: pd.Series) -> dict[str, str]:
    """Return the values with at least `PURE` images, all of one class."""
    table = pd.crosstab(column.astype("str"), labels.reset_index(drop=True))
    total, most = table.sum(axis=1), table.max(axis=1)
    found = table.index[(total >= PURE) & (total == most)]
    return {str(value): str(table.loc[value].idxmax()) for value in found}
