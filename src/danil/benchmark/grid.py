"""From records to numbers: means over seeds, differences to Base, Holm's correction; one grid per suite and metric."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from danil.benchmark.records import Record, RecordError
from danil.evaluation.document import constant
from danil.runs.recipe import flattened
from danil.statistics.bootstrap import RESAMPLES, Bootstrap, bootstrap
from danil.statistics.multiplicity import holm_corrected
from danil.statistics.two_level import Difference, difference, method_mean

BASE = "base"
Key = tuple[str, str, str]
"""Data set, backbone, method, by name."""


@dataclass(frozen=True)
class Entry:
    """Hold a method's mean over seeds on one data set and backbone, and its difference to Base with equal seeds.

    `row` is the method's row in the paper's tables; `shared` are the seeds that the method and Base both have.
    """

    row: str
    seeds: tuple[int, ...]
    mean: Difference
    paper: float | None
    to_base: Difference | None = None
    paper_to_base: float | None = None
    shared: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Hold one suite in one metric; `titles` are what people read for a name, `constant` the constant classifier's.

    `images` and `groups` are the scored part's, by data set.
    """

    suite: str
    title: str
    part: str
    metric: str
    entries: Mapping[Key, Entry]
    constants: Mapping[str, float]
    images: Mapping[str, tuple[int, int]]
    titles: Mapping[tuple[str, str], str]

    def names(self, place: int) -> list[str]:
        """Return the data sets (0), backbones (1) or methods (2), in order of appearance."""
        return list(dict.fromkeys(key[place] for key in self.entries))

    def compared(self) -> dict[Key, Entry]:
        """Return the entries that have a difference to Base."""
        return {key: entry for key, entry in self.entries.items() if entry.to_base is not None}


def grids(records: Sequence[Record], metric: str = "macro_f1", resamples: int = RESAMPLES) -> list[Grid]:
    """Return a grid per suite, by name.

    A method's difference to Base is taken over the seeds that both have; p-values are corrected after Holm over all
    differences of the grid.

    Raises:
        RecordError: two records of one cell, records of one data set on different images, seeds of one method with
            different recipes, or an unknown metric.
    """
    suites = sorted({record.suite for record in records})
    return [grid([record for record in records if record.suite == name], metric, resamples) for name in suites]


def grid(records: Sequence[Record], metric: str, resamples: int) -> Grid:
    """Return the grid of one suite's records."""
    by_key: dict[Key, dict[int, Record]] = {}
    for record in records:
        key = (record.dataset[0], record.backbone[0], record.method[0])
        if record.seed in by_key.setdefault(key, {}):
            raise RecordError(f"`{record.path}` and `{by_key[key][record.seed].path}` are records of one cell.")
        by_key[key][record.seed] = record
    check_alike(records)
    entries: dict[Key, Entry] = {}
    for dataset, backbone in dict.fromkeys(key[:2] for key in by_key):
        methods = {key[2]: runs for key, runs in by_key.items() if key[:2] == (dataset, backbone)}
        for method, entry in entries_of(methods, metric, resamples).items():
            entries[dataset, backbone, method] = entry
    one = {record.dataset[0]: record for record in records}
    return Grid(
        suite=records[0].suite,
        title=records[0].title,
        part=records[0].part,
        metric=metric,
        entries=corrected(entries),
        constants={name: constant_score(record, metric) for name, record in one.items()},
        images={name: (len(r.predictions), len(set(r.predictions.groups))) for name, r in one.items()},
        titles={
            (kind, getattr(record, kind)[0]): getattr(record, kind)[1]
            for record in records
            for kind in ("dataset", "backbone", "method")
        },
    )


def check_alike(records: Sequence[Record]) -> None:
    """Refuse records of one data set on different images, and seeds of one method with different recipes."""
    of_data: dict[str, Record] = {}
    of_method: dict[Key, Record] = {}
    for record in records:
        other = of_data.setdefault(record.dataset[0], record)
        if (record.test_digest, record.data) != (other.test_digest, other.data):
            where = f"{record.part} images" if record.test_digest != other.test_digest else "training images"
            raise RecordError(
                f"`{record.path}` and `{other.path}` are not on the same {where}. "
                "Run the suite's cells on the same data and split."
            )
        other = of_method.setdefault((record.dataset[0], record.backbone[0], record.method[0]), record)
        mine, theirs = decided(record), decided(other)
        odd = [key for key in dict.fromkeys([*mine, *theirs]) if mine.get(key) != theirs.get(key)]
        if odd:
            raise RecordError(
                f"`{record.path}` and `{other.path}` are seeds of one method, but they differ in "
                f"{', '.join(f'`{key}`' for key in odd)}. Delete the record of the older suite and run its cell again."
            )


