"""Files that were made to do harm, for tests and for trying what a reader stands."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from PIL import Image

ENCODINGS: Mapping[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("JPEG", {"quality": 90}),
    "jpeg-progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "png": ("PNG", {}),
    "png-palette": ("PNG", {}),
    "tiff": ("TIFF", {}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-jpeg": ("TIFF", {"compression": "jpeg"}),
    "gif": ("GIF", {}),
    "webp": ("WEBP", {"quality": 90}),
    "webp-lossless": ("WEBP", {"lossless": True, "method": 0}),
    "bmp": ("BMP", {}),
    "ppm": ("PPM", {}),
    "jpeg2000": ("JPEG2000", {}),
}
"""Name → format and options of Pillow's writer."""


def encoded(image: Image.Image, name: str) -> bytes:
    """Return an RGB image as one of `ENCODINGS`."""
    kind, options = ENCODINGS[name]
    stream = io.BytesIO()
    (image.quantize(64) if name == "png-palette" else image).save(stream, kind, **options)
    return stream.getvalue()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes with one to four faults: a cut, bytes changed, extreme numbers, pieces lost, doubled, moved."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(data))) if rng.random() < 0.5 else int(rng.integers(min(512, len(data))))
        FAULTS[int(rng.integers(len(FAULTS)))](data, place, rng)
        if not data:
            break
    return bytes(data)


def cut(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """End the file here."""
    del data[place:]


def flipped(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """Flip a bit here and in up to 15 other places."""
    for where in (place, *rng.integers(len(data), size=int(rng.integers(16))).tolist()):
        data[where] ^= 1 << int(rng.integers(8))


def extreme(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """Write a number at the edge of its range."""
    number = (b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\1\0", b"\xff\xff")[
        int(rng.integers(6))
    ]
    data[place : place + len(number)] = number


def lost(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """Lose up to 256 bytes."""
    del data[place : place + int(rng.integers(1, 257))]


def doubled(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """Repeat up to 256 bytes."""
    data[place:place] = data[place : place + int(rng.integers(1, 257))]


def noise(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """Write up to 64 random bytes."""
    piece = rng.bytes(int(rng.integers(1, 65)))
    data[place : place + len(piece)] = piece


FAULTS: tuple[Callable[[bytearray, int, np.random.Generator], None], ...] = (
    cut,
    flipped,
    extreme,
    lost,
    doubled,
    noise,
)


def bombs(side: int = 100_000) -> Iterator[tuple[str, bytes]]:
    """Yield a name and the bytes of small files that claim, or unpack to, much more than they hold."""
    yield "png that declares its side", png((b"IHDR", header(side, side)), (b"IDAT", zlib.compress(b"\0" * 100)))
    text = zlib.compress(b"a" * 200_000_000, 1)
    small = (b"IDAT", zlib.compress(b"\0" * 4))
    yield "png with a text that unpacks to 200 MB", png((b"IHDR", header(1, 1)), (b"zTXt", b"k\0\0" + text), small)
    profile = (b"iCCP", b"k\0\0" + text)
    yield "png with a profile that unpacks to 200 MB", png((b"IHDR", header(1, 1)), profile, small)
    many = [(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 900_000, 9))] * 500
    yield "png with 500 texts", png((b"IHDR", header(1, 1)), *many, small)
    yield "gif that declares 65,535", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2L\1\0;"
    yield "bmp that declares its side", bmp(side, side)
    yield "bmp of negative size", bmp(-side, -side)
    yield "ppm that declares its side", f"P6 {side} {side} 255\n".encode() + b"\0" * 100
    frame = b"!\xf9\4\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2L\1\0"
    yield "gif with 200,000 frames", b"GIF89a\1\0\1\0\0\0\0" + frame * 200_000 + b";"
    yield "tiff that links to itself", tiff([(256, 1), (257, 1), (258, 8), (262, 1), (273, 8), (279, 1)], following=8)
    yield "tiff of huge tiles", tiff([*SIZE, (322, 40_000), (323, 40_000), (324, 200), (325, 8)])
    yield "tiff of a huge strip", tiff([*SIZE, (273, 200), (278, 2**31 - 1), (279, 2**31 - 1)])
    yield "tiff of 65,535 samples", tiff([*SIZE[:-1], (277, 65_535), (273, 200), (278, 16), (279, 8)])


SIZE = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1)]
"""Width, height, bits, deflate, grey, one sample."""


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of these chunks."""
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in (*chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


def header(width: int, height: int) -> bytes:
    """Return the content of a PNG's first chunk, 8-bit RGB."""
    return struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def bmp(width: int, height: int) -> bytes:
    """Return a BMP without pixels."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + head


def tiff(entries: list[tuple[int, int]], following: int = 0) -> bytes:
    """Return a TIFF of 32-bit entries with a little deflated data at byte 200."""
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries))
    directory = struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + zlib.compress(b"\0" * 2**24, 1)
