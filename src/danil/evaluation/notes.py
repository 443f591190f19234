"""What a reader of `metrics.json` must know before trusting a number."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from danil.data.unknown import MARKS
from danil.statistics.bootstrap import FEW
from danil.statistics.calibration import RANGE, unfitted
from danil.statistics.comparison import signed

NAMELESS = {mark.lower() for mark in MARKS} | {"unknown"}
"""Names of groups, in small letters, that may stand for no group."""


def marked_group(groups: Sequence[str]) -> list[str]:
    """Return a sentence where several images are of a group whose name says that it is not known."""
    counts = Counter(groups)
    odd = [f"`{name}` ({count:,})" for name, count in counts.items() if count > 1 and name.lower() in NAMELESS]
    if not odd:
        return []
    return [
        f"Images of the group {', '.join(odd)} are taken as one patient's. If the name says that it is not known, "
        "give each such image its own (its path)."
    ]


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
    return [*notes, *temperature_notes(document["calibration"]["temperature"]), *threshold_notes(document)]


def threshold_notes(document: Mapping[str, Any]) -> list[str]:
    """Return sentences on thresholds that few groups chose, and on classes without any."""
    points: list[Mapping[str, Any]] = document["operating_points"]
    rough = [
        f"{point['class']} ({point['wanted']} {point['at_least']:g}: {point['chosen_on']})"
        for point in points
        if point["chosen_on"] is not None and point["chosen_on"] < 2 * FEW
    ]
    notes: list[str] = []
    if rough:
        kind = "groups" if document["grouped"] else "images"
        notes.append(
            f"Thresholds that fewer than {2 * FEW} {kind} of the validation part chose miss the wanted rate easily: "
            f"{', '.join(rough)}."
        )
    bare = [
        name
        for name, row in document["per_class"].items()
        if 0 < row["support"] < document["labelled"] and name not in {point["class"] for point in points}
    ]
    if document["decided_on"] is not None and bare:
        notes.append(
            f"No threshold for {', '.join(bare)}: the validation part has no label of it, or of no other class."
        )
    return notes


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
    rare = [rare_class(name, row) for name, row in rows.items() if 0 < row["groups"] < FEW]
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
        kind = "groups" if document["grouped"] else "images"
        notes.append(f"Few {kind} of {', '.join(rare)}: these classes' scores, and so macro averages, are uncertain.")
    return notes


def rare_class(name: str, row: Mapping[str, Any]) -> str:
    """Return a class with its groups and, where they are more, its images."""
    images = f" of {row['support']} images" if row["support"] > row["groups"] else ""
    return f"{name} ({row['groups']}{images})"


def interval_notes(document: Mapping[str, Any]) -> list[str]:
    """Return sentences on few groups and missing intervals."""
    if document["groups"] < 2:
        return ["All images are of one group: nothing says how another would do, so there are no intervals."]
    notes, without = few_groups_notes(document["groups"]), without_interval(document)
    return [*notes, interval_note(without)] if without else notes


def few_groups_notes(groups: int) -> list[str]:
    """Return a sentence where resamples are of few groups."""
    return [f"Only {groups} groups were drawn from: intervals are rough."] if groups < 2 * FEW else []


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
        f"No interval for {', '.join(names)}: a class is of fewer than {FEW} groups, the resamples all agree, which is "
        "not certainty, or too few define it. The intervals of accuracy, recall and precision say how sure these are."
    )


def alone(found: Mapping[str, Any]) -> bool:
    """Tell whether a metric has a value and no interval."""
    return found["value"] is not None and found["low"] is None
