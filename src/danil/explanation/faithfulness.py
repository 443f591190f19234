"""Faithfulness: how the class's probability follows the pixels that a map calls important."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from danil.explanation.attributions import explained


@dataclass(frozen=True)
class FaithfulnessCurves:
    """Hold each image's class probability as pixels go (`deletion`) or come (`insertion`), most important first.

    `fractions` `(n + 1,)` are shares of pixels changed, 0 to 1; the curves are `(B, n + 1)`. A faithful map has a small
    area under deletion and a large one under insertion.
    """

    fractions: Tensor
    deletion: Tensor
    insertion: Tensor

    @property
    def deletion_area(self) -> Tensor:
        """Return each image's area under the deletion curve, `(B,)` in [0, 1]; lower is better."""
        return torch.trapezoid(self.deletion, self.fractions, dim=1)

    @property
    def insertion_area(self) -> Tensor:
        """Return each image's area under the insertion curve, `(B,)` in [0, 1]; higher is better."""
        return torch.trapezoid(self.insertion, self.fractions, dim=1)


def faithfulness_curves(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    importance: Tensor,
    *,
    task: str | None = None,
    steps: int = 20,
    filling: Literal["blur", "mean"] = "blur",
) -> FaithfulnessCurves:
    """Return deletion and insertion curves of the labels' probabilities.

    Compare with the same map at a random place, or with that of another image: a map of the same smoothness that knows
    nothing of this one. Pixels of equal importance come in a random order, the same in every call.

    Args:
        model: returns logits; run in eval mode and left as found.
        images: `(B, C, H, W)`, normalised.
        labels: `(B,)` class indices.
        importance: `(B, H, W)`, or `(B, C, H, W)` whose norm over C is taken; larger is more important.
        task: the head, where there are several.
        steps: n, how many equal portions of pixels are changed one after another.
        filling: what takes the place of a deleted pixel: the `blur`red image (σ = S/16), or the `mean` colour.

    Reference: Petsiuk et al., "RISE", BMVC 2018.
    """
    if steps < 1:
        raise ValueError(f"`steps` is {steps}; at least 1 portion of pixels is needed. 20 is usual.")
    flat = importance.norm(dim=1) if importance.ndim == 4 and importance.shape[1] > 1 else importance
    flat = flat.reshape(len(images), -1)
    if flat.shape[1] != images[0, 0].numel():
        raise ValueError(
            f"`importance` has shape {tuple(importance.shape)}; one value per pixel of {tuple(images.shape)} is "
            "needed. Resize the map to the images first."
        )
    pixels = flat.shape[1]
    ranks = random_ties(flat).reshape(len(images), 1, *images.shape[2:])
    filled = torch.zeros_like(images) if filling == "mean" else blurred(images)
    deletion, insertion = [], []
    with explained(model, task) as network, torch.no_grad():
        for step in range(steps + 1):
            changed = ranks < round(pixels * step / steps)
            for curve, first, second in ((deletion, images, filled), (insertion, filled, images)):
                logits: Tensor = network(torch.where(changed, second, first))
                curve.append(logits.double().softmax(1).gather(1, labels[:, None])[:, 0])
    fractions = torch.tensor([round(pixels * step / steps) / pixels for step in range(steps + 1)], dtype=torch.float64)
    return FaithfulnessCurves(fractions.to(images.device), torch.stack(deletion, 1), torch.stack(insertion, 1))


def random_ties(importance: Tensor) -> Tensor:
    """Return the rank of each value `(B, P)` in its row, largest first, equal ones in a fixed random order."""
    order = torch.randperm(importance.shape[1], generator=torch.Generator().manual_seed(0)).to(importance.device)
    ranks = importance[:, order].argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return ranks[:, order.argsort()]


def blurred(images: Tensor) -> Tensor:
    """Return the images without detail: a Gaussian with σ = S/16 pixels."""
    sigma = min(images.shape[2:]) / 16
    side = 2 * min(round(3 * sigma), (min(images.shape[2:]) - 1) // 2) + 1
    return gaussian_blur(images, [side, side], [sigma, sigma])
