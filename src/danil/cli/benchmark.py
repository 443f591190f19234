"""The verb `danil benchmark`."""

from pathlib import Path
from shutil import rmtree
from typing import Annotated

import typer

from danil.cli.outputs import writable_folder


def benchmark(
    suite: Annotated[Path, typer.Argument(metavar="SUITE.toml", help="Data sets × backbones × methods × seeds.")],
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where records go, one small file per cell.")] = Path(
        "results/benchmark"
    ),
    work: Annotated[Path, typer.Option(metavar="DIR", help="Where the runs lie while they train.")] = Path(
        "runs/benchmark"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Cells side by side; processors are shared out.")] = 1,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on a Ray cluster: host:port, auto, or local.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="With --ray: processors a cell takes.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="With --ray: GPUs a cell takes (0.5: two share one).")] = 0,
    only: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Only cells with this in their name; repeatable.")
    ] = None,
    any_code: Annotated[bool, typer.Option("--any-code", help="Take records made by other code as finished.")] = False,
    trial: Annotated[
        bool, typer.Option("--trial", help="Try everything for two steps on few images; no record is kept.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and their estimated hours.")] = False,
) -> None:
    """Train every cell of a suite that has no record yet, resuming what was interrupted; failures are told at the end.

    Example: danil benchmark suites/cpu.toml --workers 2
    Then: danil table results/benchmark
    """
    from danil.benchmark import cells_of, read_suite, run_cells, trial_of
    from danil.benchmark.progress import cell_list, closing, outcome_printer

    asked = read_suite(suite)
    if trial:
        asked, work = trial_of(asked), work / ".danil-trial"
        results = work / "records"
    cells = cells_of(asked, only or [])
    if dry_run:
        typer.echo(cell_list(cells, results, any_code))
        return
    for folder in (results, work):
        writable_folder(folder)
    with outcome_printer(cells) as notice:
        if ray is None:
            outcomes = run_cells(cells, results=results, work=work, workers=workers, any_code=any_code, notice=notice)
        else:
            from danil.benchmark.cluster import run_on_ray

            outcomes = run_on_ray(
                cells, results=results, work=work, address=ray, threads=threads, gpus=gpus, any_code=any_code,
                notice=notice,
            )  # fmt: skip
    text, code = closing(outcomes)
    typer.echo(text, err=code != 0)
    if trial and code == 0:
        rmtree(work, ignore_errors=True)
    raise typer.Exit(code)
