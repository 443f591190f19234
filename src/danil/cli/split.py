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
    test: Annotated[
        float | None, typer.Option(help="Share of images in the test part; 0.2 unless --folds sets it.")
    ] = None,
    validation: Annotated[float, typer.Option(help="Share of images in the validation part.")] = 0.15,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="Write K splits, FILE-fold1.csv …; each image is tested in one.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Points by which a class share or a part's size may be off without a warning.")
    ] = 2.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that danil did not write.")] = False,
) -> None:
    """Divide a data set into train, validation and test, print the class shares and write the split with its digest.

    Example: danil split ham10000:HAM10000 --kind grouped --test 0.3 --validation 0 --out ham-split.csv
    Use it: danil train ham10000:HAM10000 --set split.file=ham-split.csv --out runs/ham
    Example: danil split ham10000:HAM10000 --folds 5 --out ham.csv
    """
    from danil.data import assign_splits, read_source, split_summary, write_split
    from danil.data import folds as divided_in_folds
    from danil.data.outputs import Output, check_outputs, source_places
    from danil.data.siblings import sibling_warnings

    if folds is not None and test is not None:
        raise typer.BadParameter(f"`--folds {folds}` tests 1/{folds} of the images in each; leave `--test` out.")
    manifest, share = read_source(data), (0.2 if test is None else test)
    names = [""] if folds is None else [f"-fold{place}" for place in range(1, folds + 1)]
    files = [out.with_name(f"{out.stem}{name}{out.suffix}") for name in names]
    check_outputs([Output("--out", file, "split") for file in files], source_places(data), manifest, overwrite)
    if folds is None:
        divided = [assign_splits(manifest, kind, test=share, validation=validation, seed=seed)]
    else:
        divided, share = divided_in_folds(manifest, folds, seed, validation, kind), 1 / folds
    own = kind in ("official", "column") or (kind == "auto" and {"train", "test"} <= set(manifest.table["split"]))
    for file, one in zip(files, divided, strict=True):
        summary = split_summary(one)
        typer.echo(summary)
        wanted = None if own and folds is None else {"test": share, "validation": validation}
        siblings = sibling_warnings(one.table, one.grouped)
        for miss in [*siblings, *summary.misses(wanted, tolerance / 100)]:
            typer.echo(f"warning: {miss}", err=True)
        typer.echo(f"split: {file} (digest {write_split(file, one)})")
