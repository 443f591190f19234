"""The verb `danil demo`."""

from pathlib import Path
from typing import Annotated

import typer

from danil.cli.outputs import writable_folder

SOURCE = "synthetic:dermoscopy?images=900&size=96&difficulty=0.7"
METHODS = {"base": "Base", "danil": "DANIL"}


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where runs and report go.", callback=writable_folder)
    ] = Path("runs/demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a demonstration that is there.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
    ] = None,
) -> None:
    """Train Base and DANIL on synthetic dermoscopy, evaluate and explain both, and write one page to look at.

    Offline, a few minutes on two cores. Makes DIR/base, DIR/danil (run folders) and DIR/report.html.

    Example: danil demo --out runs/demo
    """
    from danil.data.outputs import Output, check_outputs
    from danil.data.sources import SYNTHETIC
    from danil.evaluation import evaluate_run
    from danil.explanation import explain_run
    from danil.report import write_demo_report, write_run_report
    from danil.runs import RunError, read_recipe
    from danil.training import train_run

    folders = {name: out / name for name in METHODS}
    for folder in folders.values():
        if folder.exists() and not overwrite:
            raise RunError(f"`{folder}` exists. Replace it by `--overwrite`, or choose another `--out`.")
        if folder.exists() and any(folder.iterdir()) and not (folder / "recipe.toml").is_file():
            raise RunError(f"`{folder}` is not a run folder, so it is not replaced. Choose another `--out`.")
    common = [f"data.source={SOURCE!r}", *(settings or [])]
    recipes = {name: read_recipe("quick", [*common, f"objective.name={name}"]) for name in METHODS}
    source = recipes["base"].data.source
    if source is None or not source.startswith(f"{SYNTHETIC}:"):
        raise RunError(f"`--set data.source={source}`: the demonstration needs pixel masks, `synthetic:…` data.")
    check_outputs([Output("--out", out / "report.html", "demonstration page")], overwrite=overwrite)
    for name, folder in folders.items():
        typer.echo(f"training {METHODS[name]} …")
        train_run(recipes[name], folder, overwrite=overwrite)
        evaluate_run(folder)
        explain_run(folder)
        write_run_report(folder)
    report = write_demo_report(folders["base"], folders["danil"], out / "report.html")
    typer.echo(f"report: {report}")