def decided(record: Record) -> dict[str, Any]:
    """Return `section.key` → value of the recipe, but for seed and place of the data, and the further inputs."""
    keys = {name: value for name, value in flattened(record.recipe).items() if name not in {"seed", "data.source"}}
    return {**keys, **record.further}


def entries_of(methods: Mapping[str, Mapping[int, Record]], metric: str, resamples: int) -> dict[str, Entry]:
    """Return the entries of one data set and backbone; every record sees the same draws of groups."""
    runs = [(method, seed) for method, by_seed in methods.items() for seed in sorted(by_seed)]
    tables = [methods[method][seed].predictions for method, seed in runs]
    found = bootstrap(tables, resamples=resamples, families=("confusion",))
    known = [name for name in found[0] if not name.startswith("class_")]
    if metric not in known:
        raise RecordError(f"`--metric {metric}` cannot be made from records. Choose one of {', '.join(known)}.")
    groups = len(set(tables[0].groups))
    values = {run: one[metric] for run, one in zip(runs, found, strict=True)}

    def stack(method: str, seeds: Sequence[int]) -> Bootstrap:
        chosen = [values[method, seed] for seed in seeds]
        return Bootstrap(np.array([one.point for one in chosen]), np.stack([one.samples for one in chosen], axis=1))

    entries: dict[str, Entry] = {}
    for method, by_seed in methods.items():
        record = next(iter(by_seed.values()))
        seeds = tuple(sorted(by_seed))
        shared = tuple(seed for seed in seeds if seed in methods.get(BASE, {}))
        row = {"dataset": record.dataset[0], "backbone": record.backbone[0], "metric": metric}
        named = record.paper or method
        printed, base = (paper_value(method=name, **row) for name in (named, BASE))
        entry = Entry(named, seeds, method_mean(stack(method, seeds), groups, metric), printed)
        if method != BASE and shared:
            paired = difference(stack(method, shared), stack(BASE, shared), groups, True)
            claimed = None if printed is None or base is None else printed - base
            entry = replace(entry, to_base=paired, paper_to_base=claimed, shared=shared)
        entries[method] = entry
    return entries


def corrected(entries: Mapping[Key, Entry]) -> dict[Key, Entry]:
    """Return the entries with Holm's p-values over all differences of the grid."""
    found = {key: entry.to_base for key, entry in entries.items() if entry.to_base is not None}
    values = dict(zip(found, holm_corrected([one.p for one in found.values()]), strict=True))
    return {
        key: replace(entry, to_base=replace(found[key], p_holm=float(values[key]))) if key in found else entry
        for key, entry in entries.items()
    }


def constant_score(record: Record, metric: str) -> float:
    """Return what always answering the most frequent label scores."""
    scores: dict[str, Any] = constant(record.predictions, None, ordinal=False)["metrics"]
    return float("nan") if scores.get(metric) is None else float(scores[metric])


@cache
def paper_table() -> dict[tuple[str, str, str, str], float]:
    """Return the paper's printed numbers: (dataset, metric, method, backbone) → value, as shares.

    Source: Gong, Ma and Zheng, "Distractor-Aware Neuron Intrinsic Learning for Generic 2D Medical Image
    Classifications", Tables 1–4 (96 numbers; Tables 1 and 2 are rows of 3 and 4).
    """
    text = (files("danil.benchmark") / "paper_tables.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {(row["dataset"], row["metric"], row["method"], row["backbone"]): float(row["value"]) for row in rows}


def paper_value(dataset: str, metric: str, method: str, backbone: str) -> float | None:
    """Return the number the paper prints, `None` where it prints none."""
    return paper_table().get((dataset, metric, method, backbone))
