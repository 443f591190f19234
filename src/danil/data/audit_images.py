"""Looking at every image of a set once: what its file is, its digests, and a small grey picture of it."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from danil.data.audit_fingerprints import SIDE, Bytes
from danil.data.decoding import FORMATS, ImageError, check_file, read_image
from danil.data.files import FileImages, Progress, is_dicom_file, threads
from danil.data.manifest import ImageStore, Manifest

FLAT = 1.0
"""Standard deviation in grey levels below which a small picture counts as uniform."""


@dataclass(frozen=True)
class Fault:
    """Hold an image that cannot be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImageFiles:
    """Hold how many images have each size (`WIDTHxHEIGHT`), mode and format, as their files say, and the odd ones.

    `unreadable` cannot be decoded whole; `uniform` show next to nothing.
    """

    sizes: dict[str, int]
    modes: dict[str, int]
    formats: dict[str, int]
    unreadable: list[Fault]
    uniform: list[str]


@dataclass(frozen=True)
class Look:
    """Hold what one image is; `fault` says why it could not be read, then nothing else is known.

    `pixels` is a digest of size and decoded RGB values, `file` one of the file's bytes (empty where the store has no
    files). Mode and format are those of the file.
    """

    fault: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    format: str = ""
    file: str = ""
    pixels: str = ""
    picture: Bytes | None = None


def looks(manifest: Manifest, progress: Progress | None = None) -> list[Look]:
    """Return a look at every image, in the manifest's order; each file is read and decoded once, on all cores."""
    found: list[Look] = []
    with ThreadPoolExecutor(threads()) as pool:
        for look in pool.map(partial(look_at, manifest.store), manifest.table["path"]):
            found.append(look)
            if progress is not None:
                progress(len(found), len(manifest))
    return found


def look_at(store: ImageStore, path: str) -> Look:
    """Return what one image is."""
    try:
        if type(store) is not FileImages or is_dicom_file(checked(store, path)):
            image = store.read(path)
            return Look(size=image.size, mode=image.mode, pixels=pixel_digest(image), picture=small(image))
        content = store.file(path).read_bytes()
        image = read_image(io.BytesIO(content), path, depth=store.depth)
        with Image.open(io.BytesIO(content), formats=FORMATS) as header:
            kind: dict[str, Any] = {"size": header.size, "mode": header.mode, "format": header.format or ""}
    except ImageError as error:
        return Look(fault=error.reason)
    except OSError as error:
        return Look(fault=unreadable(path, error).reason)
    return Look(**kind, file=digest(content), pixels=pixel_digest(image), picture=small(image))


def checked(store: FileImages, path: str) -> Path:
    """Return an image's file.

    Raises:
        ImageError: it is missing, empty, or a pipe or device, which would never end.
    """
    file = store.file(path)
    try:
        check_file(file, path)
    except FileNotFoundError as error:
        raise ImageError(path, "does not exist.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    return file


def unreadable(path: str, error: OSError) -> ImageError:
    """Return what a file is that the system does not give out."""
    return ImageError(path, f"cannot be read: {error.strerror}. Check the disk and its permissions.")


def digest(content: bytes) -> str:
    """Return a 128-bit digest."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def pixel_digest(image: Image.Image) -> str:
    """Return a digest of an image's size and RGB values."""
    return digest(repr(image.size).encode() + image.convert("RGB").tobytes())


def small(image: Image.Image) -> Bytes:
    """Return the image as a grey square of `SIDE` pixels, uint8."""
    grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(grey)


def uniform(look: Look) -> bool:
    """Tell whether an image shows next to nothing."""
    return look.picture is not None and float(look.picture.std()) < FLAT


def image_files(manifest: Manifest, seen: Sequence[Look]) -> ImageFiles:
    """Return what the files are."""
    paths = [str(path) for path in manifest.table["path"]]
    good = [look for look in seen if not look.fault]
    return ImageFiles(
        sizes=tally(f"{look.size[0]}x{look.size[1]}" for look in good),
        modes=tally(look.mode for look in good),
        formats=tally(look.format or "none" for look in good),
        unreadable=[Fault(path, look.fault) for path, look in zip(paths, seen, strict=True) if look.fault],
        uniform=[path for path, look in zip(paths, seen, strict=True) if uniform(look)],
    )


def tally(values: Iterable[str]) -> dict[str, int]:
    """Return how often each value occurs, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def image_columns(seen: Sequence[Look]) -> dict[str, pd.Series]:
    """Return what the files are as columns, since it may give the label away; unreadable images are missing."""
    return (
        {
            "(image size)": pd.Series([None if look.fault else f"{look.size[0]}x{look.size[1]}" for look in seen]),
            "(image mode)": pd.Series([look.mode or None for look in seen]),
            "(image format)": pd.Series([look.format or None for look in seen]),
        }
        if seen
        else {}
    )
