"""Weight gradients of depthwise convolutions on maps smaller than the kernel.

oneDNN, which computes PyTorch's convolutions on CPUs, has no fast kernel for these: seven layers of an EfficientNet-b0
at 64 px took a quarter of a training step or more (benchmarks/small_maps.py). The gradient is short to write down: each
weight of a channel meets few pairs of pixels, so it is a handful of products of whole slices, summed over images and
pixels.
"""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor


def weight_gradient(
    x: Tensor, g: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """Return the gradient `(C, 1, k, l)` of the weight of a depthwise convolution.

    Args:
        x: input `(B, C, H, W)`.
        g: gradient of the output `(B, C, h, w)`.
        kernel: (k, l).
        stride: of the convolution, for both axes.
        padding: in pixels, for both axes.
        dilation: for both axes.
    """
    axes = zip(x.shape[2:], g.shape[2:], kernel, stride, padding, dilation, strict=True)
    down, across = ([slices(n, m, i, s, p, d) for i in range(k)] for n, m, k, s, p, d in axes)
    x, g = x.permute(0, 2, 3, 1), g.permute(0, 2, 3, 1)
    found = x.new_zeros(*kernel, x.shape[3])
    for (i, rows), (j, columns) in product(enumerate(down), enumerate(across)):
        if rows is not None and columns is not None:
            torch.sum(x[:, rows[0], columns[0]] * g[:, rows[1], columns[1]], (0, 1, 2), out=found[i, j])
    return found.permute(2, 0, 1).unsqueeze(1)


def slices(
    inputs: int, outputs: int, place: int, stride: int, padding: int, dilation: int
) -> tuple[slice, slice] | None:
    """Return which inputs, along one axis, the weight at a place of the kernel meets, and for which outputs."""
    offset = place * dilation - padding
    first = max(0, -(offset // stride))
    last = min(outputs - 1, (inputs - 1 - offset) // stride)
    if first > last:
        return None
    return slice(offset + first * stride, offset + last * stride + 1, stride), slice(first, last + 1)
