"""Decoding image files to upright 8-bit RGB."""

import stat
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from danil.data.allowance import DECODING_BYTES, decoding
from danil.data.grey import STRIP, GreyError, eight_bit

PIXEL_COST, COSTS = 12, {"WEBP": 20, "JPEG2000": 24}
"""Bytes that decoding takes for a pixel at the most (measured, docs/untrusted.md), and the formats that take more."""

PIXEL_LIMIT = DECODING_BYTES // PIXEL_COST
"""Images of more pixels are refused before they are decoded; of the formats in `COSTS` fewer are taken."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".jp2", ".jfif", ".jpe")
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
TILE = (322, 323)
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
    """Say which image could not be read, why, and what to do; the path is kept as it is, and shown printable."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"image `{printable(path)}` {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return (type(self), (self.path, self.reason))


def read_image(
    source: str | Path | BinaryIO, name: str | None = None, shorter: int | None = None, depth: int | None = None
) -> Image.Image:
    """Return an image file or stream as an upright 8-bit RGB image.

    Grey becomes three equal channels. Grey of more than 8 bits is scaled from a range that does not depend on the
    image: whole numbers from 0–65535 (0–4095 where a TIFF file says 12 bits) or as `depth` says, fractions from 0–1.
    Of colours of 16 bits a channel the upper 8 count. Transparency is laid over black. EXIF orientation is applied. Of
    several frames the first counts.

    Args:
        source: the file, or a binary stream at its start.
        name: what errors call it; the path itself by default.
        shorter: pixels; a JPEG may be decoded smaller, its shorter side no less than this (several times faster for
            photographs). Other formats ignore it.
        depth: bits that the grey values of 16-bit PNG and TIFF files use, 8 to 16.

    Raises:
        ImageError: missing, empty, truncated, no image, grey values outside the range, or more than `PIXEL_LIMIT`
            pixels.
    """
    title = name if name is not None else str(source if isinstance(source, str | Path) else "stream")
    try:
        if isinstance(source, str | Path):
            check_file(Path(source), title)
        with Image.open(source, formats=FORMATS) as opened:
            if opened.width * opened.height > pixel_limit(opened.format):
                raise ImageError(title, too_large(opened.width, opened.height, pixel_limit(opened.format)))
            check_tiles(opened, title)
            whole = opened.width * opened.height if "progressive" in opened.info else 0
            if shorter is not None:
                opened.draft(None, covering(opened.size, shorter))
            with decoding.of(max(whole, opened.width * opened.height) * COSTS.get(opened.format or "", PIXEL_COST)):
                opened.load()
                return upright(opened, rgb(opened, depth))
    except ImageError:
        raise
    except GreyError as error:
        raise ImageError(title, str(error)) from error
    except FileNotFoundError as error:
        raise ImageError(title, "does not exist.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(title, f"has more pixels than is safe to decode ({error}). Scale it down first.") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(title, f"is no image ({', '.join(FORMATS)} are read). Replace or remove it.") from error
    except DAMAGE as error:
        raise ImageError(title, f"is damaged or truncated: {error}. Copy it again, or remove it.") from error


def check_file(path: Path, title: str) -> None:
    """Raise `ImageError` unless the path leads to a file with something in it; a pipe or device would never end."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ImageError(title, "is no regular file. Give image files.")
    if state.st_size == 0:
        raise ImageError(title, "is empty (0 bytes). Copy it again, or leave it out.")


def check_tiles(opened: Image.Image, title: str) -> None:
    """Raise `ImageError` where a TIFF file's tiles are much larger than its image: a tile is unpacked whole."""
    tags = getattr(opened, "tag_v2", {})
    tile = [int(tags.get(number, 0)) for number in TILE]
    if tile[0] * tile[1] > max(opened.width * opened.height, STRIP):
        raise ImageError(title, f"has tiles of {tile[0]}×{tile[1]} pixels, larger than itself. Save it again.")


def printable(name: str) -> str:
    """Return a name with its control characters and bytes that are no text escaped, so that it stands on one line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def pixel_limit(kind: str | None) -> int:
    """Return how many pixels an image of this format may have."""
    return DECODING_BYTES // COSTS.get(kind or "", PIXEL_COST)


def too_large(width: int, height: int, limit: int = PIXEL_LIMIT) -> str:
    """Return why an image of this size is refused."""
    return f"has {width}×{height} pixels, more than the {limit:,} that are decoded. Scale it down first."


def covering(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Return the size of the same shape whose shorter side is `shorter`, rounded up."""
    least = min(size)
    return -(-size[0] * shorter // least), -(-size[1] * shorter // least)


def rgb(image: Image.Image, depth: int | None = None) -> Image.Image:
    """Return any of Pillow's modes as 8-bit RGB; `depth` as in `read_image`."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(eight_bit(image, depth)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        picture = image if image.mode == "RGBA" else image.convert("RGBA")
        ground = Image.new("RGB", picture.size)
        ground.paste(picture, mask=picture.getchannel("A"))
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")


def upright(opened: Image.Image, image: Image.Image) -> Image.Image:
    """Return the image turned as the EXIF data of the opened file say, without them, lest it be turned once more.

    Damaged EXIF data count as none.
    """
    try:
        turn = TURNS.get(opened.getexif().get(ORIENTATION, 1))
    except DAMAGE:
        turn = None
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = {}
    return turned
