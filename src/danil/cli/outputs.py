"""Options that name where results go: refused before the work where nothing can be written there."""

from pathlib import Path

import typer


def writable_file(value: Path | None) -> Path | None:
    """Return the option's value, a file to write."""
    from danil.data.writable import file_fault

    return checked(value, file_fault(value) if value is not None else None)


def writable_folder(value: Path | None) -> Path | None:
    """Return the option's value, a folder to write into."""
    from danil.data.writable import folder_fault

    return checked(value, folder_fault(value) if value is not None else None)


def checked(value: Path | None, fault: str | None) -> Path | None:
    """Return the value, or refuse it in the option's name."""
    if fault is not None:
        raise typer.BadParameter(f"{fault}. Choose another place.")
    return value
