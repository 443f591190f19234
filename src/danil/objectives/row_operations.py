"""Operations that treat every image of a batch on its own, whatever else is in the batch.

For such an operation f, f(x)[rows] = f(x[rows]). Each check has the signature of its function and says whether this
call is of that kind. What is not listed counts as mixing images.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CONVOLUTIONS: frozenset[Any] = frozenset(
    {torch.conv1d, torch.conv2d, torch.conv3d, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d}
)

UNCHANGED: frozenset[Any] = frozenset(
    {torch.clone, Tensor.clone, torch.detach, Tensor.detach, Tensor.contiguous, Tensor.requires_grad_}
)

ELEMENTWISE: frozenset[Any] = frozenset(
    {
        *(F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.leaky_relu, F.elu, F.hardtanh, F.gelu),
        *(F.silu, F.hardswish, F.hardsigmoid, F.mish, F.softplus, F.sigmoid, F.tanh),
        *(torch.sigmoid, Tensor.sigmoid, Tensor.sigmoid_, torch.tanh, Tensor.tanh),
        *(torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__),
        *(torch.sub, Tensor.sub, Tensor.sub_, Tensor.__sub__, Tensor.__isub__),
        *(torch.mul, Tensor.mul, Tensor.mul_, Tensor.__mul__, Tensor.__rmul__, Tensor.__imul__),
        *(torch.div, Tensor.div, Tensor.div_, Tensor.__truediv__, Tensor.__itruediv__),
    }
)
"""Called with images of one rank, and with others that broadcast along the images."""

PLAIN = frozenset({type(None), bool, int, float, str, torch.dtype, torch.memory_format})
"""Types of arguments that are the same wherever they are equal."""


def _convolution(input: Tensor, weight: Tensor, *_: Any, **__: Any) -> bool:
    return input.dim() == weight.dim()


def _pooling(input: Tensor, *_: Any, **__: Any) -> bool:
    return input.dim() == 4


def _mean(
    input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> bool:
    dims = () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    return bool(dims) and all(d % input.dim() for d in dims)


def _flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> bool:
    return start_dim >= 1


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> bool:
    return dim % tensors[0].dim() != 0 and len({t.dim() for t in tensors}) == 1


def _pad(input: Tensor, pad: Sequence[int], *_: Any, **__: Any) -> bool:
    return len(pad) < 2 * input.dim()


def _layer_norm(input: Tensor, normalized_shape: Sequence[int], *_: Any, **__: Any) -> bool:
    return len(normalized_shape) < input.dim()


def _group_norm(*_: Any, **__: Any) -> bool:
    return True


ROW_WISE: dict[Any, Callable[..., bool]] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d, F.avg_pool2d), _pooling),
    **dict.fromkeys((F.adaptive_avg_pool2d, F.adaptive_max_pool2d), _pooling),
    **dict.fromkeys((torch.mean, Tensor.mean), _mean),
    **dict.fromkeys((torch.flatten, Tensor.flatten), _flatten),
    torch.cat: _cat,
    F.pad: _pad,
    F.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
}
"""Function → whether this call treats images one by one; its first argument alone, or all in it, depends on images."""


_OPENING: frozenset[Any] = frozenset(
    {Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.data_ptr, Tensor.untyped_storage, Tensor.storage}
)


def rows(images: Tensor, chosen: Tensor) -> Tensor:
    """Return a copy of the chosen images in the memory format of all."""
    if images.dim() != 4 or images.is_contiguous() or not images.is_contiguous(memory_format=torch.channels_last):
        return images.index_select(0, chosen)
    copy = images.new_empty((len(chosen), *images.shape[1:])).to(memory_format=torch.channels_last)
    torch.index_select(images.permute(0, 2, 3, 1), 0, chosen, out=copy.permute(0, 2, 3, 1))
    return copy


def reads_an_attribute(func: Any) -> bool:
    """Say whether what a mode was called for is no operation, but the shape or another property of a tensor."""
    return getattr(func, "__name__", "") == "__get__"


def opens_memory(func: Any) -> bool:
    """Say whether it hands out or sets memory that can change without a new version: `.data`, an array, an address."""
    owner = getattr(func, "__self__", None)
    return func in _OPENING or owner is Tensor.data or owner is Tensor.__cuda_array_interface__


def precision(device: str) -> torch.dtype | None:
    """Return what autocast computes products in, if it is on."""
    autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if autocast else None


def keeps_values(func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Say whether the result equals the first argument: a copy, or dropout that drops nothing."""
    if func is not F.dropout or not args:
        return func in UNCHANGED and bool(args)
    p, training = (*args[1:3], *(named.get(n, d) for n, d in (("p", 0.5), ("training", True))[len(args) - 1 :]))[:2]
    return not training or p == 0


def rectifies_in_place(func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Say whether the call writes the ReLU of its first argument over that argument."""
    return func in (torch.relu_, Tensor.relu_) or (
        func is F.relu and (named.get("inplace", False) or args[1:2] == (True,))
    )
