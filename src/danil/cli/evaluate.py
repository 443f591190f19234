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
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Measure it under blur, noise, JPEG and PGD instead.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Test images that --robustness takes, all by default.")
    ] = None,
) -> None:
    """Evaluate a run on its test part, or on another cohort (other class names, missing classes, no labels).

    With --robustness the test images are corrupted at stated strengths; RUN/robustness.json holds accuracy and macro-F1
    with intervals, RUN/robustness/ the predictions, which `danil compare` pairs.

    Example: danil evaluate runs/ham-danil
    Example: danil evaluate runs/ham-danil --data clinic.csv --map melanoma=mel --map naevus=nv --out clinic-results
    Example: danil evaluate runs/ham-danil --robustness --limit 500
    """
    from danil.evaluation import evaluate_cohort, evaluate_run, robustness_run, robustness_summary, summary

    if robustness:
        if data is not None or mapping or out is not None:
            raise typer.BadParameter("`--robustness` is about the run's own test part: no `--data`, `--map`, `--out`.")
        typer.echo(robustness_summary(robustness_run(run, limit=limit, notice=lambda text: typer.echo(text, err=True))))
        return
    if limit is not None:
        raise typer.BadParameter("`--limit` goes with `--robustness`.")
    if data is None:
        if mapping:
            raise typer.BadParameter("`--map` goes with `--data`.")
        typer.echo(summary(evaluate_run(run)))
        return
    metrics, folder = evaluate_cohort(run, data, mapping or [], out)
    typer.echo(summary(metrics) if metrics else "the cohort has no labels: predictions only")
    typer.echo(f"results: {folder}")
