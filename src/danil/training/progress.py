"""Progress on the terminal: epochs, loss parts, time left."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bar:
    """Show one bar over all steps of a run; on a pipe or in a log file, one line per epoch instead."""

    def __init__(self, progress: Progress | None, console: Console, total: int) -> None:
        self.progress = progress
        self.console = console
        self.task = None if progress is None else progress.add_task("training", total=total, text="")

    def advance(self, text: str, done: int) -> None:
        """Say how many steps are done."""
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, completed=done, text=text)

    def epoch(self, values: Mapping[str, float | int]) -> None:
        """Print the line of a finished epoch."""
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.console.print(shown, highlight=False, soft_wrap=True)


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
