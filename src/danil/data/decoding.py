"""Decoding image files to upright 8-bit RGB."""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

PIXEL_LIMIT = 178_000_000
"""Images of more pixels are refused before they are decoded."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".jp2")
"""File name endings that are taken for images, in the order in which they are tried."""

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000")
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    MemoryError,
    RuntimeError,
    AttributeError,
    struct.error,
    zlib.error,
)
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """Say which image could not be read, why, and what to do."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"image `{path}` {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return (type(self), (self.path, self.reason))


def read_image(source: str | Path | BinaryIO, name: str | None = None, shorter: int | None = None) -> Image.Image:
    """Return an image file or stream as an upright 8-bit RGB image.

    Grey becomes three equal channels. Grey of more than 8 bits is scaled by the smallest of the ranges 0–255, 0–4095
    (12 bit) and 0–65535 that holds its maximum; with negative or larger values, and for fractions outside [0, 1], from
    its minimum to its maximum. Transparency is laid over black. EXIF orientation is applied. Of several frames the
    first counts.

    Args:
        source: the file, or a binary stream at its start.
        name: what errors call it; the path itself by default.
        shorter: pixels; a JPEG may be decoded smaller, its shorter side no less than this (several times faster for
            photographs). Other formats ignore it.

    Raises:
        ImageError: missing, empty, truncated, no image, or more than `PIXEL_LIMIT` pixels.
    """
    title = name if name is not None else str(source if isinstance(source, str | Path) else "stream")
    try:
        if isinstance(source, str | Path) and Path(source).stat().st_size == 0:
            raise ImageError(title, "is empty (0 bytes). Copy it again, or leave it out with `--skip-bad`.")
        with Image.open(source, formats=FORMATS) as opened:
            if opened.width * opened.height > PIXEL_LIMIT:
                raise ImageError(title, too_large(opened.width, opened.height))
            if shorter is not None:
                opened.draft(None, covering(opened.size, shorter))
            opened.load()
            return upright(opened, rgb(opened))
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(title, "does not exist.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(title, f"has more pixels than is safe to decode ({error}). Scale it down first.") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(title, f"is no image ({', '.join(FORMATS)} are read). Replace or remove it.") from error
    except DAMAGE as error:
        raise ImageError(title, f"is damaged or truncated: {error}. Copy it again, or remove it.") from error


def too_large(width: int, height: int) -> str:
    """Return why an image of this size is refused."""
    return f"has {width}×{height} pixels, more than the {PIXEL_LIMIT:,} that are decoded. Scale it down first."


def covering(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Return the size of the same shape whose shorter side is `shorter`, rounded up."""
    least = min(size)
    return -(-size[0] * shorter // least), -(-size[1] * shorter // least)


def rgb(image: Image.Image) -> Image.Image:
    """Return any of Pillow's modes as 8-bit RGB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(eight_bit(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        picture = image.convert("RGBA")
        ground = Image.new("RGB", picture.size)
        ground.paste(picture, mask=picture.getchannel("A"))
        return ground
    return image.convert("RGB")


def eight_bit(grey: np.ndarray) -> np.ndarray:  # pyright: ignore[reportMissingTypeArgument]
    """Return grey values of any range as uint8, shape (H, W), by the rule of `read_image`."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    ranges = [1.0] if grey.dtype.kind == "f" else [255.0, 4095.0, 65535.0]
    fitting = [top for top in ranges if high <= top] if low >= 0 else []
    base, top = (0.0, fitting[0]) if fitting else (low, high)
    return np.rint((values - base) * 255 / max(top - base, 1e-12)).astype(np.uint8)


def upright(opened: Image.Image, image: Image.Image) -> Image.Image:
    """Return the image turned as the EXIF data of the opened file say; damaged EXIF data count as none."""
    try:
        turn = TURNS.get(opened.getexif().get(ORIENTATION, 1))
    except DAMAGE:
        turn = None
    return image if turn is None else image.transpose(turn)
