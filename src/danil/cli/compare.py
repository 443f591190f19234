"""The verb `danil compare`."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders with the same test images.")],
    metric: Annotated[str, typer.Option(help="The metric that verdicts are about.")] = "macro_f1",
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write one page to look at.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write all numbers.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that danil did not write.")] = False,
) -> None:
    """Compare runs on their common test images: paired differences with intervals, and a verdict per pair of methods.

    Runs whose recipes differ in nothing but the seed are one method. Where every run has been measured by
    `danil evaluate RUN --robustness`, methods are paired under each condition too.

    Example: danil compare runs/base-0 runs/base-1 runs/danil-0 runs/danil-1 --out comparison.html
    """
    from danil.data.outputs import Output, check_outputs
    from danil.evaluation import compare_runs, robust_lines, write_comparison
    from danil.report import write_comparison_report

    written = [Output("--json", json, "comparison")] if json is not None else []
    written += [Output("--out", out, "comparison page")] if out is not None else []
    check_outputs(written, runs, overwrite=overwrite)
    comparison = compare_runs(runs, metric=metric)
    for pair in comparison["pairs"]:
        typer.echo(f"{pair['first']} against {pair['second']}: {pair['verdict']}")
    if comparison["robustness"] is not None:
        typer.echo("\n".join(robust_lines(comparison["robustness"])))
    for note in comparison["notes"]:
        typer.echo(f"note: {note}")
    if json is not None:
        typer.echo(f"numbers: {write_comparison(json, comparison)}")
    if out is not None:
        typer.echo(f"page: {write_comparison_report(comparison, out)}")
