"""What a compressed DICOM frame says of its own size, read before any decoder sees it."""

import struct


def codestream_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height from the start of JPEG, JPEG-LS or JPEG 2000 data; `None` where there are none."""
    if content[:4] == b"\xff\x4f\xff\x51":
        right, lower, left, upper = struct.unpack(">4I", content[8:24])
        return right - left, lower - upper
    place = 2
    while content[:2] == b"\xff\xd8" and place + 9 <= len(content) and content[place] == 0xFF:
        mark = content[place + 1]
        if mark == 0xF7 or (0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return width, height
        place += 1 if mark == 0xFF else 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None


def unpacked_length(content: bytes) -> int:
    """Return how many bytes the runs of an RLE frame unpack to; 0 for a frame too short to be worth counting."""
    place, total = 64, 0
    while 2**20 < len(content) > place:
        run = content[place]
        total += 257 - run if run > 128 else (run + 1) % 129
        place += 2 if run > 128 else 1 + (run + 1) % 129
    return total
