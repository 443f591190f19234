"""The base class of objectives that are a weighted sum of one loss per image."""

import torch
from torch import Tensor, nn

from danil.objectives.targets import UNKNOWN, known_images, matched_tasks
from danil.objectives.terms import Logits, Targets, Terms


class ImageLoss(nn.Module):
    """Give every image a loss of its own and every image its share of the batch's loss.

    A subclass writes `per_image`; `shares` and `task_weight` have defaults. That is all `DistractorAware(base=…)` needs
    to follow it: L_total = Σᵢ shareᵢ · (L⁺ᵢ + λ L_d,ᵢ), so an image that a selection drops (share 0) also costs no
    second pass. An instance is an objective itself: `forward` runs the model once.
    """

    part = "cross_entropy"
    """The name of the loss in `Terms.parts`."""

    def per_image(self, logits: Logits, targets: Targets) -> Tensor:
        """Return the attached losses `(B,)`, in float32 or wider, whose plain mean is the unselected batch's loss."""
        raise NotImplementedError(f"{type(self).__name__} is an ImageLoss and must define `per_image`.")

    def shares(self, losses: Tensor, known: Tensor | None = None) -> Tensor:
        """Return each image's share of the batch's loss, `(B,)`, constants ≥ 0.

        Here 1/B each, whatever is known: `per_image` makes up for labels that are not.

        Args:
            losses: `(B,)`, as `per_image` returns them, detached.
            known: `(B,)` bool, which images have a label; by default all have.
        """
        return torch.full_like(losses, 1 / max(len(losses), 1))

    def task_weight(self, task: str) -> float:
        """Return the weight of a task among several; its distractor term is weighted alike."""
        del task
        return 1.0

    def reduce(self, losses: Tensor, known: Tensor | None = None) -> Tensor:
        """Return the batch's scalar loss, Σᵢ shareᵢ · lossᵢ; `known` as for `shares`."""
        return (self.shares(losses.detach(), known) * losses).sum()

    def forward(self, model: nn.Module, images: Tensor, targets: Targets) -> Terms:
        """Run the model once on `images` `(B, C, H, W)` and return its loss."""
        logits: Logits = model(images)
        losses = self.per_image(logits, targets)
        total = self.reduce(losses, known_images(targets))
        stats = {"share_wrong": share_wrong(logits, targets)}
        return Terms(total, logits, {self.part: total}, stats, losses.detach())


def share_wrong(logits: Logits, targets: Targets) -> Tensor:
    """Return the detached share of known labels that the arg-max misses, over all tasks; 0 where none is known."""
    tasks = matched_tasks(logits, targets).values()
    wrong = torch.stack([((z.argmax(1) != y) & (y != UNKNOWN)).sum() for z, y in tasks]).sum()
    known = torch.stack([(y != UNKNOWN).sum() for _, y in tasks]).sum()
    return (wrong / known.clamp_min(1)).detach()
