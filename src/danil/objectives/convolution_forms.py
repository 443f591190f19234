"""The forms of a convolution: what computes its output and either gradient, chosen by geometry and memory."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from danil.objectives import depthwise

FEW_PIXELS = 2048
"""Pixels of a batch up to which a matrix product is quicker than a 1 × 1 convolution."""

WIDE = (torch.float32, torch.float64)
"""Types in which PyTorch has slow kernels on a CPU that other forms are quicker than."""

_aten = torch.ops.aten


class Form(Protocol):
    """Contract a trilinear form T(x, w, g) with two of its arguments."""

    def output(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ∂T/∂g, plus the bias."""
        ...

    def input_gradient(self, w: Tensor, g: Tensor) -> Tensor:
        """Return ∂T/∂x."""
        ...

    def weight_gradient(self, x: Tensor, g: Tensor) -> Tensor:
        """Return ∂T/∂w."""
        ...


@dataclass(frozen=True)
class _Convolution:
    """Hold one convolution's arguments, transposed or not, in as many dimensions as `stride` has.

    `weight` and `input_shape` only give the kernels sizes: none of the values of `weight` is read through this.
    """

    weight: Tensor
    input_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int

    def output(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        return _aten.convolution.default(x, w, bias, *self._geometry())

    def input_gradient(self, w: Tensor, g: Tensor) -> Tensor:
        x, mask = _unread(self.input_shape, g), (True, False, False)
        return _aten.convolution_backward.default(g, x, w, None, *self._geometry(), mask)[0]

    def weight_gradient(self, x: Tensor, g: Tensor) -> Tensor:
        return _aten.convolution_backward.default(g, x, self.weight, None, *self._geometry(), (False, True, False))[1]

    def _geometry(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.transposed, self.output_padding, self.groups

    def is_linear(self) -> bool:
        """Say whether the kernel covers the whole input once, so that the convolution is one matrix product."""
        plain = not self.transposed and self.groups == 1 and not any(self.padding)
        return plain and self.input_shape[2:] == self.weight.shape[2:] and set(self.dilation) == {1}

    def is_pointwise(self) -> bool:
        """Say whether every pixel is multiplied by one matrix."""
        plain = not self.transposed and self.groups == 1 and not any(self.padding)
        return plain and set(self.weight.shape[2:]) == set(self.stride) == {1}

    def is_small_depthwise(self) -> bool:
        """Say whether this is a depthwise convolution in two dimensions whose kernel is larger than a map."""
        channels, kernel = self.input_shape[1], self.weight.shape[2:]
        if self.transposed or len(kernel) != 2 or not 1 < self.groups == channels == len(self.weight):
            return False
        each = zip(self.input_shape[2:], kernel, self.stride, self.padding, self.dilation, strict=True)
        return any(k > min(n, (n + 2 * p - d * (k - 1) - 1) // s + 1) for n, k, s, p, d in each)


class _SmallDepthwise(_Convolution):
    """Take the weight's gradient by `depthwise.weight_gradient`: oneDNN has no fast kernel on maps this small."""

    def weight_gradient(self, x: Tensor, g: Tensor) -> Tensor:
        return depthwise.weight_gradient(x, g, self.weight.shape[2:], self.stride, self.padding, self.dilation)


@dataclass(frozen=True)
class _FullConvolution:
    """Multiply by the kernel as by a matrix: what a convolution is whose kernel covers the whole input.

    Such a layer (VGG's first "fully connected" one, a squeeze's 1 × 1) is bound by the traffic of its weight, which the
    convolution kernels rearrange at every call and a matrix product reads as it is.
    """

    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]

    def output(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        product = torch.nn.functional.linear(x.flatten(1), w.flatten(1), bias)
        return _owned(product, (*product.shape, *(1 for _ in self.input_shape[2:])))

    def input_gradient(self, w: Tensor, g: Tensor) -> Tensor:
        return _owned(g.flatten(1) @ w.flatten(1), self.input_shape)

    def weight_gradient(self, x: Tensor, g: Tensor) -> Tensor:
        return _owned(g.flatten(1).t() @ x.flatten(1), self.weight_shape)


@dataclass(frozen=True)
class _Pointwise:
    """Multiply every pixel by the kernel as by a matrix: what a 1 × 1 convolution is, in channels-last memory.

    Where pixels are few, the convolution kernels take as long for rearranging the weight as for the product.
    """

    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]

    def output(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        result = self._maps(x, self.weight_shape[0])
        if bias is None:
            torch.mm(_pixels(x), w.flatten(1).t(), out=_pixels(result))
        else:
            torch.addmm(bias, _pixels(x), w.flatten(1).t(), out=_pixels(result))
        return result

    def input_gradient(self, w: Tensor, g: Tensor) -> Tensor:
        result = self._maps(g, self.weight_shape[1])
        torch.mm(_pixels(g), w.flatten(1), out=_pixels(result))
        return result

    def weight_gradient(self, x: Tensor, g: Tensor) -> Tensor:
        return _owned(_pixels(g).t() @ _pixels(x), self.weight_shape)

    def _maps(self, like: Tensor, channels: int) -> Tensor:
        shape = (self.input_shape[0], channels, *self.input_shape[2:])
        return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _pixels(maps: Tensor) -> Tensor:
    """Return maps `(B, C, H, W)` as rows `(B·H·W, C)`, without copying them from channels-last memory."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def convolution_form(x: Tensor, w: Tensor, geometry: tuple[Any, ...]) -> Form:
    """Return the quickest form of a convolution."""
    form = _Convolution(w.detach(), tuple(x.shape), *geometry)
    if form.is_linear():
        return _FullConvolution(form.input_shape, tuple(w.shape))
    if x.device.type != "cpu" or x.dtype not in WIDE:
        return form
    if form.is_small_depthwise():
        return _SmallDepthwise(form.weight, form.input_shape, *geometry)
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    if last and form.is_pointwise() and x.numel() // x.shape[1] <= FEW_PIXELS:
        return _Pointwise(form.input_shape, tuple(w.shape))
    return form


def is_matrix_product(form: Form) -> bool:
    """Say whether the form's output is a matrix product, of which PyTorch's own derivatives are bilinear already."""
    return isinstance(form, _FullConvolution)


def _owned(result: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a fresh result in another shape that is no view, so that it can be changed in place."""
    return _aten._unsafe_view.default(result, shape)


def _unread(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return memory of this shape, in the memory format of `like`, of which no kernel reads a value."""
    contiguous = like.dim() != 4 or like.is_contiguous() or not like.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.contiguous_format if contiguous else torch.channels_last
    return torch.empty(shape, device=like.device, dtype=like.dtype, memory_format=memory_format)
