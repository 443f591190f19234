"""Copies among a set's images: identical ones, near-identical ones, and what is wrong with each set of copies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from danil.data.audit_fingerprints import candidates
from danil.data.audit_images import Look, uniform
from danil.data.audit_registration import THRESHOLD, similarities
from danil.data.manifest import Manifest


@dataclass(frozen=True)
class CopySet:
    """Hold images that show the same picture, with the label of every task, part and group of each.

    `conflicting`: they have different labels in at least one task, those in `conflicting_tasks`. `across_split`: they
    lie in more than one part. `across_groups`: groups are known and theirs differ. `same_file`: all are one file.
    """

    paths: list[str]
    labels: dict[str, list[str | None]]
    parts: list[str | None]
    groups: list[str]
    conflicting: bool
    conflicting_tasks: list[str]
    across_split: bool
    across_groups: bool
    same_file: bool


@dataclass(frozen=True)
class ExactDuplicates:
    """Hold all sets of images with the same pixels; the other fields count sets, `files` the images in them."""

    groups: int
    files: int
    conflicting: int
    across_split: int
    across_groups: int
    same_file: int
    sets: list[CopySet]


@dataclass(frozen=True)
class NearPair:
    """Hold two images that show the same picture though their pixels differ, and how alike they are (at most 1)."""

    paths: list[str]
    similarity: float


@dataclass(frozen=True)
class NearDuplicates:
    """Hold all sets of images that show the same picture though their pixels differ.

    `pairs` were found; `sets` are their connected components, with all exact copies of their members. The other fields
    count sets, `files` the images in them. `threshold` is the similarity from which on a pair counts.
    """

    groups: int
    files: int
    pairs: int
    conflicting: int
    across_split: int
    across_groups: int
    threshold: float
    sets: list[CopySet]
    found: list[NearPair]


def exact_duplicates(manifest: Manifest, looks: Sequence[Look]) -> tuple[ExactDuplicates, list[list[int]]]:
    """Return the sets of identical images, and the rows of every distinct picture, its copies together.

    Images count as identical whose size and decoded RGB pixels are the same, whatever their files' format.
    """
    rows: dict[str, list[int]] = {}
    for row, look in enumerate(looks):
        if look.pixels:
            rows.setdefault(look.pixels, []).append(row)
    distinct = list(rows.values())
    sets = [copy_set(manifest, looks, members) for members in distinct if len(members) > 1]
    found = ExactDuplicates(
        groups=len(sets),
        files=sum(len(one.paths) for one in sets),
        **faulty(sets),
        same_file=sum(one.same_file for one in sets),
        sets=sets,
    )
    return found, distinct


def near_duplicates(manifest: Manifest, looks: Sequence[Look], distinct: Sequence[list[int]]) -> NearDuplicates:
    """Return the sets of near-identical images among the distinct pictures; uniform pictures are left out."""
    shown = [members for members in distinct if not uniform(looks[members[0]])]
    pictures = [picture for members in shown if (picture := looks[members[0]].picture) is not None]
    empty = np.zeros((0, 1, 1), np.uint8)
    stacked = np.stack(pictures) if pictures else empty
    pairs = candidates(stacked)
    alike = similarities(stacked, pairs)
    kept = np.flatnonzero(alike >= THRESHOLD)
    links = (np.ones(len(kept)), (pairs.wholes[kept], pairs.crops[kept]))
    _, component = connected_components(coo_array(links, shape=(len(shown), len(shown))), directed=False)
    members: dict[int, list[int]] = {}
    for place in np.unique(np.concatenate([pairs.wholes[kept], pairs.crops[kept]])):
        members.setdefault(int(component[place]), []).extend(shown[place])
    sets = [copy_set(manifest, looks, sorted(rows)) for rows in members.values()]
    paths = manifest.table["path"]
    found = [
        NearPair(sorted(str(paths[shown[side[place]][0]]) for side in (pairs.wholes, pairs.crops)), float(alike[place]))
        for place in kept[np.argsort(-alike[kept], kind="stable")]
    ]
    files = sum(len(one.paths) for one in sets)
    return NearDuplicates(len(sets), files, len(found), **faulty(sets), threshold=THRESHOLD, sets=sets, found=found)


def copy_set(manifest: Manifest, looks: Sequence[Look], rows: Sequence[int]) -> CopySet:
    """Return what is known of some rows that show the same picture."""
    chosen = manifest.table.iloc[list(rows)]
    labels = {task: texts(chosen[task]) for task in manifest.tasks}
    conflicting = [task for task, names in labels.items() if len(set(names) - {None}) > 1]
    parts, groups = texts(chosen["split"]), [str(group) for group in chosen["group"]]
    files = {looks[row].file for row in rows}
    return CopySet(
        paths=[str(path) for path in chosen["path"]],
        labels=labels,
        parts=parts,
        groups=groups,
        conflicting=bool(conflicting),
        conflicting_tasks=conflicting,
        across_split=len(set(parts) - {None}) > 1,
        across_groups=manifest.grouped and len(set(groups)) > 1,
        same_file=len(files) == 1 and files != {""},
    )


def texts(column: Iterable[object]) -> list[str | None]:
    """Return a column's cells as text, missing ones as `None`."""
    return [cell if isinstance(cell, str) else None for cell in column]


def faulty(sets: Sequence[CopySet]) -> dict[str, int]:
    """Return how many sets have each fault."""
    return {name: sum(getattr(one, name) for one in sets) for name in ("conflicting", "across_split", "across_groups")}
