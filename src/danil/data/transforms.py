"""From an image of any shape to the square a network sees."""

import functools
import threading
import warnings
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from danil.data.fundus_disk import cropped, evened, found_disk

Fit = Literal["crop", "stretch", "pad"]
Preprocess = Literal["none", "fundus"]
NO_DISK = (
    "`data.preprocess` is `fundus`, but in some images no disk of a retina on a black or grey ground was found; they "
    "are only resized. For other kinds of images set `data.preprocess=none`."
)

ONE_AT_A_TIME = threading.Lock()


@functools.cache
def warn_of_no_disk() -> None:
    """Warn once a process, whatever the filters of warnings forget in between."""
    warnings.warn(NO_DISK, stacklevel=2)


def squared(
    image: Image.Image,
    size: int,
    fit: Fit = "crop",
    preprocess: Preprocess = "none",
    like: Image.Image | None = None,
) -> Tensor:
    """Return an RGB image as `(3, S, S)` uint8, as the network is to see it: preprocessed, then resized.

    `fundus` crops to the retina's disk, rescales it to radius S/2 and evens out its local colour (see
    `danil.data.fundus_disk`); an image without such a disk is resized alone, and a warning says so, once.

    Args:
        image: 8-bit RGB, as `read_image` returns it.
        size: S, in pixels.
        fit: how an image becomes square, as in `resized`.
        preprocess: `none` or `fundus`.
        like: give `image`, a mask, the geometry of this photograph, and leave its values alone.
    """
    if preprocess == "none":
        return resized(image, size, fit)
    disk = found_disk(image if like is None else like)
    if disk is None:
        with ONE_AT_A_TIME:
            warn_of_no_disk()
        return resized(image, size, fit)
    square = evened(image, disk, size) if like is None else cropped(image, disk, size, (0, 0, 0))
    return resized(square, size)


def resized(image: Image.Image, size: int, fit: Fit = "crop") -> Tensor:
    """Return an RGB image as `(3, S, S)` uint8, resampled bilinearly with antialiasing.

    Args:
        image: 8-bit RGB, as `read_image` returns it.
        size: S, in pixels.
        fit: `crop` takes the largest centred square, `stretch` changes the aspect, `pad` adds black to make a square.

    Raises:
        ValueError: `fit` or `size` is none of these.
    """
    if fit not in get_args(Fit) or size < 1:
        raise ValueError(f"`fit` is {fit!r}, `size` {size}; needed: {', '.join(get_args(Fit))} and at least 1 pixel.")
    width, height = image.size
    if fit == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        square = Image.new("RGB", (size, size))
        square.paste(scaled(image, inner), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    elif fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        square = scaled(image, (size, size), (left, top, left + side, top + side))
    else:
        square = scaled(image, (size, size))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def scaled(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    """Return a box of the image (default: all of it) at another size; unchanged where nothing is to be done."""
    if size == image.size and box in (None, (0, 0, *size)):
        return image
    return image.resize(size, Image.Resampling.BILINEAR, box=box)
