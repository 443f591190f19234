"""Batches in a given order, from this process or from worker processes."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from danil.data.dataset import Batch, Images


class Batches(Dataset[Batch]):
    """Give the batches of one epoch by number; what batch `b` holds does not depend on who asks, or when."""

    def __init__(self, images: Images, order: np.ndarray[Any, Any], batch_size: int) -> None:
        self.images, self.order, self.batch_size = images, order, batch_size
        self.turns = pd.Series(order).groupby(order).cumcount().to_numpy(dtype=np.int64)

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, number: int) -> Batch:
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return self.images.batch(self.order[part], self.turns[part])


def loader(
    images: Images,
    order: np.ndarray[Any, Any] | Tensor | None = None,
    *,
    batch_size: int,
    workers: int = 0,
    start: int = 0,
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
    """
    rows = np.arange(len(images)) if order is None else np.asarray(order, dtype=np.int64)
    batches = Batches(images, rows, batch_size)
    numbers = range(start, len(batches))
    if workers == 0:
        return (batches[number] for number in numbers)
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            generator=torch.Generator(),
            pin_memory=torch.cuda.is_available(),
        )
    )
