"""Writes that a reader never sees half done."""

import contextlib
import os
import re
import secrets
from pathlib import Path

PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}\.part")
"""Name of a file that is being written, or whose writer was killed."""


def write_atomically(path: str | Path, content: bytes | str, *, keep: str | Path | None = None) -> Path:
    """Write the whole content beside its destination, flush it to disk and rename it into place.

    Missing parent folders are made. Text is written as UTF-8 with its line ends untouched. After an error (disk full,
    interrupt) the old file, if any, is intact and no temporary file is left; after the process or the machine stops
    dead, one named as `PARTIAL` may be (see `remove_partial_files`). The folder is flushed too, so that the new name
    survives a power cut once this returns.

    Args:
        path: the destination.
        content: all of it.
        keep: where to keep the file that is replaced, if there is one; what was there before is replaced.

    Raises:
        OSError: as the system reports it; its `filename` is the destination.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = partial(target)
    try:
        with part.open("xb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        if keep is not None and target.exists():
            keep_file(target, Path(keep))
        part.replace(target)
        flush_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, f"could not write `{target}`: {error.strerror}", str(target)) from error
        raise
    return target


def partial(target: Path) -> Path:
    """Return a new name beside the target for what is not whole yet."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def keep_file(file: Path, kept: Path) -> None:
    """Give the file a second name, so that it is never without its first; without hard links, its only one."""
    link = partial(kept)
    try:
        os.link(file, link)
    except OSError:
        file.replace(kept)
        return
    link.replace(kept)
    link.unlink(missing_ok=True)  # two names of one file: the system replaces nothing and leaves both


def flush_folder(folder: Path) -> None:
    """Flush a folder's names to disk where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_partial_files(folder: str | Path) -> list[Path]:
    """Remove what killed writers left in this folder and below, and return it; nobody may be writing there."""
    found = [file for file in Path(folder).rglob(".*.part") if PARTIAL.fullmatch(file.name) and file.is_file()]
    for file in found:
        file.unlink(missing_ok=True)
    return found
