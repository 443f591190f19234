"""The verb `danil evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

Shares = list[float] | None


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a table of predictions alone.")],
    data: Annotated[str | None, typer.Option(metavar="DATA", help="Another cohort, as READER:PATH.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW", help="Read the cohort's class OLD as the run's NEW; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where a cohort's or table's results go.")] = None,
    validation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A table's validation predictions, to choose thresholds on.")
    ] = None,
    sensitivity: Annotated[
        Shares, typer.Option(help="Choose thresholds that reach it; default 0.9; repeatable.")
    ] = None,
    specificity: Annotated[
        Shares, typer.Option(help="Choose thresholds that reach it; default 0.9; repeatable.")
    ] = None,
    risk: Annotated[
        Shares,
        typer.Option(
            help="Choose the confidence from which on errors stay below; default 0.01, 0.05, 0.1; repeatable."
        ),
    ] = None,
    prevalence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=SHARE", help="Predictive values at this prevalence; default: as the labels; repeatable."
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Subgroups of this metadata column; default: every suitable one; repeatable."
        ),
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Draws of groups behind each interval.")] = 2000,
) -> None:
    """Evaluate a run on its test part, or on another cohort (other class names, missing classes, no labels).

    Temperature and thresholds are chosen on the run's validation part, never on the test part.

    Example: danil evaluate runs/ham-danil
    Example: danil evaluate runs/ham-danil --sensitivity 0.95 --prevalence mel=0.02 --risk 0.05 --by age --by sex
    Example: danil evaluate runs/ham-danil --data clinic.csv --map melanoma=mel --map naevus=nv --out clinic-results
    Example: danil evaluate predictions.csv --validation validation.csv --out results
    """
    from danil.evaluation import chosen, evaluate_cohort, evaluate_run, evaluate_table, summary

    if data is None and mapping:
        raise typer.BadParameter("`--map` goes with `--data`.")
    wanted, choices = chosen(sensitivity, specificity, risk, prevalence, by, resamples)
    if run.is_file():
        metrics = evaluate_table(run, validation, out, wanted=wanted, **choices)
    elif data is None:
        metrics, out = evaluate_run(run, wanted=wanted, **choices), None
    else:
        metrics, out = evaluate_cohort(run, data, mapping or [], out, wanted=wanted, **choices)
    asked = bool(sensitivity or specificity or prevalence), bool(risk), bool(by)
    typer.echo(summary(metrics, *asked) if metrics else "the cohort has no labels: predictions only")
    if out is not None:
        typer.echo(f"results: {out}")
