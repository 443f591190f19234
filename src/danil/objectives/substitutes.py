"""The table of operations that have a substitute with cheap second derivatives.

Each rule has the signature of the function it stands for. It returns `NotImplemented` wherever its substitute would not
do exactly what PyTorch does; PyTorch's own function is then called, so a rule can be narrow but never wrong.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from danil.objectives import piecewise
from danil.objectives.bilinear import Known, convolution, frozen_normalization
from danil.objectives.smooth import GELU, HARDSWISH, SILU, Activation, smooth

Ints = int | Sequence[int]


def _tuple(value: Ints, rank: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def _strides(size: tuple[int, ...], stride: Ints | None) -> tuple[int, ...]:
    """Return the steps of a pooling window, whose default, `None` or empty, is the window itself."""
    return size if stride is None or stride in ([], ()) else _tuple(stride, 2)


def _autocast(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """Cast as autocast would before a convolution."""
    first = tensors[0]
    device = "cpu" if first is None else first.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(t if t is None or t.dtype is torch.float64 else t.to(dtype) for t in tensors)


def _convolution(rank: int) -> Callable[..., Any]:
    def rule(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Ints = 1,
        padding: str | Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        known: Known = None,
    ) -> Any:
        if input.dim() != rank + 2 or not input.numel():
            return NotImplemented
        steps, spread = _tuple(stride, rank), _tuple(dilation, rank)
        if isinstance(padding, str):
            total = [d * (k - 1) for d, k in zip(spread, weight.shape[2:], strict=True)]
            if padding == "valid":
                padding = 0
            elif padding == "same" and set(steps) == {1} and not any(t % 2 for t in total):
                padding = [t // 2 for t in total]
            else:
                return NotImplemented
        return _apply(input, weight, bias, (steps, _tuple(padding, rank), spread, False, (0,) * rank, groups), known)

    return rule


def _transposed(rank: int) -> Callable[..., Any]:
    def rule(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        dilation: Ints = 1,
        known: Known = None,
    ) -> Any:
        if input.dim() != rank + 2 or not input.numel():
            return NotImplemented
        steps, edges, extra, spread = (_tuple(v, rank) for v in (stride, padding, output_padding, dilation))
        return _apply(input, weight, bias, (steps, edges, spread, True, extra, groups), known)

    return rule


def _apply(input: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[Any, ...], known: Known) -> Any:
    x, w, b = _autocast(input, weight, bias)
    if x is None or w is None or x.dtype != w.dtype or (b is not None and b.dtype != x.dtype):
        return NotImplemented
    return convolution(x, w, b, *geometry, known=known)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if training or running_mean is None or running_var is None or not input.numel() or input.dim() < 2:
        return NotImplemented
    return frozen_normalization(input, running_mean, torch.rsqrt(running_var + eps), weight, bias)


def _changeable(input: Tensor) -> bool:
    """Say whether a Function may change this tensor in place as simply as PyTorch's own operations do."""
    return not input._is_view() and not (input.is_leaf and input.requires_grad)


def _relu(input: Tensor, inplace: bool = False) -> Any:
    return NotImplemented if inplace and not _changeable(input) else piecewise.relu(input, inplace)


def _relu_(input: Tensor) -> Any:
    return _relu(input, True)


def _relu6(input: Tensor, inplace: bool = False) -> Any:
    return _hardtanh(input, 0.0, 6.0, inplace)


def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    if min_val > max_val or (inplace and not _changeable(input)):
        return NotImplemented
    return piecewise.clamp(input, min_val, max_val, inplace)


def _leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    if inplace and (negative_slope < 0 or not _changeable(input)):
        return NotImplemented
    return piecewise.leaky_relu(input, negative_slope, inplace)


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Any:
    return NotImplemented if inplace and not _changeable(input) else piecewise.hardsigmoid(input, inplace)


def _smooth(activation: Activation) -> Callable[..., Any]:
    def rule(input: Tensor, inplace: bool = False) -> Any:
        return NotImplemented if inplace and not _changeable(input) else smooth(input, activation, inplace)

    return rule


def _gelu(input: Tensor, approximate: str = "none") -> Any:
    return smooth(input, GELU) if approximate == "none" else NotImplemented


def _max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if input.dim() != 4 or not input.numel() or return_indices:
        return NotImplemented
    size = _tuple(kernel_size, 2)
    steps = _strides(size, stride)
    return piecewise.max_pool2d(input, size, steps, _tuple(padding, 2), _tuple(dilation, 2), ceil_mode)


def _max_pool2d_of_rows(
    input: Tensor, size: Ints, stride: Ints, padding: Ints, dilation: Ints = 1, *others: Any, **named: Any
) -> Any:
    return _max_pool2d(input, size, stride, padding, (1, _tuple(dilation, 1)[0]), *others, **named)


def _avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    if input.dim() != 4 or not input.numel():
        return NotImplemented
    size = _tuple(kernel_size, 2)
    steps = _strides(size, stride)
    return piecewise.avg_pool2d(input, size, steps, _tuple(padding, 2), ceil_mode, count_include_pad, divisor_override)


def _one_dimensional(pool: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rule for `(B, C, L)` from that for `(B, C, H, W)`: pooling over a height of one."""

    def rule(
        input: Tensor, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, *others: Any, **named: Any
    ) -> Any:
        if input.dim() != 3:
            return NotImplemented
        (size,) = _tuple(kernel_size, 1)
        step = size if stride is None or stride in ([], ()) else _tuple(stride, 1)[0]
        arguments = ((1, size), (1, step), (0, _tuple(padding, 1)[0]))
        pooled = pool(input.unsqueeze(2), *arguments, *others, **named)
        return pooled if pooled is NotImplemented else pooled.squeeze(2)

    return rule


def _cells(input: Tensor, output_size: Any) -> tuple[int, ...]:
    sizes = (output_size,) * 2 if output_size is None or isinstance(output_size, int) else tuple(output_size)
    return tuple(n if s is None else s for s, n in zip(sizes, input.shape[-2:], strict=True))


def _adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Any:
    if input.dim() != 4 or not input.numel() or _cells(input, output_size) == (1, 1):  # a plain mean
        return NotImplemented
    return piecewise.adaptive_avg_pool2d(input, _cells(input, output_size))


def _adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    if input.dim() != 4 or not input.numel() or return_indices:
        return NotImplemented
    return piecewise.adaptive_max_pool2d(input, _cells(input, output_size))


RULES: dict[Any, Callable[..., Any]] = {
    torch.conv1d: _convolution(1),
    torch.conv2d: _convolution(2),
    torch.conv3d: _convolution(3),
    torch.conv_transpose1d: _transposed(1),
    torch.conv_transpose2d: _transposed(2),
    torch.conv_transpose3d: _transposed(3),
    F.batch_norm: _batch_norm,
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), _relu),
    **dict.fromkeys((torch.relu_, Tensor.relu_), _relu_),
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,
    F.leaky_relu: _leaky_relu,
    F.hardsigmoid: _hardsigmoid,
    F.silu: _smooth(SILU),
    F.hardswish: _smooth(HARDSWISH),
    F.gelu: _gelu,
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _max_pool2d),
    F.avg_pool2d: _avg_pool2d,
    F.max_pool1d: _one_dimensional(_max_pool2d_of_rows),
    F.avg_pool1d: _one_dimensional(_avg_pool2d),
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
    F.adaptive_max_pool2d: _adaptive_max_pool2d,
}
"""Function, as a model calls it → the rule that stands for it."""
