"""The context in which any network's input gradient can itself be differentiated, exactly and fast."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack  # pyright: ignore[reportPrivateUsage]

from danil.objectives.checkpointing import refuse_checkpointing, replayed, saving_hooks
from danil.objectives.replaced_functions import unseen
from danil.objectives.substitutes import RULES

_internals: Any = torch._C  # pyright: ignore[reportPrivateUsage] # no public question answers what is asked here
_ATTENTION = (functional.scaled_dot_product_attention, functional.multi_head_attention_forward)


@contextmanager
def twice_differentiable(model: nn.Module) -> Generator[nn.Module]:
    """Make forwards of a network record a graph whose input gradient is cheap and exact to differentiate again.

    Only the forward must run inside; `torch.autograd.grad(…, create_graph=True)` and `backward` may follow outside.
    Values and derivatives of every order are those of PyTorch. Convolutions, normalisation with constant statistics,
    ReLU and its kin, SiLU, GELU and pooling get substitutes (`substitutes.RULES`), attention its math kernel; all else,
    and whatever is unusual about a call (checkpointing, functorch, tensor subclasses), stays PyTorch's own.

    Nothing about the model is touched: functions are exchanged for this thread while the context lasts. Batch
    statistics are not frozen here: a BatchNorm in train mode stays PyTorch's own, slow and coupled over the batch. Code
    that Python does not run (TorchScript, `torch.compile`) is not seen; the latter has no second derivative at all.

    Args:
        model: the network about to run. It is handed back, so that the `with` line can name it.

    Raises:
        ValueError: when the network runs attention inside `torch.utils.checkpoint`, whose replay outside of this
            context would take another kernel.

    Example:
        A gradient penalty.

        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 1))
        >>> images = torch.rand(2, 3, 4, 4, requires_grad=True)
        >>> with twice_differentiable(model):
        ...     scores = model(images)
        >>> (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        >>> gradient.square().sum().backward()
        >>> model[0].weight.grad.shape
        torch.Size([4, 3, 3, 3])
    """
    if any(isinstance(mode, _SecondOrder) for mode in _get_current_function_mode_stack()):
        yield model
        return
    with sdpa_kernel(SDPBackend.MATH), _SecondOrder():
        yield model


class _SecondOrder(TorchFunctionMode):
    """Call an operation's substitute where it has one that applies."""

    def __init__(self) -> None:
        super().__init__()
        self._outer = saving_hooks()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in _ATTENTION and replayed(self._outer):
            refuse_checkpointing(
                "around attention, which a replay outside would compute by a kernel without second derivative"
            )
        rule = RULES.get(func)
        if rule is not None:
            with unseen():
                result = rule(*args, **named) if replaceable(*args, *named.values()) else NotImplemented
            if result is not NotImplemented:
                return result
        return func(*args, **named)


def replaceable(*arguments: Any) -> bool:
    """Say whether an ordinary graph of plain floating-point tensors is being recorded."""
    tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
    return (
        torch.is_grad_enabled()
        and any(tensor.requires_grad for tensor in tensors)
        and all(_is_plain(tensor) for tensor in tensors)
        and not torch.compiler.is_compiling()
        and not _internals._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0  # pyright: ignore[reportPrivateUsage]
        # Where saved tensors are intercepted, a checkpoint may replay the forward later, outside of this context.
        and _internals._autograd._top_saved_tensors_default_hooks(True) is None
    )


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided and tensor.is_floating_point()
