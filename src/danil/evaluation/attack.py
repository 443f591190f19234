"""Projected gradient descent: the worst image near an image, as far as gradients find it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from danil.evaluation.corruptions import generator_of

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attack:
    """Say how PGD searches: `steps` steps of `step` · radius each, from a random point of the ball.

    With 10 steps of a quarter radius any point of the ball can be reached, with some steps to spare.
    """

    steps: int = 10
    step: float = 0.25

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.step <= 1:
            raise ValueError(
                f"`steps` is {self.steps}, `step` {self.step}; needed: at least 1 step, and a share in (0, 1]."
            )


def pgd_images(
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    radius: float,
    paths: Sequence[str],
    attack: Attack = Attack(),
    seed: int = 0,
) -> Tensor:
    """Return the image of largest loss met within `radius` of each image, in each channel of each pixel, in [0, 255].

    The best point is kept, the image itself and the random start included, so that the loss never falls.

    Args:
        loss: float pixels `(B, 3, S, S)` in [0, 255] → each image's loss `(B,)`; differentiated.
        images: `(B, 3, S, S)`, uint8 or float, in grey levels of 255.
        radius: of the L∞ ball, in grey levels of 255.
        paths: name each image's random start, together with `seed`.
        attack: number and size of the steps.
        seed: of the random starts.

    Reference: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
    """
    centre = images.float()
    low, high = (centre - radius).clamp_min(0), (centre + radius).clamp_max(255)
    start = torch.stack([torch.rand(images.shape[1:], generator=generator_of(path, seed)) for path in paths])
    point = (centre + radius * (2 * start.to(centre) - 1)).clamp(low, high)
    best = centre.clone()
    with torch.no_grad():
        most = loss(best)
    for step in range(attack.steps + 1):
        point.requires_grad_()
        with torch.enable_grad():
            value = loss(point)
            (slope,) = torch.autograd.grad(value.sum(), point)
        point, value = point.detach(), value.detach()
        better = value > most
        best[better], most[better] = point[better], value[better]
        if step < attack.steps:
            point = (point + attack.step * radius * slope.sign()).clamp(low, high)
    return best
