"""Whether a file or folder can be written, asked before the work whose results go there."""

from pathlib import Path

from danil.data.atomic import partial


def folder_fault(folder: Path) -> str | None:
    """Return why nothing could be written into a folder, which may not be there yet; `None` where it could.

    An empty file is made in the nearest folder that is there, and removed: permissions alone do not tell.
    """
    there = folder
    while not (there.exists() or there.is_symlink()) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return f"`{there}` is a file, not a folder"
    probe = partial(there / "probe")
    try:
        probe.open("xb").close()
        probe.unlink(missing_ok=True)
    except OSError as error:
        return f"nothing can be written into `{there}` ({error.strerror})"
    return None


def file_fault(file: Path) -> str | None:
    """Return why a file could not be written or replaced, `None` where it could."""
    if file.is_dir():
        return f"`{file}` is a folder; name a file in it"
    if file.exists() and not file.is_file():
        return f"`{file}` is no regular file"
    return folder_fault(file.parent)
