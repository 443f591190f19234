"""The metrics of `metrics.json` as tables for a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from danil.data.manifest import plural
from danil.report.card import TextTable
from danil.report.page import interval, number

SHOWN: Mapping[str, tuple[str, str]] = {
    "accuracy": ("Accuracy", "share of images given the right class"),
    "macro_f1": ("Macro-F1", "mean of the classes' F1 scores: rare classes count as much as frequent ones"),
    "balanced_accuracy": ("Balanced accuracy", "mean of the classes' recalls"),
    "weighted_f1": ("Weighted F1", "mean of the classes' F1 scores, by their number of images"),
    "roc_auc": ("ROC-AUC", "chance that an image of a class ranks above one of another; mean over classes"),
    "average_precision": ("Average precision", "area under precision and recall, mean over classes"),
    "quadratic_kappa": ("Quadratic kappa", "agreement on grades beyond chance, far misses counting more"),
    "mcc": ("MCC", "correlation of labels and predictions; 0 is chance"),
    "brier": ("Brier score", "squared error of the probabilities, 0 to 2; lower is better"),
    "nll": ("Log-likelihood loss", "surprise at the right class; lower is better"),
    "ece": ("Calibration error", "mean gap between confidence and share right (ECE); lower is better"),
}
"""Metrics on the page, in order: key → name and what it says; `metrics.json` holds more."""


def title(key: str) -> str:
    """Return a metric's name for people, also of one that the page does not show by itself."""
    return SHOWN[key][0] if key in SHOWN else key.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Measure:
    """Hold one metric: its value, its 95 % interval where there is one, and what a constant classifier reaches."""

    key: str
    value: float
    low: float | None
    high: float | None
    constant: float | None

    @property
    def name(self) -> str:
        """Return the metric's name for people."""
        return SHOWN[self.key][0]

    @property
    def meaning(self) -> str:
        """Return what the metric says."""
        return SHOWN[self.key][1]

    @property
    def bounded(self) -> bool:
        """Tell whether it lies between 0 and 1, so that a bar can show it."""
        bounds = [value for value in (self.value, self.low, self.high) if value is not None]
        return self.key not in {"brier", "nll"} and all(0 <= value <= 1 for value in bounds)


@dataclass(frozen=True)
class MeasureGroup:
    """Hold the metrics of one level: images, or groups such as patients."""

    caption: str
    measures: list[Measure]

    @property
    def constant(self) -> bool:
        """Tell whether the constant classifier is known."""
        return any(measure.constant is not None for measure in self.measures)


def measure_groups(document: Mapping[str, Any] | None) -> list[MeasureGroup]:
    """Return the metrics of images and, where there are real groups, of groups."""
    if document is None:
        return []
    level = f"{document['level']:.0%}"
    drawn = "groups" if document["grouped"] else "images"
    caption = (
        f"{plural(document['labelled'], 'image')}; {level} intervals from {document['resamples']:,} draws of {drawn}"
    )
    groups = [MeasureGroup(caption, measures(document))]
    fused = document.get("group_level")
    if fused:
        caption = f"{plural(fused['groups'], 'group')} (patient, lesion …), the mean probability of each group's images"
        groups.append(MeasureGroup(caption, measures(fused)))
    return groups


def measures(document: Mapping[str, Any]) -> list[Measure]:
    """Return the metrics that are shown and defined."""
    constant = document["constant"]["metrics"]
    return [
        Measure(key, entry["value"], entry["low"], entry["high"], constant.get(key))
        for key in SHOWN
        if (entry := document["metrics"].get(key)) and entry["value"] is not None
    ]


def per_class(document: Mapping[str, Any] | None) -> TextTable | None:
    """Return a row per class: images, precision, recall, F1, ROC-AUC, each with its interval."""
    if document is None:
        return None
    names = {"precision": "precision (PPV)", "recall": "recall (sensitivity)", "f1": "F1", "roc_auc": "ROC-AUC"}
    rows = [
        [name, f"{row['support']:,}", f"{row['predicted']:,}", *(spanned(row[key]) for key in names)]
        for name, row in document["per_class"].items()
    ]
    caption = "Scores of each class against the rest, with intervals"
    return TextTable(caption, ["class", "images", "predicted", *names.values()], rows)


def spanned(entry: Mapping[str, float | None]) -> str:
    """Return `0.812 [0.750, 0.870]`."""
    if entry["low"] is None:
        return number(entry["value"])
    return f"{number(entry['value'])} {interval(entry['low'], entry['high'])}"
