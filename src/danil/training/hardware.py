"""More threads than cores, which are told, and kernels that repeat themselves to the bit."""

import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import torch

from danil.cores import cores

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def check_cores(workers: int, available: int | None = None) -> None:
    """Warn where more threads or worker processes were asked for than there are cores.

    Args:
        workers: processes that prepare batches (each of them uses one thread).
        available: cores; found out by default.
    """
    here = cores() if available is None else available
    if torch.get_num_threads() > here:
        warnings.warn(
            f"`OMP_NUM_THREADS` asks for {torch.get_num_threads()} threads, but this process may use {here} core(s); "
            "they will wait for each other.",
            stacklevel=3,
        )
    if workers > here:
        warnings.warn(
            f"`data.workers` is {workers}, but this process may use {here} core(s); more workers than cores only slow "
            "each other down. The result does not depend on their number.",
            stacklevel=3,
        )


@contextmanager
def deterministic(wanted: bool) -> Generator[None]:
    """Let PyTorch use only kernels that give the same bits every time; leave its settings as found."""
    if not wanted:
        yield
        return
    was, tuned = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    unset = WORKSPACE not in os.environ
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warned)
        torch.backends.cudnn.benchmark = tuned
        if unset:
            os.environ.pop(WORKSPACE, None)
