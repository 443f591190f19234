"""Preparing fundus photographs (DIL-style, docs/systems.md): find the retina's disk, crop, even out its colours."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

WORKING = 256
"""Longer side, in pixels, at which the disk is looked for."""

GREY = 128
GAIN = 4.0
SPREAD = 30
EDGE = 0.97
Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Disk:
    """Hold the ellipse that the retina fills, in shares of width and height; `filtered`: on a grey ground.

    An ellipse, since many copies of data sets have been squeezed into a square. A grey ground is the mark of an image
    whose local colour has been evened out before.
    """

    x: float
    y: float
    across: float
    down: float
    filtered: bool


def found_disk(image: Image.Image) -> Disk | None:
    """Return the retina's disk of a photograph on a black or grey ground, `None` where there is none.

    The outline (first and last pixel of each row and column that differs from the ground) is fitted by an upright
    ellipse, least squares with outliers dropped; parts cut off by the image's edge are no outline. It is taken where it
    fits to 2 % of its radius, is no flatter than 3:5, and most of it is inside the image.
    """
    small = image.copy()
    small.thumbnail((WORKING, WORKING), Image.Resampling.BILINEAR)
    pixels = np.asarray(small, dtype=np.float32)
    ground = ground_level(pixels)
    if ground is None:
        return None
    strength = np.abs(pixels - ground).max(2)
    limit = 10.0 if ground else max(12.0, 0.15 * float(np.quantile(strength, 0.95)))
    points = outline(strength > limit)
    height, width = strength.shape
    ellipse = fitted_ellipse((points + 0.5) * [2 / width, 2 / height] - 1)
    if ellipse is None:
        return None
    x, y, across, down = ellipse
    shape = across * width / (down * height)
    inside = abs(x) < 0.35 and abs(y) < 0.35 and 0.3 < across < 1.6 and 0.3 < down < 1.6
    if not inside or not 0.6 < shape < 1 / 0.6:
        return None
    return Disk((x + 1) / 2, (y + 1) / 2, across / 2, down / 2, bool(ground))


def ground_level(pixels: Pixels) -> int | None:
    """Return 0 or 128, black or grey, whichever at least a third of the four corners' pixels have; else `None`."""
    side = max(3, min(pixels.shape[:2]) // 24)
    corners = np.concatenate(
        [pixels[rows, columns].reshape(-1, 3) for rows in ends(side) for columns in ends(side)], axis=0
    )
    shares = {level: float((np.abs(corners - level).max(1) < width).mean()) for level, width in ((0, 24), (GREY, 8))}
    best = max(shares, key=lambda level: shares[level])
    return best if shares[best] > 1 / 3 else None


def ends(side: int) -> tuple[slice, slice]:
    """Return the first and the last `side` places."""
    return slice(0, side), slice(-side, None)


def outline(mask: Pixels) -> Pixels:
    """Return the first and last true place of each row and of each column, `(N, 2)` as x, y, those at the edge out."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, right = mask[rows].argmax(1), width - 1 - mask[rows][:, ::-1].argmax(1)
    top, bottom = mask[:, columns].argmax(0), height - 1 - mask[::-1][:, columns].argmax(0)
    xs = np.concatenate([left, right, columns, columns])
    ys = np.concatenate([rows, rows, top, bottom])
    inner = (xs > 1) & (xs < width - 2) & (ys > 1) & (ys < height - 2)
    return np.stack([xs[inner], ys[inner]], 1)


def fitted_ellipse(points: Pixels) -> tuple[float, float, float, float] | None:
    """Return centre and half axes x, y, a, b of the upright ellipse through most of the points `(N, 2)`.

    `None` where fewer than 40 points, or fewer than half of them, lie within 2 % of one.
    """
    kept = points
    ellipse = None
    for _ in range(8):
        if len(kept) < 40:
            return None
        ellipse = algebraic_ellipse(kept)
        if ellipse is None:
            return None
        errors = radial_errors(points, ellipse)
        kept = points[errors <= max(0.02, float(np.median(errors)))]
    close = ellipse is not None and (radial_errors(points, ellipse) < 0.02).sum()
    return ellipse if close >= max(40, len(points) / 2) else None


def algebraic_ellipse(points: Pixels) -> tuple[float, float, float, float] | None:
    """Return the least-squares solution of p·x² + q·y² + u·x + v·y = 1 as centre and half axes."""
    x, y = points.T
    (p, q, u, v), *_ = np.linalg.lstsq(np.stack([x**2, y**2, x, y], 1), np.ones(len(x)), rcond=None)
    if p <= 1e-6 or q <= 1e-6:
        return None
    total = 1 + u**2 / (4 * p) + v**2 / (4 * q)
    return float(-u / (2 * p)), float(-v / (2 * q)), float(np.sqrt(total / p)), float(np.sqrt(total / q))


def radial_errors(points: Pixels, ellipse: tuple[float, float, float, float]) -> Pixels:
    """Return how far each point is from the ellipse, in shares of its radius there."""
    x, y, a, b = ellipse
    return np.abs(np.hypot((points[:, 0] - x) / a, (points[:, 1] - y) / b) - 1)


def cropped(image: Image.Image, disk: Disk, size: int, fill: tuple[int, int, int] = (GREY, GREY, GREY)) -> Image.Image:
    """Return the disk's bounding box as a square of `size` pixels: radius S/2; what lies outside the image is `fill`.

    Gives a mask of the same image the same geometry.
    """
    width, height = image.size
    left, right = (disk.x - disk.across) * width, (disk.x + disk.across) * width
    top, bottom = (disk.y - disk.down) * height, (disk.y + disk.down) * height
    box = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    places = [round(size * (value - low) / (high - low)) for value, low, high in (
        (box[0], left, right), (box[1], top, bottom), (box[2], left, right), (box[3], top, bottom)
    )]  # fmt: skip
    square = Image.new("RGB", (size, size), fill)
    inner = (max(1, places[2] - places[0]), max(1, places[3] - places[1]))
    square.paste(image.convert("RGB").resize(inner, Image.Resampling.BILINEAR, box=box), (places[0], places[1]))
    return square


def evened(image: Image.Image, disk: Disk, size: int) -> Image.Image:
    """Return the disk as a square of `size` pixels with its local colour average replaced by grey.

    Inside 0.97 of the radius: 128 + 4·(I − local average), a Gaussian of σ = radius/30 that looks at the retina only;
    outside: grey (Graham's filter of 2015, which Rakhlin's DIL builds on). A disk whose colours have been evened out
    before (grey ground) is cropped and scaled alone: filtered twice, noise is what would be left of it.
    """
    square = cropped(image, disk, size)
    if disk.filtered:
        return square
    line = (np.arange(size) + 0.5) * 2 / size - 1
    retina = (line[:, None] ** 2 + line**2 < EDGE**2) & present(image, disk, size)
    pixels, weight = np.asarray(square, dtype=np.float32), retina.astype(np.float32)
    sigma = size / 2 / SPREAD
    total = gaussian_filter(weight, sigma)
    average = gaussian_filter(pixels * weight[..., None], (sigma, sigma, 0)) / np.maximum(total, 1e-6)[..., None]
    found = np.where(retina[..., None], GREY + GAIN * (pixels - average), GREY)
    return Image.fromarray(found.round().clip(0, 255).astype(np.uint8))


def present(image: Image.Image, disk: Disk, size: int) -> Pixels:
    """Return where the square of the disk shows pixels of the image, `(S, S)` bool."""
    white = Image.new("RGB", image.size, (255, 255, 255))
    return np.asarray(cropped(white, disk, size, (0, 0, 0)))[..., 0] > 0
