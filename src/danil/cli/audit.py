"""The verb `danil audit`."""

from pathlib import Path
from typing import Annotated

import typer

COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def audit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="READER:PATH, or a path whose reader is recognised.")],
    split: Annotated[Path | None, typer.Option(metavar="FILE", help="Audit this split, made by `danil split`.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write all numbers.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write one page to look at.")] = None,
    metadata_only: Annotated[
        bool, typer.Option("--metadata-only", help="Examine the table alone; image files may be missing.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that danil did not write.")] = False,
) -> None:
    """Look for all that makes results on a data set wrong: copies, contradictions, leaks, unreadable files.

    Exit code: 1 with errors among the findings, 0 without, 2 if the data cannot be read.

    Example: danil audit aptos2019:APTOS2019 --out audit.html
    Example: danil audit HAM10000/HAM10000_metadata.csv --metadata-only
    """
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

    from danil.data import audit_data, read_source, write_audit
    from danil.data.manifest import plural
    from danil.data.outputs import Output, check_outputs, source_places

    manifest = read_source(data, pixels=not metadata_only)
    written = [Output("--json", json, "audit")] if json is not None else []
    written += [Output("--out", out, "audit page")] if out is not None else []
    check_outputs(written, source_places(data) + ([split] if split is not None else []), manifest, overwrite)
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=metadata_only or not stderr.is_terminal) as progress:
        bar = progress.add_task("reading images", total=len(manifest))
        found = audit_data(
            manifest,
            split,
            metadata_only=metadata_only,
            progress=lambda done, total: progress.update(bar, completed=done),
        )
    console = Console(highlight=False)
    classes = ", ".join(f"{name} {count:,}" for name, count in found.classes.counts.items())
    console.print(Text(f"{found.source}: {found.images:,} images; {found.classes.task}: {classes}"))
    lines = Table.grid(padding=(0, 2))
    for finding in found.findings:
        said = Text(finding.sentence).append(f" {finding.advice}", "dim")
        lines.add_row(Text(finding.severity, COLOURS[finding.severity]), said)
    console.print(lines)
    console.print(Text(f"{plural(found.errors, 'error')}, {plural(found.warnings, 'warning')}"))
    if json is not None:
        console.print(Text(f"numbers: {write_audit(json, found)}"), soft_wrap=True)
    if out is not None:
        from danil.report import write_audit_report

        console.print(Text(f"page: {write_audit_report(found, manifest, out)}"), soft_wrap=True)
    if found.errors:
        raise typer.Exit(1)
