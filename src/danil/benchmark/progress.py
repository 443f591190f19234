"""What a suite says on the terminal."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from danil.benchmark.cell import Cell
from danil.benchmark.cost import estimated_hours
from danil.benchmark.execution import Outcome, is_finished
from danil.benchmark.records import records_below


def cell_list(cells: Sequence[Cell], results: Path, any_code: bool = False) -> str:
    """Return a line per cell: whether it is finished, else its estimated processor hours; and the sum."""
    records = records_below(results)
    lines: list[str] = []
    total, unknown = 0.0, 0
    for cell in cells:
        if is_finished(cell, results, any_code):
            lines.append(f"{cell.name}: finished")
            continue
        hours, source = estimated_hours(cell, records)
        total, unknown = total + (hours or 0), unknown + (hours is None)
        lines.append(f"{cell.name}: " + (f"{hours:.2f} processor hours ({source})" if hours is not None else source))
    open_cells = sum(not line.endswith(": finished") for line in lines)
    known = f", about {total:.1f} processor hours" if unknown < open_cells else ""
    note = f"; {unknown} cell(s) without an estimate" if unknown else ""
    return "\n".join([*lines, f"{open_cells} of {len(cells)} cells to train{known}{note}"])


@contextmanager
def outcome_printer(cells: Sequence[Cell]) -> Generator[Callable[[Outcome], None]]:
    """Yield what prints each outcome, above a bar with the time left where a terminal is there."""
    console = Console(stderr=True)
    columns = (
        TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("cells", total=len(cells))

        def notice(outcome: Outcome) -> None:
            if outcome.status == "skipped":
                progress.update(task, total=(progress.tasks[0].total or 1) - 1)
                return
            progress.advance(task)
            console.print(f"{outcome.cell.name}: {outcome.status}", highlight=False, markup=False)

        yield notice


def closing(outcomes: Sequence[Outcome]) -> tuple[str, int]:
    """Return the last words and the exit code: 0 all finished, 1 some failed, 130 interrupted."""
    counts = {status: [one for one in outcomes if one.status == status] for status in STATUSES}
    lines = [f"{one.cell.name} failed: {one.reason}" for one in counts["failed"]]
    lines.append(", ".join(f"{len(found)} {status}" for status, found in counts.items() if found))
    if counts["interrupted"]:
        lines.append("The same command goes on where this one stopped.")
        return "\n".join(lines), 130
    if counts["failed"]:
        lines.append("Mend the cause; the same command then runs the failed cells again.")
    return "\n".join(lines), 1 if counts["failed"] else 0


STATUSES = ("finished", "skipped", "interrupted", "failed")
