"""Batches in a given order, from this process or from worker processes."""

import math
import signal
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from danil.data.dataset import Batch, Images
from danil.data.files import UnreadableImages

RESTARTS = 3
"""How often dead workers are started again in an epoch before their work is done without them."""


Rows = np.ndarray[Any, Any]


def earlier_turns(order: Rows) -> Rows:
    """Return how often each row of an order stood in it before, `(N,)` int64."""
    return pd.Series(order).groupby(order).cumcount().to_numpy(dtype=np.int64)


class Batches(Dataset[Batch]):
    """Give the batches of one epoch by number; what batch `b` holds does not depend on who asks, or when."""

    def __init__(self, images: Images, order: Rows, batch_size: int, turns: Rows | None = None) -> None:
        self.images, self.order, self.batch_size = images, order, batch_size
        self.turns = earlier_turns(order) if turns is None else turns

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, number: int) -> Batch:
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return self.images.batch(self.order[part], self.turns[part])


def loader(
    images: Images,
    order: Rows | Tensor | None = None,
    *,
    batch_size: int,
    workers: int = 0,
    start: int = 0,
    turns: Rows | None = None,
) -> Iterator[Batch]:
    """Yield batches of the images' rows in this order; the last one may be smaller.

    The batches are the same, to the bit, for any number of workers, and from batch `start` on as if those before had
    been asked for too. The global random state is left alone.

    Args:
        images: whose `epoch` is set before.
        order: rows, `(N,)` int64, as a sampler gives them, from the epoch's beginning; `None`: all rows as they are.
        batch_size: B.
        workers: processes that prepare batches ahead; 0: this one prepares them (enough with a cache).
        start: number of batches to leave out.
        turns: how often each row was shown before in the epoch, `(N,)`, where `order` is one process's share of it;
            default: as `order` says.
    """
    rows = np.arange(len(images)) if order is None else np.asarray(order, dtype=np.int64)
    batches = Batches(images, rows, batch_size, turns)
    if workers == 0:
        return (batches[number] for number in range(start, len(batches)))
    return worked(batches, range(start, len(batches)), workers)


class Reported(Dataset[Batch | UnreadableImages]):
    """Give batches, and the error where one cannot be had: as it is, which an error raised in a worker is not."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, number: int) -> Batch | UnreadableImages:
        try:
            return self.batches[number]
        except UnreadableImages as error:
            return error


def worked(batches: Batches, numbers: range, workers: int) -> Iterator[Batch]:
    """Yield these batches from worker processes; where one of those dies, start them again, and go on without at last.

    Raises:
        UnreadableImages: an image could not be read.
    """
    for _ in range(RESTARTS + 1):
        try:
            with from_workers(batches, numbers, workers) as found:
                for batch in found:
                    if isinstance(batch, UnreadableImages):
                        raise batch
                    numbers = numbers[1:]
                    yield batch
            return
        except (RuntimeError, EOFError, OSError) as error:
            if not worker_died(error):
                raise
            said = (str(error) or type(error).__name__).splitlines()[0]
            warnings.warn(
                f"a process that prepares batches died ({said}). The batches are prepared again; no image is lost. "
                "Memory, or /dev/shm, may have run out: try fewer `data.workers`.",
                stacklevel=2,
            )
    yield from (batches[number] for number in numbers)


def worker_died(error: Exception) -> bool:
    """Tell whether an error is the death of a worker: found by PyTorch, or in the middle of handing over a batch."""
    return isinstance(error, (EOFError, ConnectionError, FileNotFoundError)) or "DataLoader worker" in str(error)


@contextmanager
def from_workers(batches: Batches, numbers: range, workers: int) -> Generator[Iterable[Batch | UnreadableImages]]:
    """Yield PyTorch's iterator over these batches, and stop its processes at the end.

    PyTorch's handler of SIGCHLD, which raises a worker's death in the middle of whatever runs at that moment, is off
    meanwhile: the iterator finds the death itself, within five seconds, when it waits for the next batch.
    """
    found = iter(
        DataLoader(
            Reported(batches),
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            generator=torch.Generator(),
            pin_memory=torch.cuda.is_available(),
        )
    )
    handled = hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if handled else None
    try:
        yield found
    finally:
        found._shutdown_workers()  # pyright: ignore
        if handled and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler)
