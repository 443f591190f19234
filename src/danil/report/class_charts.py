"""The charts of classes, each against the rest: ROC and precision–recall."""

from collections.abc import Mapping
from textwrap import shorten
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from danil.report.drawing import MUTED, Chart, chart, series, squared, thinned
from danil.statistics.predictions import Predictions

Array = np.ndarray[Any, Any]
Corner = Literal["lower left", "lower right"]
MATRIX = 50
"""Classes up to which a confusion matrix is shown."""
INSIDE, LINES = 6, 12
"""Up to so many classes the legend stands inside the axes; at most so many classes have a line."""


def roc_chart(predictions: Predictions) -> Chart | None:
    """Return one ROC curve per class against the rest; classes all or none of the images belong to have none."""
    found: dict[str, tuple[Array, Array]] = {}
    for place, name in enumerate(predictions.classes):
        positive = predictions.labels == place
        if positive.any() and not positive.all():
            found[name] = roc_curve(positive, predictions.probabilities[:, place])[:2]
    if not found:
        return None
    areas = {name: float(np.trapezoid(hit, false)) for name, (false, hit) in found.items()}

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        class_lines(axes, found, areas, "class (area)", "lower right")
        squared(axes, "ROC, one class against the rest", "1 − specificity", "sensitivity")

    told = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    caption = f"Area under the curve in brackets; the dotted line is chance.{fewer(areas)}"
    return chart(draw, f"ROC curves, one class against the rest. Areas: {told}.", caption, height(areas))


def precision_recall_chart(predictions: Predictions) -> Chart | None:
    """Return one precision–recall curve per class against the rest."""
    found: dict[str, tuple[Array, Array]] = {}
    for place, name in enumerate(predictions.classes):
        positive = predictions.labels == place
        if positive.any():
            found[name] = precision_steps(positive, predictions.probabilities[:, place])
    if not found:
        return None
    areas = {name: float(np.sum(np.diff(recall) * precision[1:])) for name, (recall, precision) in found.items()}

    def draw(axes: Axes) -> None:
        class_lines(axes, found, areas, "class (average precision)", "lower left", steps=True)
        squared(axes, "Precision and recall, one class against the rest", "recall (sensitivity)", "precision (PPV)")

    told = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    caption = f"Average precision in brackets. Chance is each class's share of the images.{fewer(areas)}"
    alt = f"Precision–recall curves, one class against the rest. Average precision: {told}."
    return chart(draw, alt, caption, height(areas))


def precision_steps(positive: Array, scores: Array) -> tuple[Array, Array]:
    """Return recall, ascending from 0, and the best precision at which each is reached (a step up to it)."""
    precision, recall, _ = precision_recall_curve(positive, scores)
    levels, first = np.unique(recall[::-1], return_index=True)
    best = np.maximum.reduceat(precision[::-1], first)
    best[0] = best[1]  # nothing is called at recall 0
    return levels, best


def class_lines(
    axes: Axes,
    found: Mapping[str, tuple[Array, Array]],
    areas: Mapping[str, float],
    title: str,
    place: Corner,
    *,
    steps: bool = False,
) -> None:
    """Draw a line per class with its area in the legend: inside, or below the axes where there are many."""
    worst = sorted(found, key=lambda name: areas[name])[:LINES]
    for index, name in enumerate(name for name in found if name in worst):
        label, drawn = f"{shorten(name, 26)} ({areas[name]:.3f})", "steps-pre" if steps else "default"
        axes.plot(*thinned(*found[name]), label=label, drawstyle=drawn, **series(index))
    if len(found) <= INSIDE:
        axes.legend(loc=place, title=title, alignment="left")
    else:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, title=title, alignment="left")


def fewer(areas: Mapping[str, float]) -> str:
    """Return that not every class has a line, nothing where each has."""
    return f" Drawn: the {LINES} of {len(areas)} classes with the smallest areas." if len(areas) > LINES else ""


def height(areas: Mapping[str, float]) -> tuple[float, float]:
    """Return the size of a chart with room for a legend below where classes are many."""
    rows = -(-min(len(areas), LINES) // 2) if len(areas) > INSIDE else 0
    return 4.8, 3.5 + 0.21 * rows
