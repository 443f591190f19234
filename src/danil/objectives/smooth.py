"""Smooth activations whose second derivative is one closed form instead of a graph of temporaries."""

from typing import Any, Protocol, cast

import torch
from torch import Tensor

_aten = torch.ops.aten


class Activation(Protocol):
    """Give an activation and its two derivatives."""

    def value(self, x: Tensor) -> Tensor: ...
    def gradient(self, g: Tensor, x: Tensor) -> Tensor: ...
    def curvature(self, x: Tensor) -> Tensor: ...


class SiLU:
    """x · σ(x)."""

    def value(self, x: Tensor) -> Tensor:
        return _aten.silu.default(x)

    def gradient(self, g: Tensor, x: Tensor) -> Tensor:
        return _aten.silu_backward.default(g, x)

    def curvature(self, x: Tensor) -> Tensor:
        s = torch.sigmoid(x)
        return s * (1 - s) * (2 + x * (1 - 2 * s))


class GELU:
    """x · Φ(x), the exact form."""

    def value(self, x: Tensor) -> Tensor:
        return _aten.gelu.default(x)

    def gradient(self, g: Tensor, x: Tensor) -> Tensor:
        return _aten.gelu_backward.default(g, x)

    def curvature(self, x: Tensor) -> Tensor:
        square = x * x
        return (2 - square) * torch.exp(-0.5 * square) * 0.3989422804014327


class Hardswish:
    """x · clip(x / 6 + 1 / 2, 0, 1)."""

    def value(self, x: Tensor) -> Tensor:
        return _aten.hardswish.default(x)

    def gradient(self, g: Tensor, x: Tensor) -> Tensor:
        return _aten.hardswish_backward.default(g, x)

    def curvature(self, x: Tensor) -> Tensor:
        return (x.abs() < 3).to(x.dtype) / 3


class _Value(torch.autograd.Function):
    """f(x), into a new tensor or into `place`, which is then no argument of f."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Activation, place: Tensor | None) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.activation = activation
        ctx.save_for_backward(x)
        value = activation.value(x)
        if place is None:
            return value
        ctx.mark_dirty(place)
        return place.copy_(value)

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
        return _Gradient.apply(v, x, ctx.activation), ctx.activation.curvature(x) * (g * v), None


def smooth(x: Tensor, activation: Activation, in_place: bool = False) -> Tensor:
    """Return the activation of x, differentiable to any order; `in_place` writes it into x."""
    return cast(Tensor, _Value.apply(x.clone() if in_place else x, activation, x if in_place else None))
