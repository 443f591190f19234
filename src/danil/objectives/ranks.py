"""Counts and means over the processes of a distributed run; without one, the local values."""

import torch
from torch import Tensor, distributed


def distributed_run() -> bool:
    """Say whether `torch.distributed` is initialised with more than one process."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def summed_over_ranks(values: Tensor, group: distributed.ProcessGroup | None = None) -> Tensor:
    """Return the sum of `values` over all ranks of the group; a collective that every rank must reach."""
    if not distributed_run():
        return values
    values = values.detach().clone()
    distributed.all_reduce(values, group=group)
    return values


def global_count(images: Tensor, group: distributed.ProcessGroup | None = None) -> Tensor | int:
    """Return the number of images in the batch over all ranks: an int locally, a tensor (no read-back) otherwise."""
    count = images.shape[0]
    if not distributed_run():
        return count
    return summed_over_ranks(torch.tensor(float(count), device=images.device), group)
