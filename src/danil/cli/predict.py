"""The verb `danil predict`."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `danil train`.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Image files, or folders of images.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Where to write; else to the screen."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that danil did not write.")] = False,
) -> None:
    """Predict images with a trained run: a row per image, in the order given; a folder's images by name.

    Columns: `path`, `prediction`, `probability_<class>` …; of every further task `<task>_prediction`,
    `<task>_probability_<class>` …. An image that cannot be read is reported and skipped; the exit code is then 3.

    Example: danil predict runs/ham-danil new-images/ --out predictions.csv
    """
    from danil.data import image_files, write_atomically
    from danil.data.outputs import Output, check_outputs
    from danil.runs import open_run, predict_files

    if out is not None:
        check_outputs([Output("--out", out, "predictions")], [run, *paths], overwrite=overwrite)
    table, faults = predict_files(open_run(run), image_files(paths))
    text = table.to_csv(index=False)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(out, text)
        typer.echo(f"{len(table)} prediction(s): {out}")
    for fault in faults:
        typer.echo(f"danil: skipped: {fault}", err=True)
    if faults:
        raise typer.Exit(3)
