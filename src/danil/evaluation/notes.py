"""What a reader of `metrics.json` must know before trusting a number."""

from collections.abc import Mapping, Sequence
from typing import Any

from danil.statistics.calibration import RANGE, unfitted
from danil.statistics.comparison import signed

FEW = 10
"""A class with fewer images than this has scores that say little."""


def notes_on(document: Mapping[str, Any]) -> list[str]:
    """Return sentences on labels, intervals, groups, subgroups and thresholds."""
    notes = [*label_notes(document), *interval_notes(document)]
    level = document["group_level"]
    if level and level["conflicting"]:
        count = level["conflicting"]
        holds, has = ("group holds", "has") if count == 1 else ("groups hold", "have")
        notes.append(f"{count} {holds} images of different labels and {has} no group-level result.")
    gaps = [
        f"{row['column']} {row['value']} ({signed(row['gap_alike'])})"
        for row in document["subgroups"]
        if row["flagged"]
    ]
    if gaps:
        notes.append(
            "Accuracy differs from that of all other images of the same labels, beyond chance (Holm), for "
            f"{', '.join(gaps)}."
        )
    if document["decided_on"] is None:
        notes.append(
            "No temperature was fitted and no thresholds were chosen: there are no predictions on a validation part, "
            "and the test part must not choose them."
        )
    return [*notes, *temperature_notes(document["calibration"]["temperature"])]


def temperature_notes(fitted: Mapping[str, Any] | None) -> list[str]:
    """Return sentences on a temperature that is no fit, or is one of few images."""
    if fitted is None:
        return []
    notes: list[str] = []
    if unfitted(fitted["value"], fitted["nll_after"]):
        low, high = RANGE
        reason = "every label is the most probable class, or nearly so: the smaller it is the better"
        if fitted["value"] > 1:
            reason = "the probabilities tell nothing of the labels: the larger it is the better"
        notes.append(
            f"The temperature, {fitted['value']:.2g}, is no fit: on the {fitted['images']:,} validation images "
            f"{reason}, to the end of the range looked at ({low:g} to {high:g}). Do not trust calibrated "
            "probabilities, thresholds and confidences."
        )
    if fitted["images"] < 2 * FEW:
        notes.append(
            f"Only {fitted['images']} validation images chose temperature, thresholds and confidences: they are rough."
        )
    return notes


def label_notes(document: Mapping[str, Any]) -> list[str]:
    """Return sentences on missing labels, absent and rare classes."""
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
            + (f"; {taken} predicted as such count as misses of their own class." if taken else ".")
        )
    if rare:
        notes.append(f"Few images of {', '.join(rare)}: these classes' scores, and so macro averages, are uncertain.")
    return notes


def interval_notes(document: Mapping[str, Any]) -> list[str]:
    """Return sentences on few groups and missing intervals."""
    if document["groups"] < 2:
        return ["All images are of one group: nothing says how another would do, so there are no intervals."]
    notes: list[str] = []
    if document["groups"] < 2 * FEW:
        notes.append(f"Only {document['groups']} groups were drawn from: intervals are rough.")
    without = without_interval(document)
    return [*notes, interval_note(without)] if without else notes


def without_interval(document: Mapping[str, Any]) -> list[str]:
    """Return the names of the metrics that have a value and no interval."""
    metrics: Mapping[str, Mapping[str, Any]] = document["metrics"]
    without = [name for name, found in metrics.items() if alone(found)]
    for name, row in document["per_class"].items():
        bare = [key for key, found in row.items() if isinstance(found, Mapping) and alone(found)]
        without += [f"{key} of {name}" for key in bare]
    return without


def interval_note(names: Sequence[str]) -> str:
    """Return that these metrics have no interval."""
    return (
        f"No interval for {', '.join(names)}: the resamples all agree, which is not certainty, or too few define it. "
        "The intervals of accuracy, recall and precision say how sure these are."
    )


def alone(found: Mapping[str, Any]) -> bool:
    """Tell whether a metric has a value and no interval."""
    return found["value"] is not None and found["low"] is None
