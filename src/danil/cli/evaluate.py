"""The verb `danil evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from danil.cli.outputs import writable_folder

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a table of predictions alone.")]
Data = Annotated[str | None, typer.Option(metavar="DATA", help="Another cohort, as READER:PATH.")]
Mapping = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="[TASK:]OLD=NEW",
        help="Read the cohort's class OLD as the run's NEW, of the main task or of TASK; repeatable.",
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where a cohort's or table's results go.", callback=writable_folder)
]
Validation = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A table's validation predictions, to choose thresholds on.")
]
Rate = Annotated[
    list[float] | None, typer.Option(help="Choose thresholds that reach it; default 0.9; repeatable.", metavar="SHARE")
]
Risk = Annotated[
    list[float] | None,
    typer.Option(
        metavar="SHARE", help="Choose confidences whose errors stay below; default 0.01 0.05 0.1; repeatable."
    ),
]
Prevalence = Annotated[
    list[str] | None,
    typer.Option(metavar="CLASS=SHARE", help="Predictive values at it; default: as the labels; repeatable."),
]
By = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Subgroups of this metadata column; default: every suitable one; repeatable."),
]
RESAMPLES = 2000
Resamples = Annotated[int, typer.Option(min=100, help="Draws of groups behind each interval.")]
Robustness = Annotated[bool, typer.Option("--robustness", help="Measure it under blur, noise, JPEG and PGD instead.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Test images that --robustness takes, all by default.")]


def evaluate(
    run: Run,
    data: Data = None,
    mapping: Mapping = None,
    out: Out = None,
    validation: Validation = None,
    sensitivity: Rate = None,
    specificity: Rate = None,
    risk: Risk = None,
    prevalence: Prevalence = None,
    by: By = None,
    resamples: Resamples = RESAMPLES,
    robustness: Robustness = False,
    limit: Limit = None,
) -> None:
    """Evaluate a run on its test part, or on another cohort (other class names, missing classes, no labels).

    Of a run with several tasks every task is evaluated; a cohort's label column belongs to the task of its name.

    Temperature and thresholds are chosen on the run's validation part, never on the test part.
    With --robustness the test images are corrupted at stated strengths; RUN/robustness.json holds accuracy and macro-F1
    with intervals, RUN/robustness/ the predictions, which `danil compare` pairs.

    Example: danil evaluate runs/ham-danil
    Example: danil evaluate runs/ham-danil --sensitivity 0.95 --prevalence mel=0.02 --risk 0.05 --by age --by sex
    Example: danil evaluate runs/ham-danil --data clinic.csv --map melanoma=mel --map naevus=nv --out clinic-results
    Example: danil evaluate runs/canet --data "csv:eyes.csv?label=DR,DME" --map none=0 --map DME:severe=2
    Example: danil evaluate predictions.csv --validation validation.csv --out results
    Example: danil evaluate runs/ham-danil --robustness --limit 500
    """
    from danil import evaluation

    others = {
        "--data": data, "--map": mapping, "--out": out, "--validation": validation, "--sensitivity": sensitivity,
        "--specificity": specificity, "--risk": risk, "--prevalence": prevalence, "--by": by,
        "--resamples": resamples != RESAMPLES,
    }  # fmt: skip
    given = [name for name, value in others.items() if value]
    check_choices(given, table=run.is_file(), robustness=robustness, limited=limit is not None)
    if robustness:
        found = evaluation.robustness_run(run, limit=limit, notice=lambda text: typer.echo(text, err=True))
        typer.echo(evaluation.robustness_summary(found))
        return
    wanted, choices = evaluation.chosen(sensitivity, specificity, risk, prevalence, by, resamples)
    if run.is_file():
        metrics = evaluation.evaluate_table(run, validation, out, wanted=wanted, **choices)
    elif data is None:
        metrics, out = evaluation.evaluate_run(run, wanted=wanted, **choices), None
    else:
        metrics, out = evaluation.evaluate_cohort(run, data, mapping or [], out, wanted=wanted, **choices)
    asked = bool(sensitivity or specificity or prevalence), bool(risk), bool(by)
    typer.echo(evaluation.summary(metrics, *asked) if metrics else "the cohort has no labels: predictions only")
    if out is not None:
        typer.echo(f"results: {out}")


def check_choices(given: Sequence[str], *, table: bool, robustness: bool, limited: bool) -> None:
    """Refuse options that would be passed over.

    Args:
        given: the options that are given.
        table: RUN is a table of predictions.
        robustness: `--robustness` is given.
        limited: `--limit` is given.
    """
    apart = " and ".join(f"`{name}`" for name in given)
    if robustness and given:
        raise typer.BadParameter(
            f"`--robustness` measures the run's own test part and nothing else; leave out {apart}."
        )
    if limited and not robustness:
        raise typer.BadParameter("`--limit` goes with `--robustness`.")
    rules = {
        "--data": (table, "predicts with a run; RUN is a table of predictions. Give the run folder."),
        "--map": ("--data" not in given, "goes with `--data`."),
        "--out": (
            not table and "--data" not in given,
            "goes with `--data` or a table; a run's own results go into RUN.",
        ),
        "--validation": (not table, "goes with a table of predictions; a run has its own (split.validation)."),
    }
    for name, (wrong, words) in rules.items():
        if name in given and wrong:
            raise typer.BadParameter(f"`{name}` {words}")
