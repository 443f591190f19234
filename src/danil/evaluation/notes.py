"""What a reader of `metrics.json` must know before trusting a number."""

from collections.abc import Mapping
from typing import Any

FEW = 10
"""A class with fewer images than this has an interval that says little."""


def notes_on(document: Mapping[str, Any]) -> list[str]:
    """Return sentences on absent and rare classes, missing labels, few groups and intervals of no width."""
    rows: Mapping[str, Mapping[str, Any]] = document["per_class"]
    absent = [name for name, row in rows.items() if not row["support"]]
    rare = [f"{name} ({row['support']})" for name, row in rows.items() if 0 < row["support"] < FEW]
    notes: list[str] = []
    if document["images"] > document["labelled"]:
        count = document["images"] - document["labelled"]
        notes.append(f"{count} of {document['images']} images have no label and are left out.")
    if len(rows) - len(absent) == 1:
        only = next(name for name, row in rows.items() if row["support"])
        notes.append(
            f"Every label is {only}: accuracy is the recall of that class, ROC-AUC is undefined and macro averages are "
            "over one class. Add images of other classes to judge the classifier."
        )
    elif absent:
        taken = sum(rows[name]["predicted"] for name in absent)
        notes.append(
            f"No image is labelled {', '.join(absent)}: macro averages are over the other classes"
            + (f"; {taken} images were predicted as such and count as misses of their own class." if taken else ".")
        )
    if rare:
        notes.append(f"Few images of {', '.join(rare)}: these classes' scores, and so macro averages, are uncertain.")
    if document["groups"] < 2 * FEW:
        notes.append(f"Only {document['groups']} groups were drawn from: intervals are rough.")
    flat = [
        name
        for name, value in document["metrics"].items()
        if value["low"] is not None and value["low"] == value["high"]
    ]
    if flat:
        bound = 3 / document["groups"]
        notes.append(
            f"Every resample gives the same {', '.join(flat)}: the interval has no width but is not certain; at no "
            f"error in {document['groups']} groups the error rate may still be {min(1.0, bound):.1%} (rule of three)."
        )
    level = document["group_level"]
    if level and level["conflicting"]:
        notes.append(f"{level['conflicting']} groups hold images of different labels and have no group-level result.")
    return notes
