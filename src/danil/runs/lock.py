"""One writer per run folder."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from danil.runs.folder import LOCK, RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextmanager
def only_writer(folder: Path) -> Generator[None]:
    """Keep other processes from writing into this run folder, which is made if it is missing.

    The lock ends with the process, however that ends; its file stays.

    Raises:
        RunError: another process is writing there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as handle:
        if fcntl is not None:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(
                    f"another process is writing into `{folder}`. Wait for it, or stop it (it saves and leaves at "
                    "Ctrl-C or SIGTERM)."
                ) from error
            except OSError:  # a file system without locks
                pass
        yield
