"""The metrics as a few lines of text for a terminal."""

from collections.abc import Mapping
from typing import Any

from danil.data.manifest import plural
from danil.evaluation.notes import interval_note, without_interval
from danil.statistics.comparison import signed

SHOWN = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "quadratic_kappa": "quadratic kappa",
    "roc_auc": "ROC-AUC",
    "ece": "ECE",
}

MANY = 6
"""More metrics without an interval than this are counted instead of named."""


def summary(
    document: Mapping[str, Any], thresholds: bool = False, selective: bool = False, subgroups: bool = False
) -> str:
    """Return headline metrics with intervals beside the constant classifier, per-class scores and notes, by task.

    `thresholds`, `selective` and `subgroups` add these sections.
    """
    asked = thresholds, selective, subgroups
    further = document.get("tasks") or {}
    first = task_summary(document, *asked)
    parts = [f"task {document['task']}", first] if further else [first]
    for task, other in further.items():
        parts += ["", f"task {task}", task_summary(other, *asked)]
    return "\n".join(parts)


def task_summary(document: Mapping[str, Any], thresholds: bool, selective: bool, subgroups: bool) -> str:
    """Return the summary of one task."""
    images = plural(document["labelled"], "image")
    images += f" in {plural(document['groups'], 'group')}" if document["grouped"] else ""
    constant = document["constant"]
    lines = [f"{images}; {document['level']:.0%} intervals; constant: always {constant['class']}", ""]
    lines.append(f"{'':<18}{'value':>7}  {'interval':<18}{'constant':>8}")
    for key, name in SHOWN.items():
        if key in document["metrics"]:
            value = document["metrics"][key]
            lines.append(f"{name:<18}{text(value['value']):>7}  {span(value):<18}{text(constant['metrics'][key]):>8}")
    width = max(18, *(len(name) + 1 for name in document["per_class"]))
    lines += ["", f"{'class':<{width}}{'images':>7}  precision  recall  F1"]
    for name, row in document["per_class"].items():
        scores = [text(row[key]["value"]) for key in ("precision", "recall", "f1")]
        lines.append(f"{name:<{width}}{row['support']:>7}  {scores[0]:>9}  {scores[1]:>6}  {scores[2]}")
    if document["group_level"]:
        lines += ["", group_line(document["group_level"])]
    lines += threshold_lines(document) if thresholds else []
    lines += selective_lines(document) if selective else []
    lines += subgroup_lines(document) if subgroups else []
    return "\n".join([*lines, *(f"note: {note}" for note in short_notes(document))])


def short_notes(document: Mapping[str, Any]) -> list[str]:
    """Return the notes, that on missing intervals with their number where it names many metrics."""
    names = without_interval(document)
    notes: list[str] = document["notes"]
    if len(names) <= MANY:
        return notes
    full, short = interval_note(names), interval_note([f"{len(names)} metrics (see metrics.json)"])
    return [short if note == full else note for note in notes]


def group_line(level: Mapping[str, Any]) -> str:
    """Return the headline metrics of groups."""
    shown = ", ".join(
        f"{name} {spanned(level['metrics'][key])}"
        for key, name in SHOWN.items()
        if key in ("accuracy", "macro_f1", "roc_auc")
    )
    return f"mean probability of each of {plural(level['groups'], 'group')}: {shown}"


def threshold_lines(document: Mapping[str, Any]) -> list[str]:
    """Return a line per threshold chosen on the validation part, with what it gives on the test part."""
    if not document["operating_points"]:
        return []
    width = max(len(point["class"]) for point in document["operating_points"])
    lines = ["", "thresholds on calibrated probabilities, chosen on the validation part:"]
    for point in document["operating_points"]:
        rates = [f"{key} {spanned(point[key])}" for key in ("sensitivity", "specificity")]
        values = [f"{key.upper()} {spanned(point[key])}" for key in ("ppv", "npv")]
        lines.append(
            f"{point['class']:<{width}}  for {point['wanted']} {point['at_least']:g}: from {text(point['threshold'])}; "
            f"{', '.join(rates)}; at prevalence {text(point['prevalence'])}: {', '.join(values)}"
        )
    return lines


def selective_lines(document: Mapping[str, Any]) -> list[str]:
    """Return a line per wanted risk."""
    lines = [""] if document["selective"]["points"] else []
    for point in document["selective"]["points"]:
        given = "not reached by any confidence"
        if point["threshold"] is not None:
            answered, wrong = (spanned(point[key]) for key in ("coverage", "risk"))
            given = f"answer from confidence {text(point['threshold'])}: {answered} answered, "
            given += "no image of these labels" if point["risk"]["value"] is None else f"{wrong} of them wrong"
        lines.append(f"errors of at most {point['wanted_risk']:g}, chosen on the validation part: {given}")
    return lines


def subgroup_lines(document: Mapping[str, Any]) -> list[str]:
    """Return a line per subgroup, flagged ones marked."""
    lines = [""] if document["subgroups"] else []
    for row in document["subgroups"]:
        accuracy = row["metrics"]["accuracy"]
        gap = f", gap at the same labels {signed(row['gap_alike'])} (flagged)" if row["flagged"] else ""
        lines.append(
            f"{row['column']} {row['value']}: {plural(row['images'], 'image')}, accuracy {spanned(accuracy)}{gap}"
        )
    return lines


def text(value: float | None) -> str:
    """Return a number with three decimals and a true minus, none before a zero; a dash where undefined."""
    if value is None:
        return "–"
    return f"{value:.3f}".replace("-", "−" if round(value, 3) else "")


def span(value: Mapping[str, float | None]) -> str:
    """Return an interval in brackets, nothing where undefined."""
    return "" if value["low"] is None else f"[{text(value['low'])}, {text(value['high'])}]"


def spanned(value: Mapping[str, float | None]) -> str:
    """Return a number with its interval, where it has one."""
    return f"{text(value['value'])} {span(value)}".rstrip()
