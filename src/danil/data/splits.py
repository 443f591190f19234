"""Dividing a data set into train, validation and test, into folds, and drawing a smaller one."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from danil.data.division import (
    Integers,
    divided_groups,
    divided_rows,
    drawn,
    rotated_groups,
    rotated_rows,
    stratified_quotas,
)
from danil.data.manifest import PARTS, DataError, Manifest, counted
from danil.data.shares import check_filled

SplitKind = Literal["auto", "random", "grouped", "official", "column"]


def assign_splits(
    manifest: Manifest, kind: SplitKind = "auto", test: float = 0.3, validation: float = 0.0, seed: int = 0
) -> Manifest:
    """Return the manifest with every image in `train`, `validation` or `test`, classes in equal shares.

    The draw depends on paths, labels, groups and `seed`, not on the order of the rows. A random split takes
    `round(test · N)` images; a grouped one keeps every group whole and comes as near as the groups allow.

    Args:
        manifest: what to divide; its main task decides the class shares, images without a label count as a class.
        kind: `random`; `grouped`; `official` (the data set's own parts; where it has no validation part, `validation`
            is taken out of train, by group where groups are known); `column` (its own parts as they are); `auto`:
            official where there are train and test parts, else grouped where groups are known, else random.
        test: share of all images, in [0, 1).
        validation: share of all images, in [0, 1).
        seed: of the draw.

    Raises:
        DataError: fewer than two classes, a class with one image, shares that leave no training images, no groups for
            `grouped` or too few to leave any for training, no parts for `official`. A part that lacks a class, or that
            no group is left for, is a warning.
    """
    check_shares(test, validation)
    check_classes(manifest)
    if kind not in get_args(SplitKind):
        raise DataError(f"`kind` is `{kind}`; it must be one of {', '.join(get_args(SplitKind))}.")
    chosen = automatic(manifest) if kind == "auto" else kind
    if chosen in ("official", "column"):
        check_parts(manifest, chosen)
        lacks_validation = not (manifest.table["split"] == "validation").any()
        divided = carved(manifest, validation, seed) if chosen == "official" and lacks_validation else manifest
    else:
        if chosen == "grouped" and not manifest.grouped:
            raise DataError(
                f"`{manifest.source}` has no groups (patients, lesions …) to keep together. Divide it at random by "
                "`--kind random`, or name the group column (`csv:FILE?group=COLUMN`)."
            )
        shares = {"train": 1 - test - validation, "validation": validation, "test": test}
        divided = with_parts(manifest, dealt(manifest, list(shares.values()), seed, chosen == "grouped"), PARTS)
        check_filled(divided, shares, chosen == "grouped")
    warn_of_gaps(divided)
    return divided


def check_shares(test: float, validation: float) -> None:
    """Raise `DataError` unless both shares are in [0, 1) and leave something for training."""
    for name, share in (("test", test), ("validation", validation)):
        if not 0 <= share < 1:
            raise DataError(f"`{name}` is {share}; it is a share of all images and must lie in [0, 1).")
    if test + validation >= 1 - 1e-9:
        raise DataError(f"`test` {test} and `validation` {validation} leave no images to train on. Lower one of them.")


def check_classes(manifest: Manifest) -> None:
    """Raise `DataError` unless a classifier can be trained and tested on the main task's labels."""
    counts = np.bincount(manifest.labels()[manifest.labels() >= 0], minlength=len(manifest.classes))
    present = [name for name, count in zip(manifest.classes, counts, strict=True) if count]
    if len(present) < 2:
        found = f"only the class `{present[0]}`" if present else "no labels"
        raise DataError(f"`{manifest.source}` has {found}. A classifier needs images of at least two classes.")
    lone = [name for name, count in zip(manifest.classes, counts, strict=True) if count == 1]
    if lone:
        raise DataError(
            f"`{manifest.source}` has one image only of {counted(lone, 'class')}. A class needs at least two images, "
            "one to train and one to test: add images, or remove or merge the class."
        )


def automatic(manifest: Manifest) -> SplitKind:
    """Return the kind that fits the manifest; parts without both train and test are left aside with a warning."""
    found = set(manifest.table["split"].dropna())
    if {"train", "test"} <= found:
        return "official"
    if found:
        warnings.warn(
            f"`{manifest.source}`: its own parts ({', '.join(sorted(found))}) lack train or test and are left aside.",
            stacklevel=3,
        )
    return "grouped" if manifest.grouped else "random"


def check_parts(manifest: Manifest, kind: str) -> None:
    """Raise `DataError` unless every image has a part, and train and test are there."""
    missing = manifest.table["path"][manifest.table["split"].isna()]
    absent = [part for part in ("train", "test") if not (manifest.table["split"] == part).any()]
    if not absent and missing.empty:
        return
    reason = f"no {absent[0]} part" if absent else f"{counted(missing, 'image')} in no part"
    raise DataError(
        f"`{manifest.source}` has {reason}, so its own split (`{kind}`) cannot be used. "
        "Divide it by `--kind random` or `--kind grouped`."
    )


def dealt(manifest: Manifest, shares: Sequence[float], seed: int, grouped: bool) -> Integers:
    """Return each row's part as an index into `shares`; independent of the order of rows."""
    order, strata, groups = by_path(manifest)
    rng = np.random.default_rng(seed)
    parts = np.empty_like(strata)
    parts[order] = (
        divided_groups(strata, groups, np.asarray(shares), rng)
        if grouped
        else divided_rows(strata, np.asarray(shares), rng)
    )
    return parts


