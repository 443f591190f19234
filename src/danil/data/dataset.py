"""A manifest's images as tensors: decoded once, kept in memory, varied while training."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from danil.data.augmentation import Strengths, augmented, uniforms
from danil.data.decoding import ImageError
from danil.data.files import FileImages, Progress, UnreadableImages, threads
from danil.data.manifest import ImageStore, Manifest
from danil.data.transforms import Fit, Preprocess, squared

Targets = Tensor | dict[str, Tensor]


class Batch(NamedTuple):
    """Hold images `(B, 3, S, S)` uint8, targets, and the rows `(B,)` int64 of the manifest they come from.

    Targets are `(B,)` int64, or by task where there are several; −1 is unknown.
    """

    images: Tensor
    targets: Targets
    indices: Tensor


class Images(Dataset[dict[str, Any]]):
    """Give a manifest's images, square and 8-bit, by row.

    With `cache="memory"` each image is decoded once, when this object is made, and kept as uint8: `3·P²` bytes an
    image, P the size, or 8/7 of it where training crops. Where that does not fit into free memory a warning says so and
    images are decoded when asked for, as with `cache="none"`; the pixels are the same.

    Args:
        manifest: whose images; may be empty.
        size: S, in pixels.
        fit: how an image becomes square, as in `resized`.
        preprocess: what comes before, as in `squared`; cached with the pixels.
        cache: `memory` or `none`.
        augmentation: how training images vary (the recipe's section `augment` or an `Augmentation`); `None`: not.
        seed: of the variation, which depends on seed, `epoch` and row alone (and, for a row that an epoch repeats, on
            the number of its repetition).
        progress: told how many images are decoded, and of how many.

    Raises:
        UnreadableImages: listing every image that could not be decoded (with `cache="memory"`, else when asked for).
    """

    def __init__(
        self,
        manifest: Manifest,
        size: int,
        fit: Fit = "crop",
        preprocess: Preprocess = "none",
        cache: Literal["memory", "none"] = "memory",
        augmentation: Strengths | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.manifest, self.size, self.seed = manifest, size, seed
        self.fit: Fit = fit
        self.preprocess: Preprocess = preprocess
        self.augmentation = augmentation
        self.epoch = 0
        self.side = round(size * 8 / 7) if augmentation is not None and augmentation.crop > 0 else size
        self.targets = {task: torch.from_numpy(manifest.labels(task).copy()) for task in manifest.tasks}
        self.paths: list[str] = manifest.table["path"].tolist()
        self.pixels: Tensor | None = None
        if cache == "memory" and fits_memory(len(self) * 3 * self.side**2):
            self.pixels = self.decoded(range(len(self)), threads(), progress)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `image`, `targets` (task → class index) and `index` of one row."""
        batch = self.batch(np.array([range(len(self))[index]]))
        targets = {task: int(labels[index]) for task, labels in self.targets.items()}
        return {"image": batch.images[0], "targets": targets, "index": int(batch.indices[0])}

    def batch(self, rows: np.ndarray[Any, Any], turns: np.ndarray[Any, Any] | None = None) -> Batch:
        """Return the images of these rows in this epoch; `turns` counts each row's earlier appearances (default 0)."""
        indices = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        if self.pixels is None:
            pixels = self.decoded(rows.tolist(), threads() if get_worker_info() is None else 1)
        else:
            pixels = self.pixels.index_select(0, indices)
        if self.augmentation is not None:
            again = np.zeros(len(rows), dtype=np.int64) if turns is None else turns
            chance = uniforms(self.seed, self.epoch, np.asarray(rows), again)
            pixels = augmented(pixels, self.size, chance, self.augmentation)
        chosen = {task: labels.index_select(0, indices) for task, labels in self.targets.items()}
        return Batch(pixels, chosen if len(chosen) > 1 else next(iter(chosen.values())), indices)

    def decoded(self, rows: Sequence[int], workers: int = 1, progress: Progress | None = None) -> Tensor:
        """Return these rows' images at the stored side, `(B, 3, P, P)` uint8."""
        pixels = torch.empty((len(rows), 3, self.side, self.side), dtype=torch.uint8)

        def fill(place: int) -> ImageError | None:
            try:
                store, path = self.manifest.store, self.paths[rows[place]]
                pixels[place] = prepared(store, path, self.side, self.fit, self.preprocess)
            except ImageError as error:
                return error
            return None

        errors: list[ImageError] = []
        with ThreadPoolExecutor(workers) as pool:
            found = pool.map(fill, range(len(rows))) if workers > 1 else map(fill, range(len(rows)))
            for done, error in enumerate(found, start=1):
                errors += [error] if error is not None else []
                if progress is not None:
                    progress(done, len(rows))
        if errors:
            raise UnreadableImages(errors)
        return pixels


def prepared(store: ImageStore, path: str, size: int, fit: Fit, preprocess: Preprocess = "none") -> Tensor:
    """Return one image as `(3, size, size)` uint8; large JPEG files are decoded at a reduced size, which is faster."""
    image = store.read(path, shorter=2 * size) if isinstance(store, FileImages) else store.read(path)
    return squared(image, size, fit, preprocess)


def fits_memory(needed: int) -> bool:
    """Tell whether so many bytes fit into free memory with room to spare, and warn where they do not."""
    free = free_memory()
    if free is None or needed <= 0.7 * free:
        return True
    warnings.warn(
        f"the decoded images need {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB free; they are decoded when "
        "needed instead. Use several `data.workers`, or a smaller `data.size`.",
        stacklevel=3,
    )
    return False


def free_memory(system: Path = Path("/")) -> int | None:
    """Return the bytes of memory that this process may still take, `None` where the system does not tell."""
    try:
        lines = (system / "proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    try:
        group = system / "sys/fs/cgroup"
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        return min(free, limit - used + read_pages(group))
    except (OSError, ValueError):
        return free


def read_pages(group: Path) -> int:
    """Return the bytes that a control group's pages of read files take, which make room when memory is needed."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
