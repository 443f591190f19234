"""Smooth activations whose second derivative is one closed form instead of a graph of temporaries."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """Hold an activation f(x), the same in place, its gradient (g, x) → g · f′(x), its curvature (u, x) → u · f″(x)."""

    value: Callable[[Tensor], Tensor]
    value_in_place: Callable[[Tensor], Tensor] | None
    gradient: Callable[[Tensor, Tensor], Tensor]
    curvature: Callable[[Tensor, Tensor], Tensor]


def _silu_curvature(u: Tensor, x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return _aten.sigmoid_backward.default(u * torch.addcmul(x + 2, x, s, value=-2), s)  # f″ = s(1 − s)(2 + x(1 − 2s))


def _gelu_curvature(u: Tensor, x: Tensor) -> Tensor:
    square = x * x
    return u * (2 - square) * torch.exp(-0.5 * square) * (2 * math.pi) ** -0.5  # f″ = (2 − x²) φ(x)


def _hardswish_curvature(u: Tensor, x: Tensor) -> Tensor:
    return torch.where((x > -3) & (x < 3), u / 3, 0)


SILU = Activation(_aten.silu.default, _aten.silu_.default, _aten.silu_backward.default, _silu_curvature)
GELU = Activation(_aten.gelu.default, None, _aten.gelu_backward.default, _gelu_curvature)
HARDSWISH = Activation(
    _aten.hardswish.default, _aten.hardswish_.default, _aten.hardswish_backward.default, _hardswish_curvature
)


def smooth(x: Tensor, activation: Activation, in_place: bool = False) -> Tensor:
    """Return the activation of x, differentiable to any order; `in_place` writes it into x."""
    return cast(Tensor, _Value.apply(x.clone() if in_place else x, activation, x if in_place else None))


class _Value(torch.autograd.Function):
    """f(x), in a new tensor or in `place`, a tensor equal to x on whose old values nothing depends any more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Activation, place: Tensor | None) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.activation = activation
        ctx.save_for_backward(x)
        if place is None:
            return activation.value(x)
        assert activation.value_in_place is not None
        ctx.mark_dirty(place)
        return activation.value_in_place(place)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        (g,) = grads
        (x,) = ctx.saved_tensors
        return None if g is None else _Gradient.apply(g, x, ctx.activation), None, None


class _Gradient(torch.autograd.Function):
    """g · f′(x), linear in g."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, activation: Activation) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.activation = activation
        ctx.save_for_backward(g, x)
        return activation.gradient(g, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        (v,) = grads
        if v is None:
            return None, None, None
        g, x = ctx.saved_tensors
        return _Gradient.apply(v, x, ctx.activation), ctx.activation.curvature(g * v, x), None
