"""Reader `medmnist`: the 2D sets of MedMNIST, one `.npz` file each (Yang et al. 2023)."""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
import numpy.lib.format as npy
import pandas as pd
from PIL import Image

from danil.data.dataset import free_memory
from danil.data.decoding import DAMAGE, ImageError
from danil.data.manifest import DataError, Manifest, assembled, natural

OPTIONS = ()
PARTS = {"train": "train", "val": "validation", "test": "test"}
PACKING = 1000
"""How many times smaller than its content a packed array can be; noise-free images reach a few dozen."""
Arrays = dict[str, np.ndarray[Any, Any]]
LOADING = Lock()
"""One thread loads, the others wait for its arrays."""


@dataclass
class ArrayImages:
    """Read images out of an `.npz` file by `PART/NUMBER`; the arrays are loaded when first needed, never pickled."""

    file: Path
    arrays: Arrays = field(default_factory=Arrays, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file, "arrays": {}}

    def pixels(self, path: str) -> np.ndarray[Any, Any]:
        """Return one image's array, or raise `ImageError`."""
        part, _, number = path.partition("/")
        with LOADING:
            if part not in self.arrays:
                self.arrays.update(
                    {name.removesuffix("_images"): a for name, a in loaded(self.file, "_images").items()}
                )
        if part not in self.arrays or not number.isdecimal() or int(number) >= len(self.arrays[part]):
            raise ImageError(path, f"is not in `{self.file}`.")
        return self.arrays[part][int(number)]

    def read(self, path: str) -> Image.Image:
        """Return the image as 8-bit RGB."""
        return Image.fromarray(self.pixels(path)).convert("RGB")

    def size(self, path: str) -> int:
        """Return the image's bytes, −1 where it is missing."""
        try:
            return self.pixels(path).nbytes
        except ImageError:
            return -1


def read_medmnist(path: Path, options: Mapping[str, str], labelled: bool = True) -> Manifest:
    """Return all images of a file with `train_images`, `train_labels`, `val_…`, `test_…`, the official split.

    Classes are the numbers as text. Labels of several columns (ChestMNIST) make a task for each column, `label_0` ….

    Raises:
        DataError: no such file, no `.npz`, arrays that are missing, of objects, three-dimensional or of unequal length.
    """
    images, labels = loaded(path, "_images"), loaded(path, "_labels")
    rows: list[pd.DataFrame] = []
    for part, split in PARTS.items():
        pixels, known = images.get(f"{part}_images"), labels.get(f"{part}_labels")
        if pixels is None or known is None:
            raise DataError(f"`{path}` lacks `{part}_images` or `{part}_labels`. Download the file again.")
        check(path, part, pixels, known)
        frame = pd.DataFrame(known.reshape(len(known), -1)).astype("str")
        frame.columns = ["label"] if frame.shape[1] == 1 else [f"label_{column}" for column in frame.columns]
        rows.append(frame.assign(path=[f"{part}/{number}" for number in range(len(known))], split=split))
    table = pd.concat(rows, ignore_index=True)
    tasks = {name: natural(table[name].unique()) for name in table.columns if name not in ("path", "split")}
    return assembled(table, tasks, store=ArrayImages(path), source=f"medmnist:{path}")


def check(path: Path, part: str, pixels: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> None:
    """Raise `DataError` unless the arrays are images and their labels."""
    if pixels.dtype != np.uint8 or not (pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)):
        raise DataError(
            f"`{path}`: `{part}_images` is {pixels.dtype} of shape {pixels.shape}; uint8 of (N, H, W) or (N, H, W, 3) "
            "is read. Volumes (the 3D sets) are not."
        )
    if len(pixels) != len(known) or known.dtype.kind not in "iub":
        raise DataError(f"`{path}`: `{part}_labels` is {known.dtype} of shape {known.shape} for {len(pixels)} images.")


def loaded(path: Path, ending: str) -> Arrays:
    """Return the arrays of an `.npz` file whose names end so; nothing is unpickled."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if isinstance(archive, np.ndarray):
                raise DataError(f"`{path}` is a single array, not an `.npz` archive.")
            check_sizes(path)
            return {name: archive[name] for name in archive.files if name.endswith(ending)}
    except FileNotFoundError as error:
        raise DataError(f"`{path}` does not exist. Give a MedMNIST `.npz` file.") from error
    except DataError:
        raise
    except (*DAMAGE, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"`{path}` is no `.npz` archive of plain arrays: {error}. Download it again.") from error


def check_sizes(path: Path) -> None:
    """Raise `DataError` before anything is unpacked where an archive declares more than it can hold.

    All arrays together must fit free memory, none may be packed over a thousandfold, and each must be as long as its
    header says.
    """
    with zipfile.ZipFile(path) as archive:
        needed, free = sum(entry.file_size for entry in archive.infolist()), free_memory()
        if free is not None and needed > 0.7 * free:
            raise DataError(
                f"`{path}` needs {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB free. Use a smaller version of "
                "the set."
            )
        for entry in archive.infolist():
            if entry.file_size > 2**24 and entry.file_size > PACKING * entry.compress_size:
                raise DataError(
                    f"`{path}`: `{entry.filename}` unpacks to {entry.file_size:,} bytes from {entry.compress_size:,}, "
                    "which no images do. Download the file again."
                )
            with archive.open(entry) as stream:
                shape, _, kind = header(stream)
            if not kind.hasobject and math.prod(shape) * kind.itemsize > entry.file_size:
                raise DataError(f"`{path}`: `{entry.filename}` is shorter than its header says. Download it again.")


def header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, order and type of a `.npy` file that the stream stands at the start of."""
    version = npy.read_magic(stream)
    return npy.read_array_header_1_0(stream) if version == (1, 0) else npy.read_array_header_2_0(stream)
