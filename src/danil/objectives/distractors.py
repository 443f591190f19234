"""Which images of a batch enter the distractor-aware loss, and with which pseudo labels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from danil.objectives.image_loss import ImageLoss
from danil.objectives.margins import strongest_rivals
from danil.objectives.targets import UNKNOWN, matched_tasks
from danil.objectives.terms import Logits, Targets

Rival = Literal["predicted", "runner_up"]
QUANTILES = {"distance_q05": 0.05, "distance_median": 0.5, "distance_q95": 0.95}


@dataclass(frozen=True)
class Distractors:
    """Hold, for one task, the n images that enter L_d, ascending, and what is needed of each, `(n,)` all."""

    images: Tensor
    labels: Tensor
    rivals: Tensor
    weights: Tensor

    def among(self, images: Tensor) -> "Distractors":
        """Return the same for a batch made of `images`, which are ascending and hold all of these."""
        return Distractors(torch.searchsorted(images, self.images), self.labels, self.rivals, self.weights)


def found_distractors(
    logits: Logits, targets: Targets, shares: Tensor, base: ImageLoss, rival: Rival
) -> dict[str, Distractors]:
    """Return each task's distractors: label known, a share in the batch's loss, a pseudo label other than the label.

    `weights` are task weight · share · B/known, so that Σ weights · L_d is a mean over the images whose label is known.
    Reads the number of images back from the device, once per task.
    """
    found: dict[str, Distractors] = {}
    for task, (z, labels) in matched_tasks(logits, targets).items():
        z, known = z.detach(), labels != UNKNOWN
        rivals = z.argmax(1) if rival == "predicted" else strongest_rivals(z, labels)
        images = (known & (rivals != labels) & (shares > 0)).nonzero().squeeze(1)
        weights = base.task_weight(task) * shares[images] * (len(labels) / known.sum().clamp_min(1).to(shares))
        found[task] = Distractors(images, labels[images], rivals[images], weights)
    return found


def distance_quantiles(like: Tensor, distances: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return quantiles of d over all tasks, by name; NaN, of the kind of `like`, where no image enters L_d."""
    if not distances:
        return {name: like.new_tensor(math.nan) for name in QUANTILES}
    values = torch.cat([d.detach() for d in distances.values()])
    levels = torch.tensor(list(QUANTILES.values()), dtype=values.dtype, device=values.device)
    return dict(zip(QUANTILES, values.quantile(levels), strict=True))
