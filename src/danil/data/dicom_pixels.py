"""One frame of a DICOM file as 8-bit RGB, the way a viewer would show it."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from danil.data.allowance import DECODING_BYTES, decoding
from danil.data.decoding import DAMAGE, ImageError, check_file, too_large
from danil.data.dicom_streams import codestream_size, unpacked_length
from danil.data.manifest import DataError

COST = 40
"""Bytes that decoding takes for a pixel at the most (measured, docs/untrusted.md)."""

LIMIT = DECODING_BYTES // COST
"""Frames of more pixels are refused before they are decoded."""

DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
RLE = "1.2.840.10008.1.2.5"
ADVICE = "Convert the file to Explicit VR Little Endian (`dcmconv +te`, or pydicom's `decompress`)."
Window = tuple[float, float] | str
Floats = np.ndarray[Any, np.dtype[np.float32]]


def pydicom_module() -> Any:
    """Return pydicom, set to take header values as they are: they are checked where they are used.

    Raises:
        DataError: it is not installed.
    """
    if find_spec("pydicom") is None:
        raise DataError("DICOM files need pydicom, which is not installed: `pip install danil-torch[dicom]`.")
    import pydicom
    from pydicom import config

    config.settings.reading_validation_mode = config.IGNORE
    return pydicom


def is_dicom(path: Path) -> bool:
    """Tell whether a regular file has DICOM's mark at byte 128."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_header(stream: BinaryIO, title: str) -> Any:
    """Return all elements before the pixels; the stream then stands at the pixels' own element.

    Raises:
        ImageError: no DICOM file, damaged, or deflated (it could unpack to any size).
    """
    pydicom = pydicom_module()
    try:
        meta = pydicom.filereader.read_file_meta_info(stream.name)
        if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:
            raise ImageError(title, f"is deflated, which is not read. {ADVICE}")
        return parsed(pydicom.dcmread(stream, stop_before_pixels=True))
    except ImageError:
        raise
    except pydicom.errors.InvalidDicomError as error:
        raise ImageError(title, "is no DICOM file (its mark `DICM` is missing). Replace or remove it.") from error
    except (*DAMAGE, NotImplementedError, AssertionError, pydicom.errors.BytesLengthException) as error:
        raise ImageError(title, f"is damaged or truncated: {error}. Copy it again, or remove it.") from error


def parsed(header: Any) -> Any:
    """Return the header with all values parsed, which pydicom puts off: here, so that no later look at one fails.

    Private elements that cannot be parsed are dropped.
    """
    for tag in list(header.keys()):
        try:
            header[tag]
        except Exception:
            if not tag.is_private:
                raise
            del header[tag]
    return header


def read_frame(path: Path, title: str, frame: int = 0, window: Window = "auto") -> Image.Image:
    """Return a frame as 8-bit RGB: rescaled, windowed, MONOCHROME1 inverted, colours converted to RGB.

    Args:
        path: the file.
        title: what errors call it.
        frame: from 0.
        window: `auto` (the file's VOI LUT or first window, without one the frame's own range), `full` (the frame's own
            range), or centre and width in rescaled units (Hounsfield for CT). Colour images are never windowed.

    Raises:
        ImageError: missing, damaged, no pixels, too large, or compressed in a way for which no decoder is installed.
        DataError: pydicom is not installed.
    """
    pydicom = pydicom_module()
    try:
        check_file(path, title)
        with path.open("rb") as stream:
            header = read_header(stream, title)
            size = checked_size(header, title, frame)
            with decoding.of(size[0] * size[1] * COST):
                check_frame(stream, header, title, frame, size)
                stream.seek(0)
                pixels = pydicom.pixels.pixel_array(stream, index=frame)
            with decoding.of(size[0] * size[1] * COST):
                return shown(pixels, header, frame, window)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(title, "does not exist.") from error
    except (*DAMAGE, NotImplementedError, AssertionError, pydicom.errors.BytesLengthException) as error:
        raise ImageError(title, reason(error)) from error


def checked_size(header: Any, title: str, frame: int) -> tuple[int, int]:
    """Return width and height, where the header's own numbers can be those of an image."""
    numbers = [header.get(name) for name in ("Columns", "Rows", "BitsAllocated", "SamplesPerPixel")]
    if not all(isinstance(number, int) and number > 0 for number in numbers[:2]):
        raise ImageError(title, "has no pixels (reports, plans and structures have none). Leave it out.")
    width, height, bits, samples = (int(number or 1) for number in numbers)
    if width * height > LIMIT:
        raise ImageError(title, too_large(width, height, LIMIT))
    if bits not in (1, 8, 16, 32) or samples not in (1, 3):
        raise ImageError(title, f"has {samples} samples of {bits} bits; 1 or 3 of 1, 8, 16 or 32 are read.")
    if not 0 <= frame < frame_count(header):
        raise ImageError(title, f"has {frame_count(header)} frames; number {frame + 1} is none of them.")
    return width, height


