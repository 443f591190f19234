"""The charts of a run: training curves, ROC, precision–recall, reliability, risk–coverage."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from danil.report.drawing import MUTED, SERIES, Chart, chart, series

Array = np.ndarray[Any, Any]
POINTS = 250
"""A drawn curve has at most this many points."""
NO_LOSS = {"epoch", "step", "lr", "seconds", "share_wrong", "gradient_ratio"}
WRONG_CAPTION = "Share of training images that the network got wrong: those on which DANIL's term acts."
DISTANCE_CAPTION = "Squared distance of A⁺ and A⁻ on wrong images: quantiles over each batch. The term is λ / (d + ε)."
RATIO_CAPTION = (
    "Size of the distractor term's gradient against the classification loss's: far below 0.01 it does nothing."
)


def training_charts(log: pd.DataFrame) -> list[Chart]:
    """Return the curves of a run's log: the loss and its parts, validation scores, what DANIL's term did."""
    known = [name for name in log.columns if log[name].notna().any()]
    losses = [name for name in known if name not in NO_LOSS and not name.startswith(("validation_", "distance_"))]
    scores = [name for name in known if name.startswith("validation_")]
    drawn = [
        curves(log, losses, "Training loss", "The mean loss of each epoch, and the parts it is the sum of."),
        curves(log, scores, "Validation", "Scores on the validation part after each epoch.", top=1.0),
        curves(log, [name for name in known if name == "share_wrong"], "Wrong images", WRONG_CAPTION, top=1.0),
        curves(log, [name for name in known if name.startswith("distance_")], "Distance d", DISTANCE_CAPTION, log=True),
        curves(log, [name for name in known if name == "gradient_ratio"], "Gradient ratio", RATIO_CAPTION, log=True),
    ]
    return [item for item in drawn if item is not None]


def curves(
    table: pd.DataFrame, names: Sequence[str], title: str, caption: str, *, top: float | None = None, log: bool = False
) -> Chart | None:
    """Return lines over the epochs, from 0 to `top` or on a logarithmic axis; `None` without columns."""
    if not names:
        return None
    epochs = table["epoch"].to_numpy()

    def draw(axes: Axes) -> None:
        for place, name in enumerate(names):
            mark = "o" if len(table) < 25 else ""
            axes.plot(epochs, table[name], marker=mark, markersize=3.5, label=readable(name), **series(place))
        axes.set(title=title, xlabel="epoch", xlim=(epochs.min() - 0.4, epochs.max() + 0.4))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if log and (table[list(names)].max() > 0).any():
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, top)
        axes.legend()

    first, last = table.iloc[0], table.iloc[-1]
    told = "; ".join(f"{readable(name)} from {first[name]:.3g} to {last[name]:.3g}" for name in names)
    return chart(draw, f"{title} over {len(table)} epochs: {told}.", caption)


def readable(name: str) -> str:
    """Return a column's name in words."""
    words = name.removeprefix("validation_").replace("_", " ")
    return words.replace("macro f1", "macro-F1")


def thinned(*columns: Array) -> list[Array]:
    """Return the columns at no more than `POINTS` rows, ends included."""
    count = len(columns[0])
    rows = np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))
    return [column[rows] for column in columns]


def roc_chart(labels: Array, probabilities: Array, classes: Sequence[str]) -> Chart | None:
    """Return one ROC curve per class against the rest; classes all or none of the images belong to have none."""
    found = {
        name: roc_curve(labels == place, probabilities[:, place])[:2]
        for place, name in enumerate(classes)
        if 0 < (labels == place).sum() < len(labels)
    }
    if not found:
        return None
    areas = {name: float(np.trapezoid(hit, false)) for name, (false, hit) in found.items()}

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        for place, (name, (false, hit)) in enumerate(found.items()):
            axes.plot(*thinned(false, hit), label=f"{name} ({areas[name]:.3f})", **series(place))
        squared(axes, "ROC, one class against the rest", "1 − specificity", "sensitivity")
        axes.legend(loc="lower right", title="class (area)")

    told = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    return chart(
        draw,
        f"ROC curves, one class against the rest. Areas: {told}.",
        "Area under the curve in brackets; the dotted line is chance.",
    )


def precision_recall_chart(labels: Array, probabilities: Array, classes: Sequence[str]) -> Chart | None:
    """Return one precision–recall curve per class against the rest."""
    found: dict[str, tuple[Array, Array]] = {}
    for place, name in enumerate(classes):
        if (labels == place).any():
            precision, recall, _ = precision_recall_curve(labels == place, probabilities[:, place])
            found[name] = (recall, precision)
    if not found:
        return None
    areas = {name: float(-np.sum(np.diff(recall) * precision[:-1])) for name, (recall, precision) in found.items()}

    def draw(axes: Axes) -> None:
        for place, (name, (recall, precision)) in enumerate(found.items()):
            axes.plot(*thinned(recall, precision), label=f"{name} ({areas[name]:.3f})", **series(place))
        squared(axes, "Precision and recall, one class against the rest", "recall (sensitivity)", "precision (PPV)")
        axes.legend(loc="lower left", title="class (average precision)")

    told = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    return chart(
        draw,
        f"Precision–recall curves, one class against the rest. Average precision: {told}.",
        "Average precision in brackets. Chance is each class's share of the images.",
    )


def reliability_chart(labels: Array, probabilities: Array, bins: int = 10) -> Chart:
    """Return how often predictions of each confidence are right, with the number of images per bin."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = counts > 0
    mean = np.bincount(place, confidence, minlength=bins)[filled] / counts[filled]
    share = np.bincount(place, right, minlength=bins)[filled] / counts[filled]

    def draw(axes: Axes) -> None:
        axes.bar(
            (np.arange(bins) + 0.5) / bins, counts / counts.max() * 0.25, width=0.9 / bins, color=MUTED, alpha=0.35
        )
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        axes.plot(mean, share, marker="o", markersize=4.5, color=SERIES[0])
        squared(axes, "Reliability", "confidence of the prediction", "share that is right")

    told = ", ".join(f"{said:.2f} said {true:.2f} right" for said, true in zip(mean, share, strict=True))
    return chart(
        draw,
        f"Reliability diagram. Confidence against share right by bin: {told}.",
        "On the dotted line confidence is honest; below it the network is overconfident. Bars: images per bin.",
    )


def risk_coverage_chart(labels: Array, probabilities: Array) -> Chart:
    """Return the error among the most confident predictions as ever more images are answered."""
    order = np.argsort(-probabilities.max(1), kind="stable")
    wrong = (probabilities.argmax(1) != labels)[order]
    answered = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(wrong) / answered

    def draw(axes: Axes) -> None:
        axes.plot(*thinned(answered / len(wrong), risk), color=SERIES[0])
        axes.set(
            title="Selective prediction", xlabel="share of images answered", ylabel="error among them", xlim=(0, 1)
        )
        axes.set_ylim(0, max(0.05, float(risk.max()) * 1.08))

    half = float(risk[len(risk) // 2])
    return chart(
        draw,
        f"Error among answered images: {half:.3f} when the more confident half is answered, {risk[-1]:.3f} for all.",
        "What is gained by leaving the least confident images to a person.",
    )


def squared(axes: Axes, title: str, x: str, y: str) -> None:
    """Set titles and the unit square."""
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
