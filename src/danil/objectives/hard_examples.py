"""Online hard example mining (OHEM)."""

import math

import torch
from torch import Tensor

from danil.objectives.cross_entropy import base_loss
from danil.objectives.image_loss import ImageLoss
from danil.objectives.terms import Logits, Targets


class HardExamples(ImageLoss):
    """Average the loss of the hardest ⌈ρn⌉ of the n images whose label is known; the others get no gradient.

    The choice is made per batch, and per process under data parallelism. Class weights in `base` take part in it. With
    several tasks an image counts as known where any of its labels is. A batch without any has loss 0, with a graph. The
    number of known images is read back from the device.

    Args:
        keep: ρ in (0, 1], the share of the batch kept.
        base: the loss of each image; cross-entropy by default.

    Raises:
        TypeError: `base` is no loss of each image.
        ValueError: `keep` is outside (0, 1].

    Reference: Shrivastava et al. 2016, for whole images (docs/method.md, "What the paper leaves open").

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
        self.base = base_loss(base)

    def per_image(self, logits: Logits, targets: Targets) -> Tensor:
        """Return the base's losses `(B,)` of all images, kept or not."""
        return self.base.per_image(logits, targets)

    def shares(self, losses: Tensor, known: Tensor | None = None) -> Tensor:
        """Return n / (B · ⌈ρn⌉) for the hardest images, 1/⌈ρB⌉ where all labels are known, and 0 for the others.

        The base's losses are B/n times the images' own (`CrossEntropy`), so that this makes the average of the latter.
        """
        size = len(losses)
        n = size if known is None else int(known.sum())
        count = math.ceil(round(self.keep * n, 9))
        candidates = losses.detach() if known is None else losses.detach().masked_fill(~known, -math.inf)
        hardest = candidates.topk(count).indices
        return torch.zeros_like(losses).index_fill(0, hardest, n / max(size * count, 1))

    def task_weight(self, task: str) -> float:
        """Return the base's weight of the task."""
        return self.base.task_weight(task)