def dealt_folds(manifest: Manifest, k: int, seed: int, grouped: bool) -> Integers:
    """Return each row's fold, 0 to k − 1; independent of the order of rows."""
    order, strata, groups = by_path(manifest)
    rng = np.random.default_rng(seed)
    found = np.empty_like(strata)
    found[order] = rotated_groups(strata, groups, k, rng) if grouped else rotated_rows(strata, k, rng)
    return found


def by_path(manifest: Manifest) -> tuple[Integers, Integers, Integers]:
    """Return the rows in the order of their paths, and in that order the number of each one's class and group."""
    order = np.argsort(manifest.table["path"].to_numpy(dtype="object").astype("U"), kind="stable")
    strata = np.unique(manifest.labels()[order], return_inverse=True)[1].astype(np.int64)
    groups = pd.factorize(manifest.table["group"].to_numpy(dtype="object")[order])[0].astype(np.int64)
    return order, strata, groups


def with_parts(manifest: Manifest, parts: Integers, names: Sequence[str]) -> Manifest:
    """Return the manifest with the `split` column set."""
    column = pd.Series(np.asarray(names, dtype="object")[parts], index=manifest.table.index, dtype="str")
    return replace(manifest, table=manifest.table.assign(split=column))


def carved(manifest: Manifest, validation: float, seed: int) -> Manifest:
    """Return the manifest with a validation part taken out of train, whole groups where groups are known."""
    if validation == 0:
        return manifest
    rows = np.flatnonzero((manifest.table["split"] == "train").to_numpy())
    share = validation * len(manifest) / len(rows)
    if share >= 1:
        raise DataError(
            f"`validation` is {validation} of all images, which leaves nothing of the train part. Lower it."
        )
    parts = dealt(manifest.take(rows), [1 - share, share], seed, manifest.grouped)
    split = manifest.table["split"].copy()
    split.iloc[rows[parts == 1]] = "validation"
    return replace(manifest, table=manifest.table.assign(split=split))


def warn_of_gaps(manifest: Manifest) -> None:
    """Warn of classes that a part lacks."""
    table, present = manifest.table, set(manifest.table[manifest.task].dropna())
    for part in PARTS:
        inside = table[manifest.task][table["split"] == part]
        absent = [name for name in manifest.classes if name in present and not (inside == name).any()]
        if len(inside) and absent:
            warnings.warn(
                f"`{manifest.source}`: the {part} part has no image of {counted(absent, 'class')}.", stacklevel=3
            )


def folds(
    manifest: Manifest, k: int, seed: int = 0, validation: float = 0.0, kind: SplitKind = "auto"
) -> list[Manifest]:
    """Return `k` manifests, each image in the test part of exactly one and in no test part of the others.

    Test parts of `random` folds differ by at most one image, in every class and in all; whole groups come as near as
    they allow. No test part is empty.

    Args:
        manifest: what to divide; parts it has are left aside.
        k: how many.
        seed: of the draw.
        validation: share of all images, taken out of the train part of each; at most what `1/k` leaves.
        kind: `grouped` keeps every group whole; `random` does not; `auto` does where groups are known.

    Raises:
        DataError: `k` below 2 or above the number of groups (images for `random`), fewer than two classes, no groups
            for `grouped`, a kind that is no draw. A part that lacks a class is a warning.
    """
    check_classes(manifest)
    if kind not in ("auto", "grouped", "random"):
        raise DataError(f"folds are drawn, so `kind` cannot be `{kind}`. Choose `grouped` or `random`.")
    if kind == "grouped" and not manifest.grouped:
        raise DataError(f"`{manifest.source}` has no groups to keep together in folds. Choose `random`.")
    grouped = kind != "random" and manifest.grouped
    units, what = (manifest.table["group"].nunique(), "groups") if grouped else (len(manifest), "images")
    if not 2 <= k <= units:
        raise DataError(f"`k` is {k}; it must lie between 2 and the number of {what}, {units}.")
    check_shares(1 / k, validation)
    alone = manifest if grouped else replace(manifest, table=manifest.table.assign(group=manifest.table["path"]))
    fold = dealt_folds(alone, k, seed, grouped)
    divided = [with_parts(alone, (fold == place).astype(np.int64), ("train", "test")) for place in range(k)]
    made = [carved(one, validation, seed) for one in divided]
    whole = [replace(one, table=one.table.assign(group=manifest.table["group"])) for one in made]
    for one in whole:
        warn_of_gaps(one)
    return whole


def limit(manifest: Manifest, images: int, seed: int = 0) -> Manifest:
    """Return a class-stratified draw of at most `images` of each part; an undivided set is one part.

    Rows keep their order.

    Raises:
        DataError: `images` is below the number of classes.
    """
    if images < len(manifest.classes):
        raise DataError(f"`limit` is {images}; it must be at least the number of classes, {len(manifest.classes)}.")
    parts = manifest.table["split"].fillna("").to_numpy(dtype="object")
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray[Any, Any]] = []
    for part in ("", *PARTS):
        rows = np.flatnonzero(parts == part)
        if len(rows) > images:
            rows = rows[np.argsort(manifest.table["path"].to_numpy(dtype="object")[rows])]
            strata = np.unique(manifest.labels()[rows], return_inverse=True)[1].astype(np.int64)
            quotas = stratified_quotas(np.bincount(strata), images / len(rows), spare=0)
            rows = rows[drawn(strata, quotas, rng)]
        kept.append(rows)
    return manifest.take(np.sort(np.concatenate(kept)))
