"""The figures of docs/replication.md: differences to Base, and the ratio of gradients by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from danil.benchmark.grid import Grid
from danil.benchmark.records import Record
from danil.benchmark.tables import differences
from danil.data import write_atomically
from danil.report.charts import PLAIN
from danil.report.difference_chart import CAPTION, chart_size, differences_drawn
from danil.report.drawing import drawn, series

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


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
    """Draw the gradient ratio by epoch and return the picture as Markdown; nothing where no record holds it."""
    logs = measured(records)
    several = len({(suite, backbone) for suite, _, backbone, _ in logs}) > 1

    def draw(axes: Axes) -> None:
        for place, ((suite, dataset, backbone, method), each) in enumerate(logs.items()):
            name = f"{method}, {dataset}" + (f" ({suite}, {backbone})" if several else "")
            ratio = np.array([log["gradient_ratio"] for log in each], dtype=float)
            axes.plot(
                each[0]["epoch"], np.nanmean(ratio, axis=0), marker="o", markersize=3.5, label=name, **series(place)
            )
        axes.set(xlabel="epoch", ylabel="‖∇λL_d‖ / ‖∇L⁺‖", yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PLAIN)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    if not logs:
        return ""
    write_atomically(FIGURES / "replication-gradients.svg", drawn(draw, (8.6, 3.4)))
    return "![Ratio of the gradients of DANIL's term and of the loss, by epoch](figures/replication-gradients.svg)"


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
