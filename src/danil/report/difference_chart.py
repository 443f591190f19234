"""Differences of methods to a reference, drawn: a point and an interval for each, by data set."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes

from danil.report.drawing import CARD, MUTED, SERIES, Chart, chart
from danil.statistics.two_level import Difference

WIDTH, LINE, FRAME = 7.0, 0.27, 1.15
"""Inches: a chart's width, a row's height, and what axis and legend take."""
CAPTION = "Bars are 95 % intervals. A filled point is a difference shown after Holm's correction, a hollow one is not."
SHOWN = {"better", "worse"}


def difference_chart(table: Mapping[str, Any]) -> Chart | None:
    """Return the chart of a table of differences (`danil.benchmark.tables.Table`), `None` for another table."""
    if not table["differences"]:
        return None
    told = "; ".join(
        f"{', '.join(row[: table['names']])}: {row[table['names'] + 1]}, {row[-1]}" for row in table["rows"]
    )
    return chart(differences_drawn(table), f"{table['name']}. {told}.", CAPTION, chart_size(table))


def chart_size(table: Mapping[str, Any]) -> tuple[float, float]:
    """Return width and height in inches."""
    return WIDTH, FRAME + LINE * (len(table["rows"]) + len({heading(row) for row in table["rows"]}))


def differences_drawn(table: Mapping[str, Any]) -> Callable[[Axes], None]:
    """Return what draws the differences: a heading for each data set and backbone, below it a row for each method."""
    rows = list(zip(table["rows"], table["differences"], strict=True))

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=MUTED, linewidth=1)
        ticks: dict[int, str] = {}
        place = -1
        for title, members in groupby(rows, key=lambda one: heading(one[0])):
            place += 1
            axes.text(0.01, place, title, fontweight="bold", va="center", transform=axes.get_yaxis_transform())
            for row, (found, claim) in members:
                place += 1
                ticks[place] = row[table["names"] - 1]
                mark(axes, place, found, claim, shown=row[-1] in SHOWN)
        axes.set(xlabel=table["name"], ylim=(place + 0.6, -0.6))
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.plot([], [], "o", color=SERIES[0], label="ours")
        if any(claim is not None for _, (_, claim) in rows):
            axes.plot([], [], "x", color=SERIES[1], markeredgewidth=2, label="the paper's")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)

    return draw


def heading(row: Sequence[str]) -> str:
    """Return data set and backbone of a row."""
    return ", ".join(row[:2])


def mark(axes: Axes, place: int, found: Difference, claim: float | None, *, shown: bool) -> None:
    """Draw one difference, its interval and the paper's difference."""
    if not math.isnan(found.low):
        axes.plot([found.low, found.high], [place, place], color=SERIES[0], linewidth=2.2)
    axes.plot(found.value, place, "o", color=SERIES[0], markerfacecolor=SERIES[0] if shown else CARD, markersize=6)
    if claim is not None:
        axes.plot(claim, place, "x", color=SERIES[1], markersize=7, markeredgewidth=2)
