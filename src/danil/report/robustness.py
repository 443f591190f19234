"""Robustness on a page: metrics under blur, noise, JPEG and PGD, and methods paired under each."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from danil.report.card import TextTable
from danil.report.drawing import MUTED, SERIES, Chart, chart
from danil.report.measures import spanned
from danil.report.page import interval, number, signed
from danil.report.sections import Section

TITLES = {"accuracy": "Accuracy", "macro_f1": "Macro-F1"}


def robustness_section(document: Mapping[str, Any] | None) -> Section | None:
    """Return what `robustness.json` says of one run; `None` where there is none."""
    if document is None:
        return None
    head = ["condition", "unit", *(f"{title}{what}" for title in TITLES.values() for what in ("", ", change"))]
    rows = [
        [
            row["name"],
            row["unit"] or "as they are",
            *(cell for key in TITLES for cell in (spanned(row["metrics"][key]), changed(row["change"][key]))),
        ]
        for row in document["conditions"]
    ]
    return Section([explained(document)], [TextTable("Metrics under each condition", head, rows)], [drops(document)])


def compared_section(document: Mapping[str, Any] | None) -> Section | None:
    """Return the methods paired under each condition; `None` where not every run was measured."""
    if document is None:
        return None
    head = ["condition", "pair", *(f"difference in {title.lower()}" for title in TITLES.values())]
    rows = [
        [
            row["name"],
            f"{pair['first']} less {pair['second']}",
            *(changed(pair["differences"][key]) for key in TITLES),
        ]
        for row in document["conditions"]
        for pair in row["pairs"]
    ]
    text = f"{explained(document)} Differences are paired by image; intervals are not corrected for their number."
    return Section([text], [TextTable("Paired differences under each condition", head, rows)])


def explained(document: Mapping[str, Any]) -> str:
    """Return how the conditions were made."""
    attack = document["settings"]["attack"]
    return (
        f"{document['images']:,} test images, corrupted at the {document['size']} pixels that the network sees. "
        "Strengths stand in the names: blur is Gaussian with σ in pixels, noise Gaussian with σ in grey levels of 255, "
        "jpeg a quality of 100, pgd the radius, in grey levels of 255, of the ball (L∞) in which projected gradient "
        f"descent looks for the worst image: {attack['steps']} steps of {attack['step']:g} of the radius from a random "
        "start. "
        "A stronger search can find worse."
    )


def changed(entry: Mapping[str, float | None]) -> str:
    """Return a change with its interval."""
    return f"{signed(entry['value'])} {interval(entry['low'], entry['high'], sign=True)}"


def drops(document: Mapping[str, Any]) -> Chart:
    """Return both metrics by condition, with intervals."""
    conditions = document["conditions"]

    def draw(axes: Axes) -> None:
        for place, (key, title) in enumerate(TITLES.items()):
            found = [
                (row, e) for row, each in enumerate(conditions) if (e := each["metrics"][key])["value"] is not None
            ]
            where = [row + (place - 0.5) * 0.22 for row, _ in found]
            values = [entry["value"] for _, entry in found]
            spread = [[reach(e, "low", -1) for _, e in found], [reach(e, "high", 1) for _, e in found]]
            mark = "os"[place]
            axes.errorbar(where, values, yerr=spread, fmt=mark, ms=4, lw=1.4, color=SERIES[place], label=title)
        axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(conditions)), [row["name"] for row in conditions], rotation=45, ha="right")
        axes.set(title="Robustness", ylim=(0, 1))
        axes.legend()

    told = ", ".join(f"{row['name']} {number(row['metrics']['accuracy']['value'])}" for row in conditions)
    return chart(draw, f"Accuracy by condition: {told}.", "Bars are 95 % intervals over groups.", (6.4, 3.6))


def reach(entry: Mapping[str, float | None], end: str, sign: int) -> float:
    """Return how far a metric's interval reaches from its value; 0 without one, or where it ends before the value.

    A percentile interval can exclude the value: macro-F1 of many classes with few images each falls in most resamples.
    """
    value, edge = entry["value"], entry[end]
    return 0.0 if value is None or edge is None else max(0.0, sign * (edge - value))
