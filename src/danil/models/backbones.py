"""The table of backbones: the paper's four and the offline default are rows, any other timm name works too."""

import difflib
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn


class BackboneError(ValueError):
    """Say which backbone cannot be used and what can."""


@dataclass(frozen=True)
class Row:
    """Hold what timm does not tell of a backbone: the side of the smallest square image it takes, in pixels."""

    minimum_size: int


BACKBONES: dict[str, Row] = {
    "resnet50": Row(32),
    "vgg11": Row(32),
    "inception_v4": Row(75),
    "efficientnet_b0": Row(32),
    "tf_efficientnet_b0": Row(32),
    "tf_efficientnet_lite0": Row(32),
}


def minimum_size(backbone: str) -> int:
    """Return the side of the smallest square image the backbone takes, in pixels.

    For a name without a row it is timm's: the stated minimum, the one fixed size, or 32.

    Raises:
        BackboneError: timm has no such backbone.
    """
    if backbone in BACKBONES:
        return BACKBONES[backbone].minimum_size
    known(backbone)
    configuration: Any = timm.get_pretrained_cfg(backbone)
    if configuration is None:
        return 32
    if configuration.min_input_size:
        return int(max(configuration.min_input_size[1:]))
    return int(max(configuration.input_size[1:])) if configuration.fixed_input_size else 32


def known(backbone: str) -> str:
    """Return the name if timm has it.

    Raises:
        BackboneError: it does not; the nearest names are offered.
    """
    architecture = backbone.partition(".")[0]
    if architecture and timm.is_model(architecture):
        return backbone
    near = difflib.get_close_matches(architecture, [*BACKBONES, *timm.list_models()], n=4, cutoff=0.5)
    offer = ", ".join(dict.fromkeys(near)) or ", ".join(BACKBONES)
    raise BackboneError(f"`backbone` is `{backbone}`, which timm {timm.__version__} does not have. Near it: {offer}.")


def create_backbone(name: str, **options: Any) -> nn.Module:
    """Return the timm network without its classifier: images → pooled features `(B, D)`.

    Vision transformers are made to accept other image sizes than their own where timm can do that. `options` go to
    `timm.create_model`.

    Raises:
        BackboneError: timm has no such backbone.
    """
    options["num_classes"] = 0
    configuration: Any = timm.get_pretrained_cfg(known(name))
    if configuration is not None and configuration.fixed_input_size:
        try:
            return timm.create_model(name, dynamic_img_size=True, **options)
        except TypeError:
            pass
    return timm.create_model(name, **options)


def pooled_width(backbone: nn.Module) -> int:
    """Return D, the number of pooled features."""
    network: Any = backbone
    return int(getattr(network, "head_hidden_size", None) or network.num_features)


def map_width(backbone: nn.Module) -> int:
    """Return C, the number of channels of the last feature map."""
    network: Any = backbone
    return int(network.num_features)


def feature_map(backbone: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the last feature map, `(B, C, h, w)`.

    Raises:
        BackboneError: the backbone has none (vision transformers give tokens).
    """
    network: Any = backbone
    features: torch.Tensor = network.forward_features(images)
    if features.ndim != 4:
        raise BackboneError(
            f"`{type(backbone).__name__}` ends in features {tuple(features.shape)}, not in a map (B, C, h, w). "
            "Choose a convolutional backbone, e.g. `resnet50`."
        )
    return features.permute(0, 3, 1, 2) if getattr(network, "output_fmt", "NCHW") == "NHWC" else features


def keep_feature_map_only(backbone: nn.Module, size: int, in_chans: int = 3) -> None:
    """Replace every child the feature map does not depend on (VGG's fully connected layers) by the identity.

    Such a child would hold memory and parameters that never get a gradient, at which DDP stops.
    """
    was_training = backbone.training
    output = feature_map(backbone.eval(), torch.zeros(1, in_chans, size, size))
    backbone.train(was_training)
    named = dict(backbone.named_parameters())
    gradients: list[torch.Tensor | None] = list(
        torch.autograd.grad(output.sum(), list(named.values()), allow_unused=True)
    )
    used = {name.partition(".")[0] for name, gradient in zip(named, gradients, strict=True) if gradient is not None}
    for name in {name.partition(".")[0] for name in named} - used:
        setattr(backbone, name, nn.Identity())
