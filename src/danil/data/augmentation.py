"""Random variation of training images: whole batches at once, reproducible image by image."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

DRAWS = 12
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
LUMA = (0.299, 0.587, 0.114)
YIQ = np.array([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
RGB = np.linalg.inv(YIQ)
GREY = RGB[:, :1] @ YIQ[:1]
CHROMA = RGB[:, 1:] @ YIQ[1:]
QUARTER = RGB[:, 1:] @ [[0.0, -1.0], [1.0, 0.0]] @ YIQ[1:]


class Strengths(Protocol):
    """Say how much training images vary; the recipe's section `augment` is one."""

    @property
    def flip(self) -> bool: ...  # noqa: D102
    @property
    def rotate90(self) -> bool: ...  # noqa: D102
    @property
    def rotate(self) -> float: ...  # noqa: D102
    @property
    def scale(self) -> float: ...  # noqa: D102
    @property
    def crop(self) -> float: ...  # noqa: D102
    @property
    def brightness(self) -> float: ...  # noqa: D102
    @property
    def contrast(self) -> float: ...  # noqa: D102
    @property
    def saturation(self) -> float: ...  # noqa: D102
    @property
    def hue(self) -> float: ...  # noqa: D102


BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
"""The largest float32 below 1, to which draws are bounded: the conversion rounds the largest of them up."""


@dataclass(frozen=True)
class Augmentation:
    """Hold the strengths of the variation; 0 or `False` switches one off.

    `flip`: mirror left-right in half of the images. `rotate90`: turn by 0, 90, 180 or 270°. `rotate`: turn by up to
    ± these degrees more. `scale`: enlarge or shrink by a factor within 1 ± scale. What lies outside an image repeats
    its edge. `crop`: show a window whose
    sides are shorter by up to this share (the aspect changes by up to half of it). `brightness`, `contrast`,
    `saturation`: a factor within 1 ± strength. `hue`: a turn of the colour circle by up to ± this part of it.
    """

    flip: bool = True
    rotate90: bool = True
    crop: float = 0.15
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    hue: float = 0.02
    rotate: float = 0.0
    scale: float = 0.0


def augmented(images: Tensor, size: int, chance: np.ndarray[Any, Any], strengths: Strengths) -> Tensor:
    """Return varied images `(B, 3, S, S)` uint8 of images `(B, 3, P, P)` uint8.

    Each image's result depends on its own pixels and its own row of `chance` alone, to the bit: not on its batch. All
    colour changes are one linear map of RGB (hue turns the chroma plane of YIQ), followed by rounding and clamping.

    Args:
        images: on any device.
        size: S, in pixels.
        chance: numbers in [0, 1), shape `(B, 12)`, from `uniforms`.
        strengths: how much to vary.
    """
    below = np.minimum(chance.astype(np.float32), BELOW_ONE)
    u = torch.from_numpy(below).to(images.device).unbind(1)
    view = viewed(images, size, u, strengths)
    if not (strengths.brightness or strengths.contrast or strengths.saturation or strengths.hue):
        return view.round_().clamp_(0, 255).to(torch.uint8)
    matrix, offset = colour_map(images, u, strengths)
    red, green, blue = view.unbind(1)
    out = torch.empty_like(view)
    for channel in range(3):
        row = [matrix[:, channel, source].view(-1, 1, 1) for source in range(3)]
        torch.mul(red, row[0], out=out[:, channel])
        out[:, channel].add_(green * row[1]).add_(blue * row[2]).add_(offset.view(-1, 1, 1))
    return out.round_().clamp_(0, 255).to(torch.uint8)


