"""PyTorch's threads to the cores there are."""

import os

import torch

from danil.cores import cores


def fit_threads(available: int | None = None) -> None:
    """Lower PyTorch's threads to the cores this process may use.

    A container's limit on processor time is not seen by PyTorch, which then starts a thread per core of the machine;
    they wait for each other. A number set by `OMP_NUM_THREADS` is kept, since the last bits of a result depend on it.

    Args:
        available: cores; found out by default.
    """
    here = cores() if available is None else available
    if torch.get_num_threads() > here and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(here)
