"""The verb `danil evaluate`."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `danil train`.")],
    data: Annotated[str | None, typer.Option(metavar="DATA", help="Another cohort, as READER:PATH.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW", help="Read the cohort's class OLD as the run's NEW; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where a cohort's results go.")] = None,
) -> None:
    """Evaluate a run on its test part, or on another cohort (other class names, missing classes, no labels).

    Example: danil evaluate runs/ham-danil
    Example: danil evaluate runs/ham-danil --data clinic.csv --map melanoma=mel --map naevus=nv --out clinic-results
    """
    from danil.evaluation import evaluate_cohort, evaluate_run, summary

    if data is None:
        if mapping:
            raise typer.BadParameter("`--map` goes with `--data`.")
        typer.echo(summary(evaluate_run(run)))
        return
    metrics, folder = evaluate_cohort(run, data, mapping or [], out)
    typer.echo(summary(metrics) if metrics else "the cohort has no labels: predictions only")
    typer.echo(f"results: {folder}")
