"""The metrics as a few lines of text for a terminal."""

from collections.abc import Mapping
from typing import Any

SHOWN = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "quadratic_kappa": "quadratic kappa",
    "roc_auc": "ROC-AUC",
    "ece": "ECE",
}


def summary(document: Mapping[str, Any]) -> str:
    """Return headline metrics with intervals beside the constant classifier, per-class scores and notes, by task."""
    further = document.get("tasks") or {}
    parts = [f"task {document['task']}", task_summary(document)] if further else [task_summary(document)]
    for task, other in further.items():
        parts += ["", f"task {task}", task_summary(other)]
    return "\n".join(parts)


def task_summary(document: Mapping[str, Any]) -> str:
    """Return the summary of one task."""
    images = f"{document['labelled']} images" + (f" in {document['groups']} groups" if document["grouped"] else "")
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
    return "\n".join([*lines, *(f"note: {note}" for note in document["notes"])])


def text(value: float | None) -> str:
    """Return a number with three decimals, a dash where undefined."""
    return "–" if value is None else f"{value:.3f}"


def span(value: Mapping[str, float | None]) -> str:
    """Return an interval in brackets, nothing where undefined."""
    return "" if value["low"] is None else f"[{text(value['low'])}, {text(value['high'])}]"
