"""The verb `danil table`."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def table(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder of records.")],
    metric: Annotated[str, typer.Option(help="macro_f1, accuracy, balanced_accuracy, mcc, …")] = "macro_f1",
    form: Annotated[
        Literal["markdown", "latex", "csv"], typer.Option("--format", help="How the tables are written.")
    ] = "markdown",
    html: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write one page to look at.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that danil did not write.")] = False,
) -> None:
    """Print the paper's tables from records alone: paper / ours with intervals, and the differences to Base.

    Example: danil table results --metric accuracy
    """
    from danil.benchmark import grids, read_records, rendered
    from danil.benchmark.tables import tables_of
    from danil.data.outputs import Output, check_outputs

    if html is not None:
        check_outputs([Output("--html", html, "tables page")], [results], overwrite=overwrite)
    found = grids(read_records(results), metric)
    typer.echo(rendered(found, form), nl=False)
    if html is not None:
        from danil.report import write_tables_report

        tables = [vars(one) for grid in found for one in tables_of(grid)]
        typer.echo(f"page: {write_tables_report(tables, html)}", err=True)
