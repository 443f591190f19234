"""What a compressed DICOM frame says of its own size, read before any decoder sees it."""

import struct

COMPONENTS = 4
"""Frames of more colour components are none that are read."""


def codestream_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height from the start of plain JPEG, JPEG-LS or JPEG 2000 data.

    `None` where a decoder might find another size than we do, or more components: other data (JPEG 2000 in a JP2
    container among them), damage, marks that do not belong before a frame's.
    """
    if content[:4] == b"\xff\x4f\xff\x51":
        if len(content) < 42:
            return None
        right, lower, left, upper = struct.unpack(">4I", content[8:24])
        return (right - left, lower - upper) if content[40:42] <= bytes((0, COMPONENTS)) else None
    place = 2
    while content[:2] == b"\xff\xd8" and place + 10 <= len(content) and content[place] == 0xFF:
        mark, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if mark == 0xFF:  # a filling byte
            place += 1
        elif mark == 0xF7 or (0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC)):
            height, width, components = struct.unpack(">HHB", content[place + 5 : place + 10])
            return (width, height) if components <= COMPONENTS else None
        elif mark < 0xC0 or 0xD0 <= mark <= 0xD9 or length < 2:  # marks without a length, of which decoders skip some
            return None
        else:
            place += 2 + length
    return None


def unpacked_length(content: bytes) -> int:
    """Return how many bytes the runs of an RLE frame unpack to; 0 for a frame too short to be worth counting."""
    place, total = 64, 0
    while 2**20 < len(content) > place:
        run = content[place]
        total += 257 - run if run > 128 else (run + 1) % 129
        place += 2 if run > 128 else 1 + (run + 1) % 129
    return total
