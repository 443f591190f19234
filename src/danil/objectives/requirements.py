"""What the distractor-aware loss asks of its options, the images and the network, and what it says where that lacks."""

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

from torch import Tensor, nn
from torch.nn import SyncBatchNorm
from torch.nn.parameter import is_lazy

from danil.objectives.cross_entropy import CrossEntropy
from danil.objectives.image_loss import ImageLoss
from danil.objectives.ranks import distributed_run


def choice(name: str, value: Any, choices: Any) -> Any:
    """Return an option's value, one of the literal type's."""
    if value not in get_args(choices):
        raise ValueError(f"`{name}` is {value!r}; one of {', '.join(map(repr, get_args(choices)))} is needed.")
    return value


def number(name: str, value: float, *, positive: bool) -> float:
    """Return an option's value, finite and not negative, or positive."""
    try:
        finite = math.isfinite(value)
    except TypeError:
        raise TypeError(f"`{name}` is {value!r}, a {type(value).__name__}; a number is needed.") from None
    if not (finite and (value > 0 or (value == 0 and not positive))):
        raise ValueError(f"`{name}` is {value}; a finite number {'> 0' if positive else '≥ 0'} is needed.")
    return value


def with_hard_labels(base: ImageLoss) -> ImageLoss:
    """Return the base loss, which must not smooth labels."""
    smoothing = next(
        (m.label_smoothing for m in base.modules() if isinstance(m, CrossEntropy) and m.label_smoothing), 0
    )
    if smoothing:
        raise ValueError(
            f"`base` has `label_smoothing={smoothing}`: a smoothed label has no single class, so A⁺ and A⁻ are "
            "undefined. Use `label_smoothing=0` with DistractorAware."
        )
    return base


def check_module(model: object) -> None:
    """Refuse a function in place of a network, whose layers and parameters nobody could see.

    Raises:
        TypeError: it is no `torch.nn.Module`.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"`model` is a {type(model).__name__}; a `torch.nn.Module` is needed, whose layers run again in eval mode. "
            "Give the network itself, or a module that has it as an attribute."
        )


def check_images(images: Tensor, layer: str | None) -> None:
    """Refuse images at which no gradient can be taken.

    Raises:
        ValueError: they are not of a floating dtype, and maps are taken at them.
    """
    if layer is None and not images.is_floating_point():
        raise ValueError(
            f"`images` is {images.dtype}; response maps are gradients at the images, which need a floating dtype. "
            "Scale and normalise them before the network (`images.float() / 255`), or name with `layer=` a module "
            "behind its own conversion."
        )


def check_network(model: nn.Module) -> None:
    """Refuse what is no network, and one that was made in inference mode: it has no derivative anywhere.

    Raises:
        TypeError: it is no `torch.nn.Module`.
        ValueError: naming the first such tensor.
    """
    check_module(model)
    named = (*model.named_parameters(), *model.named_buffers())
    made = next((name for name, tensor in named if not is_lazy(tensor) and tensor.is_inference()), None)
    if made is not None:
        raise ValueError(
            f"`{made}` of the network was made inside `torch.inference_mode()`, where nothing can be differentiated, "
            "now or later. Make or load the network outside; the loss itself may be computed inside."
        )


def check_coupled(modules: Sequence[nn.Module]) -> None:
    """Refuse the coupled pass where it talks to other processes: those without a wrong image take no second gradient.

    Raises:
        ValueError: a SyncBatchNorm is in train mode in a distributed run.
    """
    if distributed_run() and any(isinstance(m, SyncBatchNorm) and m.training for m in modules):
        raise ValueError(
            "normalization='coupled' takes gradients through SyncBatchNorm's exchange between processes, in which one "
            "without a wrong image would not take part: the others would wait for it forever. "
            "Use normalization='frozen' or 'running'."
        )


@contextmanager
def unwritten(images: Tensor) -> Generator[None]:
    """Refuse a first pass that writes to the images it receives, from which the second pass starts.

    Raises:
        ValueError: it did.
    """
    before = _version(images)
    yield
    if _version(images) != before:
        raise ValueError(
            "the network writes to `images` in place (as `x.sub_(mean)` does), so that its second pass would start "
            "from changed images. Let it compute `x = x - mean` instead, or begin with `x = x.clone()`."
        )


def _version(images: Tensor) -> int:
    return 0 if images.is_inference() else images._version
