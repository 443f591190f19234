"""The loss of CANet: final and auxiliary logits of every disease."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from danil.objectives.cross_entropy import base_loss
from danil.objectives.image_loss import ImageLoss
from danil.objectives.targets import matched_tasks
from danil.objectives.terms import Logits, Targets


class CrossDisease(ImageLoss):
    """Sum the losses of the final logits, plus a fraction of the losses of the auxiliary ones.

    Loss = Σ CE(final) + weight · Σ CE(auxiliary) over the tasks that the targets name; the network returns the
    auxiliary logits of a task under `aux/<task>`, so the targets must be a mapping, also for one disease. The margin of
    `DistractorAware(base=CrossDisease())` is that of the final logits.

    Args:
        auxiliary_weight: finite number ≥ 0.
        base: the loss of each image and task; cross-entropy by default; class weights act by task, also here.

    Raises:
        TypeError: `base` is no loss of each image.
        ValueError: `auxiliary_weight` is negative or not finite; later, the network has no auxiliary head for a task.

    Reference: Li et al. 2020; docs/method.md, "CANet".

    Example:
        >>> logits = {"grade": torch.zeros(1, 4), "aux/grade": torch.zeros(1, 4)}
        >>> losses = CrossDisease(0.5).per_image(logits, {"grade": torch.tensor([2])})
        >>> round(float(losses / torch.tensor(4.0).log()), 4)
        1.5
    """

    def __init__(self, auxiliary_weight: float = 0.25, base: ImageLoss | None = None):
        super().__init__()
        if not (math.isfinite(auxiliary_weight) and auxiliary_weight >= 0):
            raise ValueError(
                f"`auxiliary_weight` is {auxiliary_weight}; a finite number ≥ 0 is needed. Use 0 to mute the "
                "auxiliary heads."
            )
        self.auxiliary_weight = auxiliary_weight
        self.base = base_loss(base)

    def per_image(self, logits: Logits, targets: Targets) -> Tensor:
        """Return the losses `(B,)`, summed over tasks."""
        final = matched_tasks(logits, targets)
        if not isinstance(logits, Mapping) or any(f"aux/{task}" not in logits for task in final):
            heads = sorted(logits) if isinstance(logits, Mapping) else "one tensor"
            raise ValueError(
                f"`CrossDisease` needs auxiliary logits under `aux/<task>` for {sorted(final)}; the network returned "
                f"{heads}. Use a CANet head, or `CrossEntropy` for a network without auxiliary heads."
            )
        losses: list[Tensor] = []
        for task, (output, labels) in final.items():
            own = {task: labels}
            auxiliary = self.base.per_image({task: logits[f"aux/{task}"]}, own)
            losses.append(self.base.per_image({task: output}, own) + self.auxiliary_weight * auxiliary)
        return torch.stack(losses).sum(0)

    def shares(self, losses: Tensor, known: Tensor | None = None) -> Tensor:
        """Return the base's shares."""
        return self.base.shares(losses, known)

    def task_weight(self, task: str) -> float:
        """Return the base's weight of the task."""
        return self.base.task_weight(task)
