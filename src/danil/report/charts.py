"""The charts of a run: training curves, reliability, risk–coverage, decision curves."""

from collections.abc import Mapping, Sequence
from textwrap import shorten

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from danil.report.drawing import MUTED, SERIES, Chart, chart, series, squared, thinned
from danil.statistics.calibration import reliability
from danil.statistics.predictions import Predictions
from danil.statistics.selective import risk_coverage

NO_LOSS = {"epoch", "step", "lr", "seconds", "statistics_seconds", "share_wrong", "gradient_ratio", "distractor_weight"}
COMPARED = {
    "cross_entropy": ("Cross-entropy", "Mean loss of each epoch, without other terms; one run of each method."),
    "validation_macro_f1": ("Validation macro-F1", "After each epoch; one run of each method."),
    "share_wrong": ("Wrong images", "Share of training images got wrong; one run of each method."),
}
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
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if log and (table[list(names)].max() > 0).any():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(PLAIN)
            axes.yaxis.set_minor_formatter(PLAIN if spread(table[list(names)]) < 10 else NullFormatter())
        else:
            axes.set_ylim(0, top)
        axes.legend()

    told = "; ".join(f"{readable(name)} from {ends(table[name])}" for name in names)
    return chart(draw, f"{title} over {len(table)} epochs: {told}.", caption)


def compared_curves(logs: Mapping[str, pd.DataFrame], column: str, title: str, caption: str) -> Chart | None:
    """Return one column over the epochs with a line for each run; `None` where no run has it."""
    known = {name: log for name, log in logs.items() if column in log and log[column].notna().any()}
    if not known:
        return None

    def draw(axes: Axes) -> None:
        for place, (name, log) in enumerate(known.items()):
            axes.plot(log["epoch"], log[column], marker="o", markersize=3.5, label=name, **series(place))
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_ylim(0)
        axes.legend()

    told = "; ".join(f"{name} from {ends(log[column])}" for name, log in known.items())
    return chart(draw, f"{title} by epoch: {told}.", caption)


def compared_training(logs: Mapping[str, pd.DataFrame | None]) -> list[Chart]:
    """Return the curves that methods are compared by, with a line for each."""
    known = {name: log for name, log in logs.items() if log is not None}
    drawn = [compared_curves(known, column, title, caption) for column, (title, caption) in COMPARED.items()]
    return [item for item in drawn if item is not None]


PLAIN = FuncFormatter(lambda value, place: f"{value:g}")


def ends(values: pd.Series) -> str:
    """Return the first and the last known value."""
    known = values.dropna()
    return f"{known.iloc[0]:.3g} to {known.iloc[-1]:.3g}"


def spread(table: pd.DataFrame) -> float:
    """Return the largest positive value over the smallest."""
    positive = table.to_numpy(np.float64)
    positive = positive[positive > 0]
    return float(positive.max() / positive.min())


def readable(name: str) -> str:
    """Return a column's name in words."""
    words = name.removeprefix("validation_").replace("_", " ")
    return words.replace("macro f1", "macro-F1")


def reliability_chart(predictions: Predictions, calibrated: Predictions | None = None) -> Chart:
    """Return how often predictions of each confidence are right, as given and with the temperature; images per bin."""
    tables = {"as trained": predictions} | ({} if calibrated is None else {"with temperature": calibrated})
    found = {name: reliability(table) for name, table in tables.items()}
    most = max(item.images for item in found["as trained"])

    def draw(axes: Axes) -> None:
        for item in found["as trained"]:
            width, height = item.high - item.low, 0.25 * item.images / most
            axes.bar((item.low + item.high) / 2, height, width=0.9 * width, color=MUTED, alpha=0.35)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        for place, (name, bins) in enumerate(found.items()):
            points = [item.confidence for item in bins], [item.accuracy for item in bins]
            axes.plot(*points, marker="os"[place], markersize=4.5, label=name, **series(place))
        squared(axes, "Reliability", "confidence of the prediction", "share that is right")
        if calibrated is not None:
            axes.legend(loc="upper left")

    told = "; ".join(
        f"{name}: " + ", ".join(f"{item.confidence:.2f} said, {item.accuracy:.2f} right" for item in bins)
        for name, bins in found.items()
    )
    caption = (
        "On the dotted line confidence is honest; below it the network is overconfident. Bars: images per bin"
        f"{'' if calibrated is None else ' as trained'}."
    )
    return chart(draw, f"Reliability diagram. Confidence and share right by bin; {told}.", caption)


def risk_coverage_chart(predictions: Predictions) -> Chart:
    """Return the error among the most confident predictions as ever more images are answered."""
    curve = risk_coverage(predictions)

    def draw(axes: Axes) -> None:
        axes.plot(*thinned(curve.coverage, curve.risk), color=SERIES[0])
        axes.set(
            title="Selective prediction", xlabel="share of images answered", ylabel="error among them", xlim=(0, 1)
        )
        axes.set_ylim(0, max(0.05, float(curve.risk.max()) * 1.08))

    half = float(curve.risk[np.searchsorted(curve.coverage, 0.5)])
    alt = f"Error among answered images: {half:.3f} on the more confident half, {curve.risk[-1]:.3f} on all."
    return chart(draw, alt, "What is gained by leaving the least confident images to a person.")


def decision_chart(name: str, curve: Mapping[str, Sequence[float]]) -> Chart:
    """Return the net benefit of acting on the network's probability for a class, on everyone, and on no one."""
    thresholds, model, everyone = (np.asarray(curve[key]) for key in ("thresholds", "model", "everyone"))

    def draw(axes: Axes) -> None:
        axes.axhline(0, color=MUTED, linewidth=1, linestyle=":", label="no one")
        axes.plot(thresholds, everyone, label="everyone", **series(1))
        axes.plot(thresholds, model, label="network", **series(0))
        top = max(float(model.max()), float(everyone.max()), 0.01)
        axes.set(title=f"Decision curve: {shorten(name, 30)}", xlabel="probability from which on to act", xlim=(0, 1))
        axes.set(ylabel="net benefit", ylim=(-0.25 * top, 1.1 * top))
        axes.legend()

    ahead = thresholds[model > np.maximum(everyone, 0)]
    told = f"best at {len(ahead)} of {len(thresholds)} thresholds" if len(ahead) else "nowhere best"
    told += f", all of them between {ahead.min():.2f} and {ahead.max():.2f}" if len(ahead) else ""
    at = f" at a prevalence of {curve['prevalence']:.1%}" if "prevalence" in curve else ""
    caption = f"Net benefit of acting on the probability of {name}{at}; needs probabilities that are calibrated there."
    return chart(draw, f"Decision curve of {name}: acting on the network is {told}.", caption)
