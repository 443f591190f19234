"""Metrics by subgroup: every value of a metadata column, numbers in bands, and gaps that chance hardly explains."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from danil.statistics.bootstrap import FEW, RESAMPLES, Bootstrap, bootstrapped, group_codes
from danil.statistics.multiplicity import holm_corrected
from danil.statistics.predictions import Flags, Floats, Integers, Predictions, PredictionsError, Texts
from danil.statistics.proportions import Estimate, proportion, stratified_gap
from danil.statistics.scorer import Scorer

SMALLEST = 20
"""A subgroup (and its complement) of fewer groups than this is shown but not tested."""
LARGEST = 20
"""A text column with more values than this is no subgroup column (names, dates, identifiers)."""
MOST = 100
"""A column asked for may have this many values."""
METRICS = ("macro_f1", "balanced_accuracy")
MISSING = "unknown"
EMPTY = ("", "nan", "na", "n/a")
IDENTIFIERS = {"id", "ids", "uid"}
"""A column of numbers with such a word in its name tells images or patients apart; it measures nothing."""
NUMBERING = {"number", "nr"}
"""The same where no number comes twice (a patient's, unlike that of lesions)."""


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
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Subgroup]:
    """Return the results of every subgroup with labelled images, in the order of columns and values.

    Accuracy has a Wilson interval that respects groups; its gap at the same mix of labels is tested (Cochran, Mantel,
    Haenszel, see `stratified_gap`) and corrected after Holm. `METRICS` have bootstrap intervals, from `FEW` groups on,
    and no test; macro averages are over the classes that a subgroup holds, so they do not compare across subgroups.

    Args:
        predictions: of images; rows without label are left out.
        metadata: a row per image, in the same order.
        columns: of the metadata. Default: those with 2 to `LARGEST` values, and numbers that are no identifiers.
        resamples: draws of groups.
        seed: of the draws.

    Raises:
        PredictionsError: another number of rows, a column that is not there, or one of more than `MOST` values.
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
    codes = group_codes(known)
    chosen = [str(name) for name in table.columns if suited(table[name], codes)] if columns is None else columns
    parts = [(name, *part) for name in chosen for part in subsets(table[name])]
    if not parts:
        return []
    groups = int(codes.max()) + 1
    scorers = [Scorer(known.take(mask), codes[mask], groups, families=("confusion",)) for _, _, mask in parts]
    found = bootstrapped(scorers, resamples=resamples, seed=seed)
    right = known.found == known.labels
    results = [
        subgroup((column, value), mask, right, known.labels, codes, {name: values[name] for name in METRICS})
        for (column, value, mask), values in zip(parts, found, strict=True)
    ]
    return flagged(results)


def subgroup(
    name: tuple[str, str], mask: Flags, right: Flags, labels: Integers, codes: Integers, metrics: dict[str, Bootstrap]
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
        {
            "accuracy": proportion(inside, codes[mask]),
            **{key: estimate(values, told=groups >= FEW) for key, values in metrics.items()},
        },
        float(inside.mean() - outside.mean()) if len(outside) else np.nan,
        alike,
        p if testable else np.nan,
        np.nan,
        False,
    )


def flagged(results: Sequence[Subgroup]) -> list[Subgroup]:
    """Return the subgroups with p-values corrected after Holm; two that make up a column are one test."""
    parts = Counter(result.column for result in results)
    second = [parts[one.column] == 2 and one.column == before.column for before, one in pairwise(results)]
    corrected = holm_corrected([np.nan if twin else one.p for one, twin in zip(results, [False, *second], strict=True)])
    for place, twin in enumerate(second, start=1):
        corrected[place] = corrected[place - 1] if twin else corrected[place]
    return [
        replace(result, p_holm=float(p), flagged=bool(p < 0.05)) for result, p in zip(results, corrected, strict=True)
    ]


def estimate(values: Bootstrap, told: bool) -> Estimate:
    """Return a metric, with its percentile interval where it is to be told."""
    low, high = values.interval() if told else (np.nan, np.nan)
    return Estimate(float(values.point), float(low), float(high))


def suited(column: pd.Series, codes: Integers) -> bool:
    """Tell whether a column makes subgroups: two or more values, few, or numbers that are no identifiers."""
    filled = ~blank(column)
    values = column[filled]
    if values.nunique() <= LARGEST:
        return values.nunique() > 1
    return numeric(values) is not None and not identifies(values, codes[filled.to_numpy()])


def identifies(values: pd.Series, codes: Integers) -> bool:
    """Tell whether numbers name things: their column says so, or each whole number is one of several images' group."""
    if words(values) & (IDENTIFIERS | NUMBERING if values.is_unique else IDENTIFIERS):
        return True
    pairs = len(pd.DataFrame({"value": values.to_numpy(), "group": codes}).drop_duplicates())
    return whole(values) and pairs == values.nunique() == len(np.unique(codes)) < len(codes)


