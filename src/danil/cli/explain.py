"""The verb `danil explain`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from danil.cli.outputs import writable_folder


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder made by `danil train`.")],
    images: Annotated[list[Path] | None, typer.Argument(metavar="IMAGE…", help="Images to explain.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where all goes; into RUN by default.", callback=writable_folder)
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="How many test images, without IMAGE; 0 for none.")] = 8,
    data: Annotated[str | None, typer.Option(metavar="DATA", help="The run's data, where they have moved to.")] = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Show magnitudes instead of signed maps.")] = False,
    smooth: Annotated[float, typer.Option(min=0, help="Gaussian smoothing of the maps, σ in pixels.")] = 0.0,
    overlay: Annotated[bool, typer.Option("--overlay", help="Lay the maps over the image in grey.")] = False,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME",
            help="One more map: integrated_gradients, grad_cam, occlusion, contribution (A⁺ ⊙ x), attention (CANet).",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take A at this module's output, e.g. backbone.blocks.4.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Format of the figures: png, svg or pdf.")] = "png",
    look_alikes: Annotated[
        int, typer.Option(min=0, metavar="N", help="Also draw the N nearest pairs of different classes (Fig. 1).")
    ] = 0,
    faithfulness: Annotated[
        bool, typer.Option("--faithfulness", help="Also deletion and insertion curves: a figure and a table.")
    ] = False,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence", help="Also scores against pixel masks, beside untrained networks; outlines masks (synthetic)."
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=2, help="Test images that --faithfulness and --evidence take.")] = 64,
) -> None:
    """Draw image, A⁺, A⁻ and their difference (the paper's Fig. 3), each map at its own scale with its norm.

    Without IMAGE the most confidently wrong images of the run's test part are drawn. Figures go to RUN/figures, tables
    of scores to RUN/explanation.

    Example: danil explain runs/ham-danil --count 6 --map grad_cam --map integrated_gradients
    Example: danil explain runs/ham-danil lesion.jpg --absolute --smooth 1.5 --overlay --out figures
    Example: danil explain runs/ham-danil --count 0 --look-alikes 4 --faithfulness
    Example: danil explain runs/demo/danil --count 0 --evidence --map grad_cam
    """
    from danil import explanation as made

    shared: dict[str, Any] = {"out": out, "data": data}
    written: list[Path] = []
    if evidence:
        document, files = made.write_evidence(run, methods=maps or (), limit=limit, **shared)
        typer.echo(f"{made.evidence_text(document)}\n")
        written += files
    if faithfulness:
        areas, files = made.write_faithfulness(run, methods=maps or made.CURVES, limit=limit, kind=kind, **shared)
        typer.echo(f"{made.faithfulness_text(areas)}\n")
        written += files
    if look_alikes:
        written.append(made.look_alikes_run(run, count=look_alikes, kind=kind, **shared))
    if count or images:
        style: dict[str, Any] = {
            "absolute": absolute, "smooth": smooth, "overlay": overlay, "layer": layer, "masks": evidence,
        }  # fmt: skip
        written += made.explain_run(run, images or [], count=count, methods=maps or (), kind=kind, **style, **shared)
    for path in written:
        typer.echo(str(path))