def frame_count(header: Any) -> int:
    """Return how many frames the header declares, at least 1."""
    try:
        return max(1, int(header.get("NumberOfFrames") or 1))
    except (ValueError, TypeError, OverflowError):
        return 1


def check_frame(stream: BinaryIO, header: Any, title: str, frame: int, size: tuple[int, int]) -> None:
    """Raise `ImageError` where a compressed frame says another size than the header, unpacks to more, or says none."""
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if syntax in NATIVE or syntax == "":
        return
    from pydicom.encaps import get_frame

    stream.seek(12, 1)
    offsets = [header.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    extended = None if None in offsets else (offsets[0], offsets[1])
    content = get_frame(stream, frame, extended_offsets=extended, number_of_frames=frame_count(header))
    if syntax == RLE:
        if unpacked_length(content) > 2**20 + 12 * size[0] * size[1]:
            raise ImageError(title, "unpacks to much more than its header declares. Copy it again, or remove it.")
        return
    declared = codestream_size(content)
    if declared is None:
        raise ImageError(
            title,
            f"is damaged, or its frame is no plain JPEG, JPEG-LS or JPEG 2000 data, which alone are read. {ADVICE}",
        )
    if declared != size:
        raise ImageError(
            title, f"holds a frame of {declared[0]}×{declared[1]} pixels, its header says {size[0]}×{size[1]}."
        )


def shown(pixels: np.ndarray[Any, Any], header: Any, frame: int, window: Window) -> Image.Image:
    """Return decoded pixels, `(H, W)` or `(H, W, 3)`, as 8-bit RGB."""
    if header.get("PhotometricInterpretation") == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        pixels = apply_color_lut(pixels, header)[..., :3]
        bits = 8 * pixels.dtype.itemsize
        return Image.fromarray((pixels >> (bits - 8)).astype(np.uint8), "RGB")
    if pixels.ndim == 3:
        bits = int(header.get("BitsStored") or 8)
        return Image.fromarray((pixels >> max(0, bits - 8)).astype(np.uint8), "RGB")
    grey = np.rint(255 * brightness(pixels, header, frame, window)).astype(np.uint8)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        grey = 255 - grey
    return Image.fromarray(grey).convert("RGB")


def brightness(pixels: np.ndarray[Any, Any], header: Any, frame: int, window: Window) -> Floats:
    """Return grey values between 0 and 1."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    rescale = functional_group(header, frame, "PixelValueTransformationSequence")
    voi = functional_group(header, frame, "FrameVOILUTSequence")
    values = apply_modality_lut(pixels, rescale)
    if window == "auto" and voi.get("VOILUTSequence"):
        table = voi.VOILUTSequence[0]
        bits = int(table.LUTDescriptor[2])
        return np.clip(apply_voi(values, voi).astype(np.float32) / (2**bits - 1), 0, 1)
    values = values.astype(np.float32)
    if isinstance(window, tuple):
        return windowed(values, *window, "LINEAR")
    if window == "auto" and voi.get("WindowCenter") is not None and voi.get("WindowWidth") is not None:
        centre, width = (float(first(voi.get(name))) for name in ("WindowCenter", "WindowWidth"))
        function = str(voi.get("VOILUTFunction") or "LINEAR")
        if width >= (1 if function == "LINEAR" else 1e-12) and np.isfinite([centre, width]).all():
            return windowed(values, centre, width, function)
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, 1e-12)


def windowed(values: Floats, centre: float, width: float, function: str) -> Floats:
    """Return values between 0 and 1 by one of DICOM's window functions (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        return (1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -60, 60)))).astype(np.float32)
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    return np.clip((values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5, 0, 1)


def functional_group(header: Any, frame: int, name: str) -> Any:
    """Return the frame's own group of an enhanced file, else the one all frames share, else the header."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for group in (*per_frame[frame : frame + 1], *shared[:1]):
        found = group.get(name)
        if found:
            return found[0]
    return header


def first(value: Any) -> Any:
    """Return the first of several values, or the value."""
    return value if isinstance(value, str | int | float) or not hasattr(value, "__getitem__") else value[0]


def reason(error: Exception) -> str:
    """Return why a frame could not be decoded; where a decoder is missing, its package is named."""
    text = " ".join(str(error).split())
    packages = re.findall(r"pylibjpeg-\w+|pyjpegls|gdcm", text)
    if packages and ("missing" in text or "dependencies" in text or "unavailable" in text):
        names = list(dict.fromkeys("python-gdcm" if name == "gdcm" else name for name in packages))
        return f"is compressed in a way that needs another decoder: `pip install {names[0]}`. {ADVICE}"
    if isinstance(error, NotImplementedError):
        return f"is stored in a way that is not read: {text}. {ADVICE}"
    return f"is damaged or truncated: {text}. Copy it again, or remove it."