def words(column: pd.Series) -> set[str]:
    """Return the words of a column's name: `patientAge` and `patient_age` have `patient` and `age`."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", str(column.name))}


def whole(values: pd.Series) -> bool:
    """Tell whether all are whole numbers."""
    found = pd.to_numeric(values, errors="coerce")
    return bool((found % 1 == 0).all())


def blank(column: pd.Series) -> pd.Series:
    """Return which cells are empty."""
    return column.isna() | column.astype(str).str.strip().str.lower().isin(EMPTY)


def numeric(column: pd.Series) -> pd.Series | None:
    """Return the column as numbers, `None` where a filled cell is none."""
    found = pd.to_numeric(column, errors="coerce")
    return found if not found[~blank(column)].isna().any() else None


def subsets(column: pd.Series) -> list[tuple[str, Flags]]:
    """Return each value and which rows have it; empty cells are `unknown`, last."""
    names = banded(column)
    if len(set(names)) > MOST:
        raise PredictionsError(
            f"`metadata` has {len(set(names))} values of `{column.name}`; subgroups have at most {MOST}. Choose "
            "another column, or put its values together."
        )
    order = sorted(set(names) - {MISSING}, key=lambda name: ([float(n) for n in re.findall(r"\d+\.?\d*", name)], name))
    return [(name, names == name) for name in [*order, *([MISSING] if (names == MISSING).any() else [])]]


def banded(column: pd.Series) -> Texts:
    """Return each row's subgroup: texts, few numbers as they are, ages by 20 years, other numbers by quartiles.

    Up to `LARGEST` whole numbers stay as they are, since they may be names (of clinics, of scanners); other numbers up
    to 6. A band `40–60` holds 40 and more, less than 60.
    """
    empty = blank(column).to_numpy()
    numbers, ages = numeric(column), "age" in words(column)
    if numbers is None or numbers.nunique() <= (LARGEST if whole(numbers.dropna()) and not ages else 6):
        return np.where(empty, MISSING, column.astype(str).to_numpy()).astype(object)
    edges = np.arange(20.0, 100.0, 20.0) if ages else quartiles(numbers.dropna().to_numpy(dtype=np.float64))
    texts = [f"{edge:g}" for edge in edges]
    names = [f"< {texts[0]}", *(f"{a}–{b}" for a, b in pairwise(texts)), f"≥ {texts[-1]}"]
    places = np.searchsorted(edges, numbers.fillna(0).to_numpy(dtype=np.float64), side="right")
    return np.where(empty, MISSING, np.asarray(names, dtype=object)[places]).astype(object)


def quartiles(numbers: Floats) -> Floats:
    """Return the quartiles (of whole numbers whole ones) above the smallest number, or the second smallest number."""
    method = "higher" if (numbers % 1 == 0).all() else "linear"
    above = np.unique(np.quantile(numbers, [0.25, 0.5, 0.75], method=method))
    above = above[above > numbers.min()]
    return above if len(above) else numbers[numbers > numbers.min()].min(keepdims=True)
