"""The table of backbones: the paper's four and the offline default are rows, any other timm name works too.

Further rows are backbones whose smallest image timm does not tell.
"""

import copy
import difflib
from typing import Any

import timm
import torch
from torch import nn


class BackboneError(ValueError):
    """Say which backbone cannot be used and what can."""


BACKBONES: dict[str, int] = {  # the side of the smallest square image, in pixels
    "resnet50": 32,
    "vgg11": 32,
    "inception_v4": 75,
    "efficientnet_b0": 32,
    "tf_efficientnet_b0": 32,
    "tf_efficientnet_lite0": 32,
    "inception_v3": 75,
    "inception_resnet_v2": 75,
}


def minimum_size(backbone: str) -> int:
    """Return the side of the smallest square image the backbone takes, in pixels.

    For a name without a row it is timm's: the one fixed size, the stated minimum, or 32.

    Raises:
        BackboneError: timm has no such backbone.
    """
    architecture = known(backbone).partition(".")[0]
    if architecture in BACKBONES:
        return BACKBONES[architecture]
    configuration: Any = timm.get_pretrained_cfg(backbone)
    if configuration is None:
        return 32
    stated = configuration.input_size if configuration.fixed_input_size else configuration.min_input_size
    return int(max(stated[1:])) if stated else 32


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
        BackboneError: the backbone has none (vision transformers give tokens), or several.
    """
    network: Any = backbone
    features: Any = network.forward_features(images)
    if not isinstance(features, torch.Tensor) or features.ndim != 4:
        found = tuple(features.shape) if isinstance(features, torch.Tensor) else f"in a {type(features).__name__}"
        raise BackboneError(
            f"`{type(backbone).__name__}` ends in features {found}, not in a map (B, C, h, w). "
            "Choose a convolutional backbone, e.g. `resnet50`."
        )
    return features.permute(0, 3, 1, 2) if getattr(network, "output_fmt", "NCHW") == "NHWC" else features


def keep_feature_map_only(backbone: nn.Module, name: str, in_chans: int = 3) -> None:
    """Replace every child the feature map does not depend on (VGG's fully connected layers) by the identity.

    Such a child would hold memory and parameters that never get a gradient, at which DDP stops. A copy without data
    (device `meta`) is traced, at the size of timm's weights.

    Raises:
        BackboneError: the backbone has no feature map, or cannot be traced.
    """
    twin: Any = copy.deepcopy(backbone).to("meta").eval()
    size = max(minimum_size(name), *twin.pretrained_cfg["input_size"][1:])
    named = dict(twin.named_parameters())
    try:
        output = feature_map(twin, torch.zeros(1, in_chans, size, size, device="meta"))
        gradients: list[torch.Tensor | None] = list(
            torch.autograd.grad(output.sum(), list(named.values()), allow_unused=True)
        )
    except BackboneError:
        raise
    except Exception as error:  # whatever a network of timm raises on an image it cannot take
        raise BackboneError(
            f"`backbone` is `{name}`, which gives no feature map for an image of {size}×{size} pixels "
            f"({type(error).__name__}: {error}). Choose another for CANet, e.g. `resnet50`, or the head `linear`."
        ) from error
    used = {key.partition(".")[0] for key, gradient in zip(named, gradients, strict=True) if gradient is not None}
    for child in {key.partition(".")[0] for key in named} - used:
        setattr(backbone, child, nn.Identity())
