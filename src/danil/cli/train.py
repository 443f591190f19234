"""The verb `danil train`."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[str, typer.Argument(metavar="DATA", help="READER:PATH, or a path whose reader is recognised.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder to make.")],
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="standard, paper, quick, or a file.")] = "standard",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key (docs/recipe.md): train.epochs=8."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training (the split has its own, split.seed).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
) -> None:
    """Train a classifier, predict the test part and evaluate it.

    Example: danil train ham10000:HAM10000 --recipe paper --set objective.name=danil --seed 0 --out runs/ham-danil
    """
    import logging

    from danil.evaluation import evaluated_outcome
    from danil.runs import read_recipe
    from danil.training import train_run

    if resume and overwrite:
        raise typer.BadParameter("`--resume` and `--overwrite` exclude each other.")
    if quiet:
        logging.getLogger("danil").setLevel(logging.WARNING)
    chosen = read_recipe(recipe, settings or [], seed, data)
    if resume and not quiet and not (out / "recipe.toml").is_file():
        typer.echo(f"danil: there is no run in `{out}` to resume: the training starts anew.", err=True)
    folder = train_run(chosen, out, resume=resume, overwrite=overwrite, skip_bad=skip_bad, quiet=quiet)
    if folder is None:
        return
    text = evaluated_outcome(folder.path)
    if not quiet:
        typer.echo(text)
        typer.echo(f"run: {folder.path}")
