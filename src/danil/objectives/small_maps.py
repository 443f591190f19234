"""Quick convolutions on small maps, in anyone's training step on a CPU."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from danil.objectives.convolution_forms import WIDE
from danil.objectives.replaced_functions import ReplacedFunctions
from danil.objectives.second_order import replaceable
from danil.objectives.second_pass import is_compiled
from danil.objectives.substitutes import RULES

LARGEST = 20
"""Pixels a side above which nothing is gained."""


@contextmanager
def small_maps(model: nn.Module) -> Generator[None]:
    """Compute the derivatives of the convolutions run inside by quicker rules where their maps are small.

    On a CPU, PyTorch has no fast kernel for the weight gradient of a depthwise convolution whose kernel is larger than
    the map, and 1 × 1 convolutions of few pixels are quicker as matrix products: the last stages of EfficientNets,
    MobileNets and ConvNeXts at 64 to 112 px (measured in docs/second_order.md). Values are PyTorch's up to
    rounding. Only the forward must run inside; `backward` may follow outside. Nothing happens for networks on another
    device, compiled ones, ones without such convolutions, and in 16 bits, for which there are no quicker rules; nothing
    about the model is touched.

    Args:
        model: the network about to run.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.Flatten(), nn.Linear(32, 3))
        >>> with small_maps(model):  # around the forward of a training step of your own
        ...     scores = model(torch.rand(4, 8, 2, 2))
        >>> scores.sum().backward()
    """
    parameter = next(model.parameters(), None)
    modules = list(model.modules()) if parameter is not None and parameter.device.type == "cpu" else []
    if not any(map(concerned, modules)) or is_compiled(model, modules):
        yield
        return
    with ReplacedFunctions({functional.conv2d: convolution}):
        yield


def concerned(module: nn.Module) -> bool:
    """Say whether a module is a depthwise or pointwise convolution."""
    return isinstance(module, nn.Conv2d) and (1 < module.groups == module.in_channels or set(module.kernel_size) == {1})


def convolution(input: Tensor, weight: Tensor, *args: Any, **named: Any) -> Tensor:
    """Return `conv2d`, depthwise and pointwise ones on small maps by the rules of `danil.objectives.substitutes`."""
    special = weight.shape[1:2] == (1,) or set(weight.shape[2:]) == {1}
    small = input.dim() == 4 and max(input.shape[2:]) <= LARGEST
    wide = input.dtype in WIDE and not torch.is_autocast_enabled("cpu")
    if special and small and wide and replaceable(input, weight, *args, *named.values()):
        result = RULES[functional.conv2d](input, weight, *args, **named)
        if result is not NotImplemented:
            return result
    return functional.conv2d(input, weight, *args, **named)
