"""Bilinear operations whose every derivative is again one cheap bilinear operation.

A convolution and a multiplication per channel are each read off a trilinear form T(x, w, g) = ⟨g, x ∗ w⟩: the output is
∂T/∂g, the gradient of the input ∂T/∂x, the gradient of the weight ∂T/∂w. The derivative of each of the three is made of
the other two, to any order, so none ever needs PyTorch's slow `_convolution_double_backward`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from danil.objectives.convolution_forms import Form, convolution_form, is_matrix_product

INPUT, WEIGHT, OUTPUT = 0, 1, 2

Known = Callable[[], Tensor] | None  # how to get at an output that need not be computed

_aten = torch.ops.aten


def convolution(x: Tensor, w: Tensor, bias: Tensor | None, *geometry: Any, known: Known = None) -> Tensor:
    """Return the convolution of x `(B, C, …)` with w; `geometry` as in `aten::convolution`.

    With `known`, its result, a fresh tensor, is taken for the output, and only the graph is recorded.
    """
    form = convolution_form(x, w, geometry)
    if known is None and is_matrix_product(form):
        return form.output(x, w, bias)
    return bilinear(form, x, w, bias, known)


@dataclass(frozen=True)
class _ChannelScale:
    """Multiply channel c (dimension 1) by w[c], in the fused kernel of batch normalisation (mean 0, variance 1)."""

    zeros: Tensor
    ones: Tensor

    def output(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        return _aten.native_batch_norm.default(x, w, bias, self.zeros, self.ones, False, 0.0, 0.0)[0]

    def input_gradient(self, w: Tensor, g: Tensor) -> Tensor:
        return self.output(g, w)

    def weight_gradient(self, x: Tensor, g: Tensor) -> Tensor:
        if x.shape[0] == 1:  # the CPU kernel mixes up the strides of a single image where the two tensors' differ
            x, g = x.contiguous(), g.contiguous()
        statistics = self.zeros, self.ones, None, None, False, 0.0
        return _aten.native_batch_norm_backward.default(g, x, None, *statistics, (False, True, False))[1]


class _Contraction(torch.autograd.Function):
    """Contract a form with two of its three arguments, `missing` being the third."""

    @staticmethod
    def forward(ctx: Any, form: Form, missing: int, a: Tensor, b: Tensor, bias: Tensor | None, known: Known) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, b)
        ctx.form, ctx.missing = form, missing
        if missing == OUTPUT:
            return form.output(a, b, bias) if known is None else known()
        return form.weight_gradient(a, b) if missing == WEIGHT else form.input_gradient(a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        (v,) = grads
        if v is None:
            return None, None, None, None, None, None
        a, b = ctx.saved_tensors
        i, j = (slot for slot in (INPUT, WEIGHT, OUTPUT) if slot != ctx.missing)
        known: dict[int, Tensor] = {i: a, j: b, ctx.missing: v}
        needed = needed_gradients(ctx)
        grad_a = _contract(ctx.form, i, known) if needed[0] else None
        grad_b = _contract(ctx.form, j, known) if needed[1] else None
        grad_bias = v.sum([d for d in range(v.dim()) if d != 1]) if needed[2:] == [True] else None
        return None, None, grad_a, grad_b, grad_bias, None


def _contract(form: Form, missing: int, known: Mapping[int, Tensor]) -> Tensor:
    a, b = (known[slot] for slot in (INPUT, WEIGHT, OUTPUT) if slot != missing)
    scaled = _channel_scaled(b) if missing == INPUT else None
    if scaled is not None:
        return cast(Tensor, _ScaledInputGradient.apply(form, a, *scaled, b.detach()))
    return cast(Tensor, _Contraction.apply(form, missing, a, b, None, None))


def _channel_scaled(g: Tensor) -> tuple[_ChannelScale, Tensor, Tensor] | None:
    """Return (product, scale, gradient) if g is their product, straight from a normalisation's derivative."""
    node: Any = g.grad_fn
    if not isinstance(getattr(node, "form", None), _ChannelScale) or node.missing != INPUT:
        return None
    try:
        return node.form, *node.saved_tensors
    except RuntimeError:  # g comes from an older graph, already freed
        return None


class _ScaledInputGradient(torch.autograd.Function):
    """Take an input gradient for scale · g, keeping g alone: the product is cheap to make again and large to keep."""

    @staticmethod
    def forward(
        ctx: Any, form: Form, w: Tensor, product: _ChannelScale, scale: Tensor, g: Tensor, scaled: Tensor
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(w, scale, g)
        ctx.form, ctx.product = form, product
        return form.input_gradient(w, scaled)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        (v,) = grads
        if v is None:
            return None, None, None, None, None, None
        w, scale, g = ctx.saved_tensors
        needed = needed_gradients(ctx)
        grad_w = grad_scale = grad_g = None
        if needed[0]:
            again = bilinear(ctx.product, g, scale)
            grad_w = _contract(ctx.form, WEIGHT, {INPUT: v, OUTPUT: again})
        if needed[1] or needed[2]:
            u = _contract(ctx.form, OUTPUT, {INPUT: v, WEIGHT: w})
            grad_scale = _contract(ctx.product, WEIGHT, {INPUT: u, OUTPUT: g}) if needed[1] else None
            grad_g = bilinear(ctx.product, u, scale) if needed[2] else None
        return None, grad_w, None, grad_scale, grad_g, None


def bilinear(form: Form, x: Tensor, w: Tensor, bias: Tensor | None = None, known: Known = None) -> Tensor:
    """Return x ∗ w (+ bias), differentiable to any order at the cost of the form's own three kernels."""
    return cast(Tensor, _Contraction.apply(form, OUTPUT, x, w, bias, known))


def needed_gradients(ctx: Any) -> list[bool]:
    """Say, for each tensor argument of a Function in its backward, whether the engine will use its gradient.

    `ctx.needs_input_grad` only says which arguments require gradients; `torch.autograd.grad(y, images)` needs no
    gradient of a weight, and computing it all the same would cost a third of the pass.
    """
    return [node is not None and _will_execute(node) for node, _ in ctx.next_functions]


def _will_execute(node: Any) -> bool:
    try:
        return torch._C._will_engine_execute_node(node)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    except RuntimeError:  # what the engine answers for a leaf that the caller asked for
        return True


def frozen_normalization(
    input: Tensor, mean: Tensor, inverse_std: Tensor, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    """Return (input − mean) · inverse_std · weight + bias per channel, with constant statistics.

    This is batch normalisation in eval mode: one multiply-add per channel, and derivatives to any order that are as
    cheap. No gradient reaches `mean` or `inverse_std` unless they themselves require one.

    Args:
        input: `(B, C, …)`, at least two dimensions.
        mean: `(C,)`.
        inverse_std: `(C,)`, 1 / √(variance + eps).
        weight: `(C,)` or `None` for 1.
        bias: `(C,)` or `None` for 0.

    Returns:
        A tensor of the shape and dtype of `input`.
    """
    scale = inverse_std if weight is None else weight * inverse_std
    shift = -mean * scale if bias is None else torch.addcmul(bias, mean, scale, value=-1)
    dtype = torch.promote_types(input.dtype, torch.float32)  # sums over pixels need float32 at least
    scale, shift = scale.to(dtype), shift.to(dtype)
    return bilinear(_ChannelScale(torch.zeros_like(shift), torch.ones_like(shift)), input, scale, shift)
