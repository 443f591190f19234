"""Activations and pooling that are linear between their kinks, differentiable twice without a wasted pass.

Their second derivative is zero. PyTorch returns that zero as a tensor (`threshold_backward`, the backwards of pooling),
and the tensor then travels back through the whole network for nothing. Here slopes, indices and windows are constants,
so the gradient of the gradient has no edge to the input at all.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

_aten = torch.ops.aten


class _Linear(torch.autograd.Function):
    """Apply a linear `operator` that depends on constants; its derivative is `adjoint`, and so on in turn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: Callable[..., Tensor], adjoint: Any, *constants: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*constants)
        ctx.operator, ctx.adjoint = operator, adjoint
        return operator(x, *constants)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        (g,) = grads
        constants = ctx.saved_tensors
        x = None if g is None else _Linear.apply(g, ctx.adjoint, ctx.operator, *constants)
        return x, None, None, *(None for _ in constants)


class _Kinked(torch.autograd.Function):
    """Evaluate a function that is linear around its input, together with the constants of that linear map."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, evaluate: Callable[..., Any], operator: Any, adjoint: Any, changes: bool
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        value, *constants = evaluate(x)
        if changes:
            ctx.mark_dirty(x)
        ctx.save_for_backward(*constants)
        ctx.operator, ctx.adjoint = operator, adjoint
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        (g,) = grads
        x = None if g is None else _Linear.apply(g, ctx.adjoint, ctx.operator, *ctx.saved_tensors)
        return x, None, None, None, None


def _kinked(x: Tensor, evaluate: Any, operator: Any, adjoint: Any, changes: bool = False) -> Tensor:
    return cast(Tensor, _Kinked.apply(x, evaluate, operator, adjoint, changes))


def relu(x: Tensor, in_place: bool = False) -> Tensor:
    """Return max(x, 0)."""

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        active = _bytes(x > 0)
        return (torch.relu_(x) if in_place else torch.relu(x)), active

    return _kinked(x, evaluate, _pass, _pass, in_place)


def leaky_relu(x: Tensor, slope: float, in_place: bool = False) -> Tensor:
    """Return x where it is positive and slope · x elsewhere."""

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        active = _bytes(x > 0)
        return (_aten.leaky_relu_ if in_place else _aten.leaky_relu).default(x, slope), active

    tilt = partial(_tilt, slope=slope)
    return _kinked(x, evaluate, tilt, tilt, in_place)


def clamp(x: Tensor, low: float, high: float, in_place: bool = False) -> Tensor:
    """Return `hardtanh`: x clipped to [low, high], with slope 0 on both bounds as in PyTorch."""

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        active = _bytes((x > low) & (x < high))
        return (_aten.hardtanh_ if in_place else _aten.hardtanh).default(x, low, high), active

    return _kinked(x, evaluate, _pass, _pass, in_place)


def hardsigmoid(x: Tensor, in_place: bool = False) -> Tensor:
    """Return x / 6 + 1 / 2 clipped to [0, 1]."""

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        active = _bytes((x > -3) & (x < 3))
        return (_aten.hardsigmoid_ if in_place else _aten.hardsigmoid).default(x), active

    return _kinked(x, evaluate, _sixth, _sixth, in_place)


def _bytes(mask: Tensor) -> Tensor:
    return mask.view(torch.uint8)


def _pass(g: Tensor, active: Tensor) -> Tensor:
    """Return g where active, else 0: a selection, because a product would make NaN of an infinite g."""
    return _aten.threshold_backward.default(g, active.to(g.dtype), 0)


def _tilt(g: Tensor, active: Tensor, slope: float) -> Tensor:
    return _aten.leaky_relu_backward.default(g, active.to(g.dtype), slope, False)


def _sixth(g: Tensor, active: Tensor) -> Tensor:
    return _pass(g, active).div_(6)


def max_pool2d(
    x: Tensor, size: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], ceil: bool
) -> Tensor:
    """Return each window's largest value; its place is a constant of the derivative. x is `(B, C, H, W)`."""
    window = (list(size), list(stride), list(padding), list(dilation), ceil)

    def scatter(g: Tensor, indices: Tensor) -> Tensor:
        return _aten.max_pool2d_with_indices_backward.default(g, _like(g, x_shape), *window, indices)

    x_shape = x.shape
    return _kinked(x, lambda x: _aten.max_pool2d_with_indices.default(x, *window), _gather, scatter)


def adaptive_max_pool2d(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return the largest value of each of `size` cells of `(B, C, H, W)`."""

    def scatter(g: Tensor, indices: Tensor) -> Tensor:
        return _aten.adaptive_max_pool2d_backward.default(g, _like(g, x_shape), indices)

    x_shape = x.shape
    return _kinked(x, lambda x: _aten.adaptive_max_pool2d.default(x, list(size)), _gather, scatter)


def _gather(v: Tensor, indices: Tensor) -> Tensor:
    return v.flatten(2).gather(2, indices.flatten(2)).view(indices.shape)


def avg_pool2d(
    x: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil: bool,
    include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """Return each window's mean over `(B, C, H, W)`."""
    window = (list(size), list(stride), list(padding), ceil, include_pad, divisor)

    def pool(x: Tensor) -> Tensor:
        return _aten.avg_pool2d.default(x, *window)

    def spread(g: Tensor) -> Tensor:
        return _aten.avg_pool2d_backward.default(g, _like(g, x_shape), *window)

    x_shape = x.shape
    return cast(Tensor, _Linear.apply(x, pool, spread))


def adaptive_avg_pool2d(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return the mean of each of `size` cells of `(B, C, H, W)`."""

    def pool(x: Tensor) -> Tensor:
        return _aten._adaptive_avg_pool2d.default(x, list(size))

    def spread(g: Tensor) -> Tensor:
        return _aten._adaptive_avg_pool2d_backward.default(g, _like(g, x_shape))

    x_shape = x.shape
    return cast(Tensor, _Linear.apply(x, pool, spread))


def _like(g: Tensor, shape: torch.Size) -> Tensor:
    """Return a tensor of this shape, in the memory format of g, whose values no kernel reads."""
    nhwc = not g.is_contiguous() and g.is_contiguous(memory_format=torch.channels_last)
    return g.new_empty(shape).to(memory_format=torch.channels_last) if nhwc else g.new_empty(shape)