def viewed(images: Tensor, size: int, u: tuple[Tensor, ...], strengths: Strengths) -> Tensor:
    """Return windows of the images, mirrored and turned, `(B, 3, S, S)` float32, sampled bilinearly."""
    scale = 1 - strengths.crop * u[2]
    aspect = torch.exp(strengths.crop / 4 * (2 * u[3] - 1))
    wide, high = (scale * aspect).clamp(max=1), (scale / aspect).clamp(max=1)
    turn = (4 * u[1]).long() if strengths.rotate90 else torch.zeros_like(u[1]).long()
    cosine = torch.tensor([1.0, 0.0, -1.0, 0.0], device=images.device)[turn]
    sine = torch.tensor([0.0, 1.0, 0.0, -1.0], device=images.device)[turn]
    if strengths.rotate:
        angle = math.radians(strengths.rotate) * (2 * u[10] - 1)
        cosine, sine = cosine * angle.cos() - sine * angle.sin(), sine * angle.cos() + cosine * angle.sin()
    zoom = 1 / (1 + strengths.scale * (2 * u[11] - 1))
    mirror = torch.where(u[0] < 0.5, -1.0, 1.0) if strengths.flip else torch.ones_like(u[0])
    line = (torch.arange(size, device=images.device) * 2 + 1) / size - 1
    grid = images.new_empty((len(images), size, size, 2), dtype=torch.float32)

    def lay(axis: int, across: Tensor, down: Tensor, middle: Tensor) -> None:
        row = across.unsqueeze(1) * line + middle.unsqueeze(1)
        column = down.unsqueeze(1) * line
        torch.add(row.unsqueeze(1), column.unsqueeze(2), out=grid[..., axis])

    across, down = wide * zoom, high * zoom
    lay(0, across * cosine * mirror, -across * sine, (1 - wide) * (2 * u[4] - 1))
    lay(1, down * sine * mirror, down * cosine, (1 - high) * (2 * u[5] - 1))
    return functional.grid_sample(images.float(), grid, "bilinear", "border", align_corners=False)


def colour_map(images: Tensor, u: tuple[Tensor, ...], strengths: Strengths) -> tuple[Tensor, Tensor]:
    """Return each image's RGB matrix `(B, 3, 3)` and grey offset `(B,)`; contrast turns about the image's mean grey."""
    exact = torch.int32 if images.shape[2] * images.shape[3] < 2**23 else torch.int64
    sums = images.sum((2, 3), dtype=exact)
    grey = sum(weight * sums[:, channel] for channel, weight in enumerate(LUMA)) / (images.shape[2] * images.shape[3])
    bright, contrast, saturation = (
        1 + strength * (2 * draw - 1)
        for strength, draw in zip((strengths.brightness, strengths.contrast, strengths.saturation), u[6:9], strict=True)
    )
    angle = 2 * math.pi * strengths.hue * (2 * u[9] - 1)
    grey_part, chroma_part, quarter_part = (
        torch.from_numpy(part.astype(np.float32)).to(images.device).unsqueeze(0) for part in (GREY, CHROMA, QUARTER)
    )

    def each(values: Tensor) -> Tensor:
        return values.view(-1, 1, 1)

    # Saturation scales the chroma plane, hue turns it: both leave the grey axis, and so they share one formula.
    chroma = each(saturation * angle.cos()) * chroma_part + each(saturation * angle.sin()) * quarter_part
    matrix = each(bright * contrast) * (grey_part + chroma)
    return matrix, (1 - contrast) * bright * grey


def uniforms(seed: int, epoch: int, indices: np.ndarray[Any, Any], turns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return numbers in [0, 1), shape `(B, 12)` float64, a pure function of seed, epoch, image index and turn.

    `turns` counts an image's earlier appearances in the epoch, so that a repeated image varies. SplitMix64 (Steele, Lea
    & Flood 2014) as a counter-based generator: no state, no order.
    """
    state = mixed(np.full(len(indices), seed % 2**64, dtype=np.uint64))
    for key in (np.full(len(indices), epoch), indices, turns):
        state = mixed(state ^ np.asarray(key).astype(np.int64).astype(np.uint64))
    draws = mixed(state[:, None] + GOLDEN * np.arange(1, DRAWS + 1, dtype=np.uint64))
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mixed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return SplitMix64's output function of 64-bit words."""
    words = values + GOLDEN
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
