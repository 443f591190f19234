"""What a network must return in eval mode, in which response maps are taken."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from danil.objectives.targets import described
from danil.objectives.terms import Logits

FEW = 4
"""Rows of logits, fewer of which may look like probabilities by chance."""


def check_same_logits(first: Logits, second: Any, tasks: Iterable[str], chosen: Tensor) -> None:
    """Refuse what a second pass, in eval mode, returned for the `chosen` images, if it is not what the first returned.

    Raises:
        TypeError: it is something else than logits by task, or than one tensor of them.
        ValueError: their shape is another, or they are probabilities.
    """
    for task in tasks:
        before, after = head(first, task), head(second, task) if isinstance(second, Tensor | Mapping) else None
        if before is None or after is None or isinstance(first, Tensor) is not isinstance(second, Tensor):
            raise TypeError(
                f"in eval mode the network returns {described(second)}, in train mode {described(first)}. The "
                "distractor-aware loss runs it in both: return the same logits in either."
            )
        if after.shape != (len(chosen), *before.shape[1:]):
            raise ValueError(
                f"in eval mode the network returns logits of shape {tuple(after.shape)} for {len(chosen)} images, in "
                f"train mode {tuple(before.shape)} for the batch. Return the same logits in either."
            )
        if are_probabilities(after) and not _within_0_and_1(before.detach()[chosen]):
            refuse_probabilities()


def head(logits: Logits, task: str) -> Tensor | None:
    """Return a task's logits, or the only ones; `None` where there are none."""
    if isinstance(logits, Tensor):
        return logits
    found: Any = logits.get(task)
    return found if isinstance(found, Tensor) else None


def are_probabilities(logits: Tensor) -> bool:
    """Say whether `(B, K)` logits went through a softmax or sigmoid, or are rows that sum to 1.

    Reads one truth value back from the device, unless there are few rows.
    """
    if logits.grad_fn is not None and logits.grad_fn.name() in ("SoftmaxBackward0", "SigmoidBackward0"):
        return True
    z = logits.detach().float()
    return len(z) >= FEW and bool((z >= 0).all() & ((z.sum(1) - 1).abs() < 0.01).all())


def refuse_probabilities() -> None:
    """Say that probabilities are no logits.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "in eval mode the network returns probabilities (softmax or sigmoid), of which response maps would be others. "
        "Return logits in either mode, and apply the softmax outside of the network."
    )


def _within_0_and_1(values: Tensor) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())
