"""The verb `danil split`."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def split(
    data: Annotated[str, typer.Argument(metavar="DATA", help="READER:PATH, or a path whose reader is recognised.")],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="Where the split is written.")] = Path("split.csv"),
    kind: Annotated[
        Literal["auto", "random", "grouped", "official", "column"], typer.Option(help="How the images are divided.")
    ] = "auto",
    test: Annotated[float, typer.Option(help="Share of images in the test part.")] = 0.2,
    validation: Annotated[float, typer.Option(help="Share of images in the validation part.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Divide a data set into train, validation and test, print the class shares and write the split with its digest.

    Example: danil split ham10000:HAM10000 --kind grouped --test 0.3 --validation 0 --out ham-split.csv
    Use it: danil train ham10000:HAM10000 --set split.file=ham-split.csv --out runs/ham
    """
    from danil.data import assign_splits, read_source, split_summary, write_split

    manifest = assign_splits(read_source(data), kind, test=test, validation=validation, seed=seed)
    typer.echo(split_summary(manifest))
    digest = write_split(out, manifest)
    typer.echo(f"split: {out} (digest {digest})")
