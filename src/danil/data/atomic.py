"""Writes that a reader never sees half done."""

import os
import secrets
from pathlib import Path


def write_atomically(path: str | Path, content: bytes | str) -> Path:
    """Write the whole content beside its destination, flush it to disk and rename it into place.

    Missing parent folders are made. Text is written as UTF-8 with its line ends untouched. After an error (disk full,
    interrupt) the old file, if any, is intact and no temporary file is left.

    Raises:
        OSError: as the system reports it; its `filename` is the destination.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, f"could not write `{target}`: {error.strerror}", str(target)) from error
        raise
    return target
