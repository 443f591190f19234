"""Online hard example mining (OHEM)."""

import math

import torch
from torch import Tensor

from danil.objectives.cross_entropy import CrossEntropy
from danil.objectives.image_loss import ImageLoss
from danil.objectives.terms import Logits, Targets


class HardExamples(ImageLoss):
    """Average the loss of the hardest ⌈ρB⌉ images of the batch; the others get no gradient.

    The choice is made per batch, and per process under data parallelism. Class weights in `base` take part in it.

    Args:
        keep: ρ in (0, 1], the share of the batch kept.
        base: the loss of each image; cross-entropy by default.

    Reference: Shrivastava et al. 2016, for whole images (METHOD.md §6).

    Example:
        >>> HardExamples(keep=0.5).shares(torch.tensor([0.1, 3.0, 2.0, 0.2])).tolist()
        [0.0, 0.5, 0.5, 0.0]
    """

    def __init__(self, keep: float = 0.7, base: ImageLoss | None = None):
        super().__init__()
        if not 0 < keep <= 1:
            raise ValueError(
                f"`keep` is {keep}; it is the share of the batch kept and must lie in (0, 1]. "
                "Use `CrossEntropy()` to keep every image."
            )
        self.keep = keep
        self.base = CrossEntropy() if base is None else base

    def per_image(self, logits: Logits, targets: Targets) -> Tensor:
        """Return the base's losses `(B,)` of all images, kept or not."""
        return self.base.per_image(logits, targets)

    def shares(self, losses: Tensor) -> Tensor:
        """Return 1/⌈ρB⌉ for the hardest images and 0 for the others."""
        count = math.ceil(round(self.keep * len(losses), 9))
        hardest = losses.detach().topk(count).indices
        return torch.zeros_like(losses).index_fill(0, hardest, 1 / max(count, 1))

    def task_weight(self, task: str) -> float:
        """Return the base's weight of the task."""
        return self.base.task_weight(task)
