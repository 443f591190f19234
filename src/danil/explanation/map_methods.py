"""Every map a run can be explained by, under one name each."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from danil.explanation.attributions import (
    AttributionError,
    attention,
    contribution_map,
    grad_cam,
    integrated_gradients,
    occlusion,
)
from danil.objectives import ResponseMaps
from danil.runs import FittedClassifier

METHODS: Mapping[str, Callable[..., Tensor]] = {
    "integrated_gradients": integrated_gradients,
    "grad_cam": grad_cam,
    "occlusion": occlusion,
    "attention": attention,
}
"""Name → map of a label's logit."""

TITLES = {
    "integrated_gradients": "Integrated gradients, logit",
    "grad_cam": "Grad-CAM, logit",
    "occlusion": "Occlusion, logit",
    "contribution": "A⁺ ⊙ x, loss",
    "attention": "CANet attention",
}
"""Name → what stands above such a map; `contribution` is A⁺ ⊙ x of Eq. 1."""

RESPONSES = {"truth": "A⁺", "rival": "A⁻", "difference": "A⁺ − A⁻"}
"""The response maps themselves, by the names of scores and curves."""


def check_methods(methods: Sequence[str], layer: str | None = None) -> None:
    """Refuse a name that is none of `TITLES`, and `contribution` at a layer.

    Raises:
        AttributionError: naming what there is.
    """
    unknown = [name for name in methods if name not in TITLES]
    if unknown:
        raise AttributionError(f"`methods` holds `{unknown[0]}`; there are {', '.join(TITLES)}.")
    if layer is not None and "contribution" in methods:
        raise AttributionError("`contribution` is A⁺ times the image; it is not defined at a `layer`. Leave one out.")


def further_maps(
    fitted: FittedClassifier,
    prepared: Tensor,
    labels: Tensor,
    maps: ResponseMaps,
    methods: Sequence[str],
    model: nn.Module | None = None,
) -> dict[str, Tensor]:
    """Return name → map, `(B, C, H, W)` or `(B, 1, H, W)`, for prepared images and their response maps.

    `model` is another network in place of the fitted one.
    """
    network = fitted.model if model is None else model
    found: dict[str, Tensor] = {}
    for name in methods:
        if name == "contribution":
            found[name] = contribution_map(maps.truth, prepared)
        else:
            found[name] = METHODS[name](network, prepared, labels, task=fitted.task)
    return found


def chance_map(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return a ranking of pixels by chance, `(B, H, W)`, which every map must beat."""
    return torch.rand((len(like), *like.shape[2:]), generator=generator).to(like.device)
