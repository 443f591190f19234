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
            counts[i] += found.differences[metric].low > 0 or found.differences[metric].high < 0
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


def repeated(records: Sequence[Record]) -> dict[Names, tuple[list[tuple[Record, Record]], list[Record]]]:
    """Return for each control its records beside Base's of the same seed and other code, and all records of Base."""
    found: dict[Names, tuple[list[tuple[Record, Record]], list[Record]]] = {}
    for names, each in by_method(records).items():
        if each[0].method[0] == CONTROL:
            place = (each[0].suite, each[0].dataset, each[0].backbone, "base")
            base = [one for one in records if (one.suite, one.dataset, one.backbone, one.method[0]) == place]
            pairs = [(one, two) for one in each for two in base if one.seed == two.seed and one.code != two.code]
            if pairs:
                found[names] = pairs, base
    return found


def last_bits(records: Sequence[Record]) -> str:
    """Return how far trainings differ that differ in nothing but the last bits of their arithmetic."""
    head = ("suite", "data", "pairs", "differently predicted", "differently predicted, two seeds of Base", *HEADS)
    lines = [table_row(head), "|---" * len(head) + "|"]
    for names, (pairs, base) in repeated(records).items():
        shares = (changed(pairs), changed(list(combinations(base, 2))))
        lines.append(table_row((*names[:2], str(len(pairs)), *shares, *map(str, excluding(pairs)))))
    return "\n".join(lines) if len(lines) > 2 else "No record holds it yet."


def named(records: Sequence[Record]) -> str:
    """Return a sentence on the rows of the answer that are Base trained again; nothing where there are none."""
    titles = sorted({names[3] for names in repeated(records)})
    if not titles:
        return ""
    return (
        f"*{' and '.join(titles)}* trains as Base does, to the last bit on the same code; the records come from other "
        "code than Base's: this row is what other last bits alone do."
    )


def changed(pairs: Sequence[tuple[Record, Record]]) -> str:
    """Return the mean share of images that two trainings of a pair put into different classes."""
    if not pairs:
        return "–"
    return f"{mean(float((a.predictions.found != b.predictions.found).mean()) for a, b in pairs):.1%}"
