"""The figures of docs/replication.md: differences to Base, and the ratio of gradients by epoch."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from danil.benchmark.grid import Grid
from danil.benchmark.records import Record
from danil.benchmark.tables import differences
from danil.data import write_atomically
from danil.report.charts import PLAIN
from danil.report.difference_chart import CAPTION, chart_size, differences_drawn
from danil.report.drawing import SERIES, drawn, series

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
MARKERS = "osD^"

Names = tuple[str, str, str, str]


def measured(records: Sequence[Record]) -> dict[Names, list[dict[str, Any]]]:
    """Return suite, data set, backbone and method → the logs that hold the gradient ratio."""
    logs: dict[Names, list[dict[str, Any]]] = {}
    for record in records:
        if any(value is not None for value in record.log.get("gradient_ratio", [])):
            names = (record.suite, record.dataset[0], record.backbone[1], record.method[1])
            logs.setdefault(names, []).append(record.log)
    return logs


def gradients(records: Sequence[Record]) -> str:
    """Draw the gradient ratio by epoch, a picture for each suite and backbone, and return them as Markdown."""
    places: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for (suite, dataset, backbone, method), each in measured(records).items():
        places.setdefault((suite, backbone), {})[f"{method}, {dataset}"] = each
    lines: list[str] = []
    for (suite, backbone), logs in places.items():
        name = f"replication-gradients-{suite}-{re.sub('[^0-9a-z]+', '_', backbone.lower())}.svg"
        write_atomically(FIGURES / name, drawn(ratio_drawn(logs), (8.6, 3.4)))
        title = f"Ratio of the gradients of DANIL's term and of the loss, by epoch: {suite}, {backbone}"
        lines.append(f"**{suite}, {backbone}**\n\n![{title}](figures/{name})")
    return "\n\n".join(lines)


def ratio_drawn(logs: Mapping[str, Sequence[dict[str, Any]]]) -> Callable[[Axes], None]:
    """Return what draws the mean over seeds of the gradient ratio, a line for each name."""

    def draw(axes: Axes) -> None:
        for place, (name, each) in enumerate(logs.items()):
            ratio = np.nanmean(np.array([log["gradient_ratio"] for log in each], dtype=float), axis=0)
            marker = MARKERS[place // len(SERIES) % len(MARKERS)]
            axes.plot(each[0]["epoch"], ratio, marker=marker, markersize=4, label=name, **series(place))
        axes.set(xlabel="epoch", ylabel="‖∇λL_d‖ / ‖∇L⁺‖", yscale="log")
        low, high = np.log10(axes.get_ylim())
        axes.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high))  # whole decades: only they have a label
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PLAIN)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return draw


def figures(found: Sequence[Grid]) -> str:
    """Draw every suite's differences to Base and return the pictures as Markdown."""
    lines: list[str] = []
    for grid in found:
        if grid.compared():
            table = vars(differences(grid))
            name = f"replication-{grid.suite}-{grid.metric}.svg"
            write_atomically(FIGURES / name, drawn(differences_drawn(table), chart_size(table)))
            lines.append(f"![{table['name']}, {grid.title}](figures/{name})")
    return "\n\n".join([*lines, CAPTION] if lines else lines)
