"""What chance alone does, for docs/replication.md: other seeds, and the same training with other last bits."""

from collections.abc import Sequence
from itertools import combinations
from statistics import mean

from danil.benchmark.records import Record
from danil.benchmark.tables import row as table_row
from danil.statistics.comparison import compared

METRICS = ("macro_f1", "accuracy")
HEADS = tuple(metric.replace("_f1", "-F1") for metric in METRICS)
CONTROL = "danil_detach"
"""The method that trains as Base does, to the last bit on the same code (`tests/training/test_objectives.py`)."""

Names = tuple[str, str, str, str]


def by_method(records: Sequence[Record]) -> dict[Names, list[Record]]:
    """Return suite, data set, backbone and method → the records of its seeds."""
    groups: dict[Names, list[Record]] = {}
    for record in records:
        key = (record.suite, record.dataset[1], record.backbone[1], record.method[1])
        groups.setdefault(key, []).append(record)
    return groups


def excluding(pairs: Sequence[tuple[Record, Record]]) -> list[int]:
    """Return how many pairs have a paired interval of the difference, over test images, that excludes 0, by metric."""
    counts = [0] * len(METRICS)
    for pair in pairs:
        _, (found,) = compared({str(i): [record.predictions] for i, record in enumerate(pair)}, families=("confusion",))
        for i, metric in enumerate(METRICS):
            counts[i] += not found.differences[metric].low <= 0 <= found.differences[metric].high
    return counts


def seeds(records: Sequence[Record]) -> str:
    """Return how often the interval of the difference of two seeds of one method excludes 0, by metric."""
    lines = [table_row(("suite", "data", "backbone", "method", "pairs", *HEADS)), "|---" * (5 + len(HEADS)) + "|"]
    total = [0] * (1 + len(HEADS))
    for names, each in by_method(records).items():
        pairs = list(combinations(each, 2))
        if pairs:
            counts = [len(pairs), *excluding(pairs)]
            total = [sum(pair) for pair in zip(total, counts, strict=True)]
            lines.append(table_row((*names, *map(str, counts))))
    return "\n".join([*lines, table_row(("all", "", "", "", *map(str, total)))])


def last_bits(records: Sequence[Record]) -> str:
    """Return how far trainings differ that differ in nothing but the last bits of their arithmetic."""
    head = ("suite", "data", "pairs", "differently predicted", "differently predicted, two seeds of Base", *HEADS)
    lines = [table_row(head), "|---" * len(head) + "|"]
    for names in by_method(records):
        of = [record for record in records if (record.suite, record.dataset[1], record.backbone[1]) == names[:3]]
        base = {record.seed: record for record in of if record.method[0] == "base"}
        again = {record.seed: record for record in of if record.method[0] == CONTROL and record.method[1] == names[3]}
        pairs = [(again[seed], base[seed]) for seed in sorted(again.keys() & base.keys())]
        pairs = [pair for pair in pairs if pair[0].code != pair[1].code]
        if pairs:
            shares = (changed(pairs), changed(list(combinations(base.values(), 2))))
            lines.append(table_row((*names[:2], str(len(pairs)), *shares, *map(str, excluding(pairs)))))
    return "\n".join(lines) if len(lines) > 2 else "No record holds it yet."


def changed(pairs: Sequence[tuple[Record, Record]]) -> str:
    """Return the mean share of images that two trainings of a pair put into different classes."""
    if not pairs:
        return "–"
    return f"{mean(float((a.predictions.found != b.predictions.found).mean()) for a, b in pairs):.1%}"
