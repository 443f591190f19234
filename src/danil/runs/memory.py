"""Memory that one step frees, kept for the next."""

import ctypes
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # what <malloc.h> calls M_TRIM_THRESHOLD and so on
KEEPING = {MMAP_MAX: 0, TRIM_THRESHOLD: -1}
USUAL = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}  # where glibc's own adjustment ends
VARIABLES = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}

_lock = Lock()
_inside = 0


@contextmanager
def kept_memory() -> Generator[None]:
    """Let the C library keep freed memory inside, instead of handing it back to the system.

    glibc, the C library of most Linux systems, returns a large block when it is freed, and the system clears its pages
    one by one when they are asked for again: on a CPU in every step, for every activation and gradient. Inside, the
    process goes on holding about what it needed at its peak; what is free at the end goes back. No computed value
    depends on it. Nothing happens with another C library, or where the environment sets glibc's allocator itself.

    A context and, called, a decorator; it may be nested and used by several threads.

    Example:
        >>> with kept_memory():  # around a training loop of your own
        ...     blocks = [bytearray(10**8) for _ in range(3)]
    """
    if VARIABLES & os.environ.keys() or platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    _enter(libc, 1)
    try:
        yield
    finally:
        _enter(libc, -1)


def _enter(libc: ctypes.CDLL, step: int) -> None:
    """Count one more or less inside; the first one sets glibc's options, the last one sets them back."""
    global _inside
    with _lock:
        was, _inside = _inside, _inside + step
        if was and _inside:
            return
        for option, value in (KEEPING if _inside else USUAL).items():
            libc.mallopt(option, value)
        if not _inside:
            libc.malloc_trim(0)
