"""Copies of tensors that were made in inference mode, which autograd refuses to save."""

from collections.abc import Mapping

from torch import Tensor

from danil.objectives.terms import Targets


def ordinary(tensor: Tensor) -> Tensor:
    """Return a copy where the tensor was made in inference mode; to be called outside of it."""
    return tensor.clone() if tensor.is_inference() else tensor


def ordinary_targets(targets: Targets) -> Targets:
    """Return the targets with such copies."""
    if isinstance(targets, Tensor):
        return ordinary(targets)
    if not isinstance(targets, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        return targets  # for the loss to refuse in words
    return {task: ordinary(labels) for task, labels in targets.items()}
