"""Options that name a folder for results: refused before the work where nothing can be written there."""

from pathlib import Path

import typer


def writable_folder(value: Path | None) -> Path | None:
    """Return the option's value, a folder to write into."""
    from danil.data.writable import folder_fault

    fault = folder_fault(value) if value is not None else None
    if fault is not None:
        raise typer.BadParameter(f"{fault}. Choose another place.")
    return value
