"""Methods' metrics and their paired differences, from the document of `compare_runs`, as tables for a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from danil.data.manifest import plural
from danil.report.card import TextTable
from danil.report.measures import SHOWN, spanned, title

OWN_SCALE = {"nll", "brier"}
"""Metrics that are not shares: their differences are drawn each at its own scale."""


@dataclass(frozen=True)
class DifferenceRow:
    """Hold one metric: each method's value with interval as text, and the difference, drawn between ∓`most`."""

    name: str
    texts: list[str]
    difference: float
    low: float | None
    high: float | None
    most: float
    lower_is_better: bool


@dataclass(frozen=True)
class DifferenceTable:
    """Hold one pair of methods: the verdict as a sentence, a caption, and a row per metric."""

    verdict: str
    caption: str
    names: list[str]
    rows: list[DifferenceRow]


def difference_table(comparison: Mapping[str, Any], pair: Mapping[str, Any]) -> DifferenceTable:
    """Return a row per metric, the second method in front, so that the difference reads as a change of it."""
    names = [pair["second"], pair["first"]]
    shown = dict.fromkeys([*SHOWN, comparison["metric"]])
    found = {key: pair["differences"][key] for key in shown if known(pair["differences"].get(key))}
    shares = [reach(entry) for key, entry in found.items() if key not in OWN_SCALE]
    most = max([*shares, 1e-6])
    rows = [
        DifferenceRow(
            title(key),
            [spanned(comparison["methods"][name]["metrics"][key]) for name in names],
            entry["value"],
            entry["low"],
            entry["high"],
            max(reach(entry), 1e-6) if key in OWN_SCALE else most,
            key in comparison["lower_is_better"],
        )
        for key, entry in found.items()
    ]
    caption = f"{plural(comparison['images'], 'test image')}; difference: {pair['first']} less {pair['second']}"
    return DifferenceTable(sentence(pair["verdict"]), caption, names, rows)


def known(entry: Mapping[str, Any] | None) -> bool:
    """Tell whether the difference is defined."""
    return entry is not None and entry["value"] is not None


def reach(entry: Mapping[str, Any]) -> float:
    """Return how far from 0 the difference's value and bounds lie, and a margin."""
    return 1.1 * max(abs(entry[key]) for key in ("value", "low", "high") if entry[key] is not None)


def sentence(text: str) -> str:
    """Return the text as a sentence."""
    return f"{text[0].upper()}{text[1:]}."


def method_table(comparison: Mapping[str, Any]) -> TextTable:
    """Return a row per method: seeds and headline metrics, the best method by the comparison's metric first."""
    metric, methods = comparison["metric"], comparison["methods"]
    keys = list(dict.fromkeys(["accuracy", "macro_f1", "balanced_accuracy", "roc_auc", "ece", metric]))
    sign = 1 if metric in comparison["lower_is_better"] else -1
    order = sorted(methods, key=lambda name: sign * (methods[name]["metrics"][metric]["value"] or 0))
    rows = [
        [name, seeds(methods[name]["seeds"]), *(spanned(methods[name]["metrics"][key]) for key in keys)]
        for name in order
    ]
    return TextTable("Mean over seeds, with intervals", ["method", "seeds", *(title(key) for key in keys)], rows)


def seeds(numbers: Sequence[int | None]) -> str:
    """Return the seeds, a question mark for an unknown one."""
    return ", ".join("?" if number is None else str(number) for number in numbers)
