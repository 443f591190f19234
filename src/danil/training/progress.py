"""Progress on the terminal: epochs, loss parts, time left."""

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from danil.data.files import Progress as Decoding

PAUSE = 0.5
"""Seconds between two readings of the losses: reading them waits for the device."""


class Bar:
    """Show one bar over all steps of a run; on a pipe or in a log file, one line per epoch instead."""

    def __init__(self, progress: Progress | None, console: Console, total: int) -> None:
        self.progress, self.console, self.total = progress, console, total
        self.task = None if progress is None else progress.add_task("training", total=total, text="")
        self.began, self.first, self.done, self.read = 0.0, 0, 0, 0.0

    def advance(self, text: str, done: int, means: Callable[[], Mapping[str, float | int]]) -> None:
        """Say how many steps are done, and the means of losses and shares so far (asked for only when shown)."""
        now = time.perf_counter()
        if not self.began:
            self.began, self.first = now, done
        self.done = done
        if self.progress is None or self.task is None:
            return
        if now - self.read >= PAUSE:
            self.read = now
            shown = {name: value for name, value in means().items() if not name.startswith("distance_")}
            self.progress.update(self.task, text=f"{text}  {listed(shown)}")
        self.progress.update(self.task, completed=done)

    def epoch(self, values: Mapping[str, float | int]) -> None:
        """Print the line of a finished epoch, with the time left on a pipe, where there is no bar."""
        spent = time.perf_counter() - self.began
        known = self.progress is None and self.first < self.done < self.total
        left = duration(spent / (self.done - self.first) * (self.total - self.done)) if known else ""
        self.say(listed(values) + (f"  left {left}" if left else ""))

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, highlight=False, soft_wrap=True)


def listed(values: Mapping[str, float | int]) -> str:
    """Return names and values as one line, without what was not measured (NaN)."""
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items() if not math.isnan(value))


def duration(seconds: float) -> str:
    """Return a time span as a person would say it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress_bar(total: int, quiet: bool = False) -> Generator[Bar]:
    """Yield the bar; it is drawn only on a terminal and only where `quiet` is off."""
    console = Console(stderr=True, quiet=quiet)
    if quiet or not console.is_terminal:
        yield Bar(None, console, total)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, console, total)


@contextmanager
def decoding_bar(quiet: bool = False) -> Generator[Decoding | None]:
    """Yield what draws how many images of a part are decoded; `None` off a terminal."""
    console = Console(stderr=True, quiet=quiet)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("decoding", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
