"""The log of a run: a row per epoch in `log.csv`, and TensorBoard events where it is installed."""

import csv
import io
import math
import warnings
from collections.abc import Iterable, Mapping
from importlib import import_module, util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from danil.data.atomic import write_atomically

Row = dict[str, float | int]


class Tally:
    """Add up what the steps of one epoch report; nothing is read from the device before `means`."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Tensor], weight: int) -> None:
        """Count each scalar `weight` times; one that is NaN (not measured at this step) does not count."""
        for name, value in values.items():
            value = value.detach().double()
            known = torch.isfinite(value)
            self.sums[name] = self.sums.get(name, 0) + torch.where(known, value * weight, 0.0)
            self.weights[name] = self.weights.get(name, 0) + known * float(weight)

    def means(self) -> Row:
        """Return the weighted mean of each name; NaN where nothing counted."""
        return {name: float(total / self.weights[name]) for name, total in self.sums.items()}

    @classmethod
    def joined(cls, states: Iterable[Mapping[str, Any]]) -> "Tally":
        """Return one that counts what each of these `state`s counts, a name that is not in all of them too."""
        whole = cls()
        for state in states:
            for name, total in state["sums"].items():
                whole.sums[name] = whole.sums.get(name, 0) + total
                whole.weights[name] = whole.weights.get(name, 0) + state["weights"][name]
        return whole

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint in mid-epoch needs, off the device: another process may ask for it."""
        return {
            "sums": {name: total.cpu() for name, total in self.sums.items()},
            "weights": {name: weight.cpu() for name, weight in self.weights.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.sums, self.weights = dict(state["sums"]), dict(state["weights"])


class Log:
    """Keep the rows of a run and write them whole, atomically, so that a reader never sees half a line."""

    def __init__(self, path: Path, rows: list[Row]) -> None:
        self.path = path
        self.rows = rows
        self.events: Any = None

    def add(self, row: Row) -> None:
        """Append one epoch; one that cannot be written is not counted as logged."""
        write_atomically(self.path, table([*self.rows, row]))
        self.rows.append(row)
        try:
            self.add_events(row)
        except OSError as error:
            warnings.warn(f"TensorBoard's events could not be written ({error}); `{self.path}` was.", stacklevel=2)

    def add_events(self, row: Row) -> None:
        """Write the epoch for TensorBoard where it is installed."""
        if self.events is None and util.find_spec("tensorboard") is not None:
            writer = import_module("torch.utils.tensorboard").SummaryWriter
            self.events = writer(str(self.path.parent / "tensorboard"), purge_step=len(self.rows))
        if self.events is not None:
            for name, value in row.items():
                self.events.add_scalar(name, value, row["epoch"])
            self.events.flush()


def table(rows: list[Row]) -> str:
    """Return the rows as CSV; columns in order of appearance, empty where a row lacks one or is NaN."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([cell(row.get(name, math.nan)) for name in names])
    return stream.getvalue()


def cell(value: float | int) -> str:
    """Return a number with nine digits, nothing for NaN."""
    return "" if math.isnan(value) else str(value) if isinstance(value, int) else f"{value:.9g}"
