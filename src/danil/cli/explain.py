"""The verb `danil explain`."""

from pathlib import Path
from typing import Annotated

import typer


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `danil train`.")],
    images: Annotated[list[Path] | None, typer.Argument(metavar="IMAGE…", help="Images to explain.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where figures go; RUN/figures by default.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many test images, without IMAGE.")] = 8,
    data: Annotated[str | None, typer.Option(metavar="DATA", help="The run's data, where they have moved to.")] = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Show magnitudes instead of signed maps.")] = False,
    smooth: Annotated[float, typer.Option(min=0, help="Gaussian smoothing of the maps, σ in pixels.")] = 0.0,
) -> None:
    """Draw image, A⁺, A⁻ and their difference (the paper's Fig. 3), each map at its own scale with its norm.

    Without IMAGE the most confidently wrong images of the run's test part are drawn.

    Example: danil explain runs/ham-danil --count 6 --out figures
    """
    from danil.explanation import explain_run

    written = explain_run(run, images or [], out=out, count=count, data=data, absolute=absolute, smooth=smooth)
    for path in written:
        typer.echo(str(path))
