"""Methods paired under each condition of a robustness measurement."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from danil.evaluation.document import Document
from danil.evaluation.robustness import FILE, FOLDER, METRICS
from danil.evaluation.robustness_file import read_robustness
from danil.statistics.bootstrap import LEVEL
from danil.statistics.comparison import Pair, compared
from danil.statistics.tables import read_predictions
from danil.statistics.two_level import Difference


def robust_pairs(
    methods: Mapping[str, Sequence[Path]], seeds: Mapping[str, Sequence[int | None]], *, resamples: int, seed: int
) -> tuple[Document | None, list[str]]:
    """Return every pair of methods under each condition, and notes; `seeds` are the runs'.

    Keys: `images`, `size`, `settings`, `conditions` (`name`, `unit`, `methods`: name → metric → value, low, high;
    `pairs`: `first`, `second`, `differences`: metric → value, low, high, p, `p_holm` over the pairs). `None`, with a
    note where that needs one, unless every run was measured with the same settings.

    Raises:
        EvaluationError: a `robustness.json` is damaged.
        PredictionsError: a table of a condition is missing or damaged.
    """
    runs = [run for paths in methods.values() for run in paths]
    found = [read_robustness(run / FILE) for run in runs]
    documents = [document for document in found if document is not None]
    if len(documents) < len(runs):
        missing = runs[found.index(None)]
        note = f"Robustness is left out: `{missing}` has none. Measure it: `danil evaluate {missing} --robustness`."
        return None, [note] if documents else []
    first = documents[0]
    if any(settings(document) != settings(first) for document in documents):
        return None, ["Robustness is left out: the runs were measured with other settings, sizes or conditions."]
    rows: list[Document] = []
    for condition in first["conditions"]:
        tables = {
            method: [read_predictions(run / FOLDER / f"{condition['name']}.csv") for run in paths]
            for method, paths in methods.items()
        }
        means, pairs = compared(tables, seeds=seeds, families=("confusion",), resamples=resamples, seed=seed)
        rows.append({key: condition[key] for key in ("name", "unit")} | paired_row(means, pairs))
    return {key: first[key] for key in ("images", "size", "settings")} | {"conditions": rows}, []


def paired_row(means: Mapping[str, Mapping[str, Difference]], pairs: Sequence[Pair]) -> Document:
    """Return `methods` and `pairs` of one condition."""
    return {
        "methods": {
            method: {key: {name: getattr(values[key], name) for name in ("value", "low", "high")} for key in METRICS}
            for method, values in means.items()
        },
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "differences": {key: asdict(pair.differences[key]) for key in METRICS},
            }
            for pair in pairs
        ],
    }


def settings(document: Mapping[str, Any]) -> list[Any]:
    """Return what two measurements must share to be compared."""
    names = [row["name"] for row in document["conditions"]]
    return [document["settings"], document["size"], document["images"], names]


def robust_lines(document: Mapping[str, Any]) -> list[str]:
    """Return a line per condition and pair for a terminal: the first method less the second, in both metrics."""
    lines = [f"under each condition, {LEVEL:.0%} intervals that no correction for their number widens:"]
    for row in document["conditions"]:
        for pair in row["pairs"]:
            texts: list[str] = []
            for key, title in (("accuracy", "accuracy"), ("macro_f1", "macro-F1")):
                found = pair["differences"][key]
                if found["low"] is None:
                    texts.append(f"Δ {title} –")
                else:
                    texts.append(f"Δ {title} {found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]")
            lines.append(f"{row['name']:<10} {pair['first']} − {pair['second']}: {', '.join(texts)}")
    return lines
