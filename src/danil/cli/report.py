"""The verb `danil report`."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `danil train`.")],
    data: Annotated[str | None, typer.Option(metavar="DATA", help="The run's data, where they have moved to.")] = None,
) -> None:
    """Write RUN/report.html: one page that needs no network, from metrics with intervals to response maps and limits.

    Example: danil report runs/ham-danil
    """
    from danil.report import write_run_report

    typer.echo(f"report: {write_run_report(run, data=data)}")
