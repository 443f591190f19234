"""The context in which any network's input gradient can itself be differentiated exactly and fast."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from danil.objectives.substitutes import RULES


class _SecondOrder(TorchFunctionMode):
    """Replace each operation that has a rule by its equivalent with cheap second derivatives."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        rule = RULES.get(func)
        if rule is not None and _replaceable(args, kwargs):
            result = rule(*args, **kwargs)
            if result is not NotImplemented:
                return result
        return func(*args, **kwargs)


def _replaceable(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether a graph is recorded here for plain, real tensors; whatever is unusual stays PyTorch's own."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    if torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:  # a checkpoint replays outside
        return False
    if torch.autograd.forward_ad._current_level >= 0:
        return False
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    return any(t.requires_grad for t in tensors) and all(_plain(t) for t in tensors)


def _plain(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided and tensor.is_floating_point()


@contextmanager
def twice_differentiable(model: nn.Module) -> Generator[nn.Module]:
    """Make forwards of a network record a graph whose input gradient is exactly and cheaply differentiable again."""
    if any(isinstance(mode, _SecondOrder) for mode in torch.overrides._get_current_function_mode_stack()):
        yield model
        return
    with sdpa_kernel(SDPBackend.MATH), _SecondOrder():
        yield model
