"""What the labels of a batch must look like, and which logits they belong to."""

from collections.abc import Mapping

import torch
from torch import Tensor

from danil.objectives.terms import Logits, Targets

UNKNOWN = -1
SINGLE = ""
"""The task's name where a network has one head and the targets are one tensor."""


def matched_tasks(logits: Logits, targets: Targets) -> dict[str, tuple[Tensor, Tensor]]:
    """Pair each task's `(B, K)` logits with its `(B,)` labels, after checking both.

    Only the tasks named by the targets are returned: heads without targets (`aux/<task>`, an unused head) are left out.
    One tensor of targets is the task `""`. Labels beyond K are found here on the CPU only; on an accelerator that check
    would stall the device each step, and PyTorch's own device-side assertion finds them.

    Raises:
        TypeError: logits or targets are neither tensors nor mappings of tensors, or labels are not int64.
        ValueError: shapes do not fit, a task has no head, or a label is outside −1 … K−1.
    """
    if isinstance(targets, Tensor):
        if not isinstance(logits, Tensor):
            raise TypeError(
                f"the network returned {described(logits)}, but `targets` is one tensor. "
                "Give the targets as a mapping from task to labels, or return one tensor of logits."
            )
        return {SINGLE: _checked(SINGLE, logits, targets)}
    if not isinstance(targets, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"`targets` is {described(targets)}; an int64 tensor of class indices `(B,)` is needed, or a mapping from "
            "task to such tensors. Use `torch.as_tensor(targets)`."
        )
    if not isinstance(logits, Mapping):
        raise TypeError(
            f"`targets` names the tasks {sorted(targets)}, but the network returned {described(logits)}. "
            "A network with several heads returns a mapping from task to `(B, K)` logits."
        )
    missing = [task for task in targets if task not in logits]
    if missing or not targets:
        raise ValueError(
            f"`targets` names the tasks {sorted(targets)}, the network's heads are {sorted(logits)}: "
            f"no head for {missing or 'an empty mapping'}. Name at least one task, and only tasks the network has."
        )
    return {task: _checked(task, logits[task], labels) for task, labels in targets.items()}


def known_images(targets: Targets) -> Tensor:
    """Return which images have a known label, for any of the tasks, `(B,)` bool."""
    labels = [targets] if isinstance(targets, Tensor) else list(targets.values())
    return torch.stack([one != UNKNOWN for one in labels]).any(0)


def described(value: object) -> str:
    """Return in words what a network returned instead of logits."""
    if isinstance(value, Mapping):
        return f"the heads {sorted(str(name) for name in value)}"
    return f"a {type(value).__name__}" + (f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else "")


def _checked(task: str, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    name = f"`targets[{task!r}]`" if task else "`targets`"
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"the logits for {name} have shape {tuple(logits.shape)}; (B, K) with K ≥ 2 classes is needed. "
            "Give the network a classification head."
        )
    if not isinstance(labels, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} is {described(labels)}; an int64 tensor is needed. Use `torch.as_tensor`.")
    if labels.is_floating_point() or labels.ndim == 2:
        raise TypeError(
            f"{name} is {labels.dtype} of shape {tuple(labels.shape)}; int64 class indices of shape (B,) are needed. "
            "Soft or mixed labels (mixup, CutMix, one-hot) have no single class: switch the mixing off, "
            "or pass the hard labels (`targets.argmax(1)`) where those are meaningful."
        )
    if str(labels.dtype) != "torch.int64":
        raise TypeError(f"{name} is {labels.dtype}; int64 class indices are needed. Use `.long()`.")
    if labels.shape != logits.shape[:1]:
        raise ValueError(
            f"{name} has shape {tuple(labels.shape)}; the network returned logits of shape {tuple(logits.shape)}, "
            f"so ({logits.shape[0]},) is needed: one class index per image."
        )
    if labels.device.type == "cpu" and labels.numel():
        low, high = int(labels.min()), int(labels.max())
        if low < UNKNOWN or high >= logits.shape[1]:
            raise ValueError(
                f"{name} holds {low if low < UNKNOWN else high}; the network has {logits.shape[1]} classes, so labels "
                "lie in 0 … K−1, or are −1 where unknown. Check the class list against the head."
            )
    return logits, labels
