"""By what one call of a BatchNorm layer normalised, as its kernel saved it or as it wrote it to its buffers."""

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the layer's kernel saved for its own backward, `(C,)` both, and how many rows it was called on."""

    mean: Tensor
    inverse_std: Tensor
    rows: int

    def moments(self, input: Tensor, eps: float, images: int) -> tuple[Tensor, Tensor]:
        """Return the batch's mean and 1 / √(variance + eps)."""
        del input, eps, images
        return self.mean, self.inverse_std


class Written(NamedTuple):
    """What a layer wrote to its running statistics at momentum 1: the mean and the unbiased variance of `images`."""

    mean: Tensor
    variance: Tensor
    images: Tensor | int
    rows: int = 0  # which nothing shows

    def moments(self, input: Tensor, eps: float, images: int) -> tuple[Tensor, Tensor]:
        """Return the same; `input` of `images`, in another pass, has as many values per image and channel."""
        count = self.images * (input.numel() / (images * input.shape[1]))
        return self.mean, torch.rsqrt(self.variance * ((count - 1) / count) + eps)
