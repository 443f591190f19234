"""Metrics by subgroup: every value of a metadata column, numbers in bands, and gaps that chance hardly explains."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from danil.statistics.bootstrap import RESAMPLES, Bootstrap, bootstrapped, group_codes
from danil.statistics.multiplicity import holm_corrected
from danil.statistics.predictions import Flags, Integers, Predictions, PredictionsError, Texts
from danil.statistics.proportions import Estimate, proportion, stratified_gap
from danil.statistics.scorer import Scorer

SMALLEST = 20
"""A subgroup (and its complement) of fewer groups than this is shown but not tested."""
LARGEST = 20
"""A text column with more values than this is no subgroup column (names, dates, identifiers)."""
MISSING = "unknown"


@dataclass(frozen=True)
class Subgroup:
    """Hold one subgroup: images, groups, accuracy, other metrics, and its gap in accuracy to all other images.

    `gap` is as observed; `gap_alike` is at the same mix of labels (NaN without a common label), and what is tested.
    `p_holm` is corrected over all subgroups tested (NaN: too small to test); `flagged` where it is below 0.05.
    """

    column: str
    value: str
    images: int
    groups: int
    metrics: dict[str, Estimate]
    gap: float
    gap_alike: float
    p: float
    p_holm: float
    flagged: bool


def subgroup_results(
    predictions: Predictions,
    metadata: pd.DataFrame,
    *,
    columns: Sequence[str] | None = None,
    metrics: Sequence[str] = ("macro_f1", "balanced_accuracy"),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Subgroup]:
    """Return the results of every subgroup with labelled images, in the order of columns and values.

    Accuracy has a Wilson interval that respects groups; its gap at the same mix of labels is tested (Cochran, Mantel,
    Haenszel, see `stratified_gap`) and corrected after Holm. The other metrics have bootstrap intervals and no test;
    macro averages are over the classes that a subgroup holds, so they do not compare across subgroups.

    Args:
        predictions: of images; rows without label are left out.
        metadata: a row per image, in the same order.
        columns: of the metadata. Default: those with 2 to `LARGEST` values, and numbers.
        metrics: further ones (`danil.statistics.scorer`, overall ones).
        resamples: draws of groups.
        seed: of the draws.

    Raises:
        PredictionsError: another number of rows, or a column that is not there.
    """
    if len(metadata) != len(predictions):
        raise PredictionsError(
            f"`metadata` has {len(metadata)} rows, `{predictions.source}` {len(predictions)}. Give a row "
            "for each image."
        )
    missing = [name for name in columns or () if name not in metadata]
    if missing:
        there = f"it has {', '.join(map(str, metadata.columns))}" if len(metadata.columns) else "there is no metadata"
        raise PredictionsError(f"`metadata` has no column `{missing[0]}`; {there}. Choose another for subgroups.")
    known = predictions.labelled()
    known.require_rows("subgroups")
    table = metadata.loc[predictions.labels >= 0].reset_index(drop=True)
    chosen = [str(name) for name in table.columns if suited(table[name])] if columns is None else columns
    parts = [(name, *part) for name in chosen for part in subsets(table[name])]
    if not parts:
        return []
    codes = group_codes(known)
    groups = int(codes.max()) + 1
    scorers = [Scorer(known.take(mask), codes[mask], groups) for _, _, mask in parts]
    found = bootstrapped(scorers, resamples=resamples, seed=seed)
    right = known.found == known.labels
    results = [
        subgroup((column, value), mask, right, known.labels, codes, {name: estimate(values[name]) for name in metrics})
        for (column, value, mask), values in zip(parts, found, strict=True)
    ]
    return flagged(results)


def subgroup(
    name: tuple[str, str], mask: Flags, right: Flags, labels: Integers, codes: Integers, metrics: dict[str, Estimate]
) -> Subgroup:
    """Return one subgroup, its p-value not yet corrected."""
    inside, outside = right[mask], right[~mask]
    groups = len(np.unique(codes[mask]))
    testable = min(groups, len(np.unique(codes[~mask]))) >= SMALLEST
    alike, p = stratified_gap(right, mask, labels, codes)
    return Subgroup(
        *name,
        len(inside),
        groups,
        {"accuracy": proportion(inside, codes[mask]), **metrics},
        float(inside.mean() - outside.mean()) if len(outside) else np.nan,
        alike,
        p if testable else np.nan,
        np.nan,
        False,
    )


def flagged(results: Sequence[Subgroup]) -> list[Subgroup]:
    """Return the subgroups with p-values corrected after Holm."""
    corrected = holm_corrected([result.p for result in results])
    return [
        replace(result, p_holm=float(p), flagged=bool(p < 0.05)) for result, p in zip(results, corrected, strict=True)
    ]


def estimate(values: Bootstrap) -> Estimate:
    """Return a metric with its percentile interval."""
    low, high = values.interval()
    return Estimate(float(values.point), float(low), float(high))


def suited(column: pd.Series) -> bool:
    """Tell whether a column makes subgroups: numbers, or few enough different texts; more than one value."""
    filled = column[~blank(column)]
    return filled.nunique() > 1 and (numeric(filled) is not None or filled.nunique() <= LARGEST)


def blank(column: pd.Series) -> pd.Series:
    """Return which cells are empty."""
    return column.isna() | column.astype(str).str.strip().isin(["", "nan"])


def numeric(column: pd.Series) -> pd.Series | None:
    """Return the column as numbers, `None` where a filled cell is none."""
    found = pd.to_numeric(column, errors="coerce")
    return found if not found[~blank(column)].isna().any() else None


def subsets(column: pd.Series) -> list[tuple[str, Flags]]:
    """Return each value and which rows have it; empty cells are `unknown`, last."""
    names = banded(column)
    order = sorted(set(names) - {MISSING}, key=lambda name: ([float(n) for n in re.findall(r"\d+\.?\d*", name)], name))
    return [(name, names == name) for name in [*order, *([MISSING] if (names == MISSING).any() else [])]]


def banded(column: pd.Series) -> Texts:
    """Return each row's subgroup: texts and few numbers as they are, ages by 20 years, other numbers by quartiles.

    A band `40–60` holds 40 and more, less than 60.
    """
    empty = blank(column).to_numpy()
    numbers = numeric(column)
    if numbers is None or numbers.nunique() <= 6:
        return np.where(empty, MISSING, column.astype(str).to_numpy()).astype(object)
    if "age" in re.split(r"[^a-z]+", str(column.name).lower()):
        edges = np.arange(20.0, 100.0, 20.0)
    else:
        edges = np.unique(np.nanquantile(numbers.to_numpy(dtype=np.float64), [0.25, 0.5, 0.75]))
    texts = [f"{edge:g}" for edge in edges]
    names = [f"< {texts[0]}", *(f"{a}–{b}" for a, b in pairwise(texts)), f"≥ {texts[-1]}"]
    places = np.searchsorted(edges, numbers.fillna(0).to_numpy(dtype=np.float64), side="right")
    return np.where(empty, MISSING, np.asarray(names, dtype=object)[places]).astype(object)
