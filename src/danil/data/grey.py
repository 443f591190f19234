"""Grey values of more than 8 bits: one range for all images of a set, whatever an image holds."""

import warnings
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

STRIP = 2**20
"""Pixels that are scaled to 8 bits at a time."""

BITS_PER_SAMPLE = 258
SCALED = ("PPM", "JPEG2000")
"""Formats whose files tell their range, which Pillow has widened to 16 bits."""

USUAL = (8, 10, 12, 14)
"""Bits that cameras and scanners use of 16."""


class GreyError(ValueError):
    """Say which grey values cannot be read, and what to do."""


def eight_bit(image: Image.Image, depth: int | None = None) -> np.ndarray:  # pyright: ignore[reportMissingTypeArgument]
    """Return a grey image of a deep mode (`I`, `I;16` …, `F`) as uint8, shape (H, W), a strip at a time.

    Args:
        image: its fractions lie in 0–1; its whole numbers in 0–65535, in 0–4095 where a TIFF file says that it has 12
            bits, or in the range of `depth`. 0 becomes 0 and the range's end 255.
        depth: bits that whole numbers use; of formats that tell their range without effect.

    Raises:
        GreyError: a value lies outside the range.
    """
    top, chosen = range_of(image, depth)
    bounds = [(float(values.min()), float(values.max())) for _, values in strips(image)]
    low, high = min(pair[0] for pair in bounds), max(pair[1] for pair in bounds)
    if low < 0 or high > top:
        raise GreyError(
            f"has grey values from {low:g} to {high:g}, outside 0 to {top:g}"
            + (f" (`depth={depth}`)" if chosen and depth else "")
            + ". Save the whole set in one range as 8- or 16-bit grey"
            + (", or correct `depth`." if chosen and depth else ".")
        )
    if chosen and depth is None:
        bits = next((bits for bits in USUAL if 0 < high < 2**bits), None)
        if bits is not None:
            warn_of_dark(bits)
    grey = np.empty((image.height, image.width), dtype=np.uint8)
    for rows, values in strips(image):
        grey[rows] = np.rint(values * 255 / top)
    return grey


def range_of(image: Image.Image, depth: int | None) -> tuple[float, bool]:
    """Return the value that becomes 255, and whether `depth` may choose it."""
    if image.mode == "F":
        return 1.0, False
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))
    if bits == (12,):
        return 4095.0, False
    free = image.format not in SCALED
    return float(2 ** (depth if free and depth is not None else 16) - 1), free


def strips(image: Image.Image) -> Iterator[tuple[slice, np.ndarray]]:  # pyright: ignore[reportMissingTypeArgument]
    """Yield parts of the rows with their values, float64, what is not finite as 0."""
    step = max(1, STRIP // image.width)
    for top in range(0, image.height, step):
        part = image.crop((0, top, image.width, min(top + step, image.height)))
        values = np.nan_to_num(np.asarray(part).astype(np.float64), posinf=0.0, neginf=0.0)
        yield slice(top, top + step), values


@cache
def warn_of_dark(bits: int) -> None:
    """Warn that an image leaves most of 16 bits unused; once in a process, not for every image of a set."""
    warnings.warn(
        f"an image of 16-bit grey has no value above {2**bits - 1}; taken for 0 to 65535 it is dark. If the set "
        f"uses {bits} bits, say so in the data source: `?depth={bits}` (docs/data.md).",
        stacklevel=3,
    )
