"""Several tasks, each with its weight."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from danil.objectives.cross_entropy import base_loss
from danil.objectives.image_loss import ImageLoss
from danil.objectives.targets import matched_tasks
from danil.objectives.terms import Logits, Targets


class WeightedTasks(ImageLoss):
    """Sum the losses of several tasks, each times its weight.

    Every task of the targets needs a weight; a weight without targets is unused.
    `DistractorAware(base=WeightedTasks(…))` weights each task's distractor term alike.

    Args:
        weights: task → finite number ≥ 0.
        base: the loss of each image and task; cross-entropy by default.

    Raises:
        TypeError: `base` is no loss of each image.
        ValueError: a weight is negative or not finite; later, a task has no weight.

    Example:
        >>> loss = WeightedTasks({"grade": 1.0, "edema": 0.5})
        >>> logits = {"grade": torch.zeros(1, 4), "edema": torch.zeros(1, 4)}
        >>> labels = {"grade": torch.tensor([0]), "edema": torch.tensor([3])}
        >>> round(float(loss.reduce(loss.per_image(logits, labels)) / torch.tensor(4.0).log()), 4)
        1.5
    """

    def __init__(self, weights: Mapping[str, float], base: ImageLoss | None = None):
        super().__init__()
        for task, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(
                    f"`weights[{task!r}]` is {weight}; a finite number ≥ 0 is needed. Use 0 to mute a task."
                )
        self.weights = dict(weights)
        self.base = base_loss(base)

    def per_image(self, logits: Logits, targets: Targets) -> Tensor:
        """Return Σ_tasks weight · the base's losses, `(B,)`."""
        pairs = matched_tasks(logits, targets)
        return torch.stack(
            [self.task_weight(task) * self.base.per_image({task: z}, {task: y}) for task, (z, y) in pairs.items()]
        ).sum(0)

    def shares(self, losses: Tensor, known: Tensor | None = None) -> Tensor:
        """Return the base's shares."""
        return self.base.shares(losses, known)

    def task_weight(self, task: str) -> float:
        """Return the weight of the task."""
        if task not in self.weights:
            raise ValueError(
                f"`weights` has no entry for the task {task!r}; it has {sorted(self.weights)}. "
                "Give every task a weight."
            )
        return self.weights[task]
