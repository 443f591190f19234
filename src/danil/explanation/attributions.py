"""Standard maps beside the response maps: Captum's Integrated Gradients, Grad-CAM and occlusion; and A ⊙ x of Eq. 1."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from torch import Tensor, nn
from torch.nn import functional

from danil.models import Classifier
from danil.runs.prediction import frozen


class AttributionError(ValueError):
    """Say which map cannot be had for this network and what to use instead."""


class TaskLogits(nn.Module):
    """Return the logits `(B, K)` of one task of a network that may have several."""

    def __init__(self, model: nn.Module, task: str | None) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, images: Tensor) -> Tensor:
        """Return the task's logits.

        Raises:
            AttributionError: the network has several heads and `task` names none of them.
        """
        logits = self.model(images)
        if isinstance(logits, Tensor):
            return logits
        if self.task not in logits:
            raise AttributionError(f"`task` is {self.task!r}; the network has the heads {sorted(logits)}. Name one.")
        return logits[self.task]


@contextmanager
def explained(model: nn.Module, task: str | None) -> Generator[TaskLogits]:
    """Give the task's logits in eval mode; modules' modes are left as found and parameters get no gradient."""
    with frozen(model), torch.enable_grad():
        yield TaskLogits(model, task)


def integrated_gradients(
    model: nn.Module, images: Tensor, labels: Tensor, *, task: str | None = None, steps: int = 32
) -> Tensor:
    """Return Integrated Gradients of each label's logit, `(B, C, H, W)`, from the mean colour (0 after normalisation).

    A map's sum is the logit's difference between image and baseline, up to the error of `steps` quadrature points.
    """
    with explained(model, task) as network:
        found: Any = IntegratedGradients(network).attribute(
            images.detach().clone().requires_grad_(),
            target=labels,
            n_steps=steps,
            internal_batch_size=max(len(images), 16),
        )
    return found.detach().to(images.dtype)


def grad_cam(model: nn.Module, images: Tensor, labels: Tensor, *, task: str | None = None) -> Tensor:
    """Return Grad-CAM of each label's logit on the last feature map, `(B, 1, H, W)` ≥ 0, resized bilinearly.

    Raises:
        AttributionError: the network has no feature map (vision transformers).
    """
    with explained(model, task) as network:
        layer = last_feature_layer(model, images[:1])
        found: Any = LayerGradCam(network, layer).attribute(
            images.detach().clone().requires_grad_(), target=labels, relu_attributions=True
        )
    return functional.interpolate(found.detach(), images.shape[2:], mode="bilinear", align_corners=False)


def last_feature_layer(model: nn.Module, image: Tensor) -> nn.Module:
    """Return the module that gives the last feature map `(B, C, h, w)`, the layer Grad-CAM looks at.

    In a `Classifier` it is the backbone's; in any other network the last module whose output has four dimensions and
    more than one place.

    Raises:
        AttributionError: there is none.
    """
    found: list[nn.Module] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if (
            isinstance(output, Tensor)
            and output.ndim == 4
            and (isinstance(model, Classifier) or output[0, 0].numel() > 1)
        ):
            found.append(module)

    backbone: Any = model.backbone if isinstance(model, Classifier) else model
    handles = [module.register_forward_hook(note) for module in backbone.modules()]
    try:
        with torch.no_grad():
            last = backbone.forward_features(image) if isinstance(model, Classifier) else None
            if last is None:
                model(image)
    finally:
        for handle in handles:
            handle.remove()
    tokens = last is not None and (last.ndim != 4 or getattr(backbone, "output_fmt", "NCHW") == "NHWC")
    if tokens or not found:
        raise AttributionError(
            f"`{type(backbone).__name__}` has no convolutional feature map, so Grad-CAM is not defined on it. "
            "Use response maps, Integrated Gradients or occlusion."
        )
    return found[-1]


def occlusion(
    model: nn.Module, images: Tensor, labels: Tensor, *, task: str | None = None, window: int | None = None
) -> Tensor:
    """Return how much each label's logit falls when a square is painted in the mean colour, `(B, 1, H, W)`.

    The square's side is `window` pixels, S/8 by default; it moves by half of that: about 250 forward passes.
    """
    side = max(1, min(images.shape[2:]) // 8) if window is None else window
    if not 1 <= side <= min(images.shape[2:]):
        raise ValueError(f"`window` is {window}; it is in pixels and must lie in 1 … {min(images.shape[2:])}.")
    stride = max(1, side // 2)
    with explained(model, task) as network, torch.no_grad():
        found: Any = Occlusion(network).attribute(
            images.detach(),
            sliding_window_shapes=(images.shape[1], side, side),
            strides=(images.shape[1], stride, stride),
            target=labels,
        )
    return found[:, :1].detach().to(images.dtype)


def attention(model: nn.Module, images: Tensor, labels: Tensor, *, task: str | None = None) -> Tensor:
    """Return the task's spatial attention of a CANet head, `(B, 1, H, W)` in (0, 1), resized bilinearly.

    It does not depend on `labels`, and says where the head looks, not for which class.

    Raises:
        AttributionError: the network has no CANet head, or `task` is none of its tasks.
    """
    del labels
    with explained(model, task), torch.no_grad():
        maps = model.attention_maps(images) if isinstance(model, Classifier) else {}
    name = next(iter(maps), "") if task is None else task
    if name not in maps:
        raise AttributionError(
            f"the network has no attention maps for {task!r}: they belong to CANet's heads. "
            "Train with `objective.name=canet` or `canet_single`, or choose another map."
        )
    return functional.interpolate(maps[name], images.shape[2:], mode="bilinear", align_corners=False)


def contribution_map(response: Tensor, images: Tensor) -> Tensor:
    """Return A ⊙ x, what each pixel contributes to the loss in Eq. 1's first-order expansion; same shape.

    `images` are the tensors that A was taken at; the map depends on where their zero lies (the mean colour).
    """
    return response * images
