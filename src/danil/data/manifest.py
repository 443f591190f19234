"""The manifest: one table, a row per image, and the store its pixels come from."""

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from danil.data.decoding import printable

PARTS = ("train", "validation", "test")
RESERVED = ("path", "group", "split")


class DataError(ValueError):
    """Say which data source cannot be used, why, and what to do."""


class ImageStore(Protocol):
    """Give the pixels of a manifest's images by their `path` entry; picklable, so that loader workers can hold it."""

    def read(self, path: str) -> Image.Image:
        """Return the upright 8-bit RGB image, or raise `danil.data.decoding.ImageError` naming the file."""
        ...

    def size(self, path: str) -> int:
        """Return the image's size in bytes as stored (part of the digest), or −1 where the file is missing."""
        ...


@dataclass(frozen=True)
class Manifest:
    """Hold a data set: a table with one row per image, its tasks and where its pixels are.

    `table` has a fresh `RangeIndex` and the columns `path` (text, unique; POSIX, relative to the store's root), one
    column per task (class names as text, missing = unknown label), `group` (text; patient, lesion … equal to `path`
    where nothing is known), `split` (`train`, `validation`, `test`, or missing = not assigned yet), then metadata
    columns as read.
    `tasks` maps each label column to its class names, in the order of the network's outputs; the first task is the
    main one. `root` is the folder that paths are relative to (`None` for sets made at run time); `source` is
    `READER:PATH` as the user could type it again. `grouped` tells whether `group` carries real information.
    """

    table: pd.DataFrame
    tasks: Mapping[str, tuple[str, ...]]
    store: ImageStore
    source: str
    root: Path | None = None
    grouped: bool = False

    def __len__(self) -> int:
        return len(self.table)

    @property
    def task(self) -> str:
        """Return the name of the main task."""
        return next(iter(self.tasks))

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names of the main task, in the order of the network's outputs."""
        return self.tasks[self.task]

    def labels(self, task: str | None = None) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return class indices, shape `(N,)` int64, −1 where the label is unknown."""
        name = self.task if task is None else task
        codes = pd.Categorical(self.table[name], categories=list(self.tasks[name])).codes
        return np.asarray(codes, dtype=np.int64)

    def part(self, name: str) -> "Manifest":
        """Return the rows whose `split` is `name`, in order."""
        return self.take(np.flatnonzero((self.table["split"] == name).to_numpy()))

    def take(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> "Manifest":
        """Return the rows at these positions, in the order given."""
        return replace(self, table=self.table.iloc[np.asarray(rows, dtype=np.int64)].reset_index(drop=True))

    def digest(self) -> str:
        """Return the SHA-256 (hex) of paths, labels, groups, split, class names and stored sizes, in any row order."""
        columns = ["path", *self.tasks, "group", "split"]
        rows = self.table[columns].astype("string").fillna("\0").itertuples(index=False, name=None)
        lines = sorted("\x1f".join((*row, str(self.store.size(row[0])))) for row in rows)
        header = repr([(task, list(names)) for task, names in self.tasks.items()])
        return hashlib.sha256("\x1e".join([header, *lines]).encode()).hexdigest()


def assembled(
    table: pd.DataFrame,
    tasks: Mapping[str, Sequence[str]],
    *,
    store: ImageStore,
    source: str,
    root: Path | None = None,
) -> Manifest:
    """Return the manifest of a reader's table, which needs `path` and the tasks' columns; the rest is completed.

    `group` and `split` are added where absent; an image without a group is a group of its own.

    Raises:
        DataError: no rows, a path twice, a task named like a column of ours, or a label that is no class.
    """
    if table.empty:
        raise DataError(f"`{source}` holds no images.")
    clash = [task for task in tasks if task in RESERVED]
    if clash:
        raise DataError(f"`{source}`: a label column cannot be called `{clash[0]}`. Rename it.")
    whole = table.reset_index(drop=True)
    whole["path"] = whole["path"].astype("str")
    twice = whole["path"][whole["path"].duplicated()].unique()
    if len(twice):
        raise DataError(f"`{source}` lists {counted(twice, 'image')} more than once. Keep one row for each image.")
    grouped = "group" in whole and bool(whole["group"].notna().any())
    whole["group"] = whole["group"].astype("str").fillna(whole["path"]) if grouped else whole["path"]
    whole["split"] = whole["split"].astype("str") if "split" in whole else pd.Series(None, whole.index, dtype="str")
    for task, names in tasks.items():
        whole[task] = whole[task].astype("str")
        odd = natural(set(whole[task].dropna()) - set(names))
        if odd:
            raise DataError(f"`{source}`: `{task}` has {counted(odd, 'value')} that are none of {', '.join(names)}.")
        for spellings in alike(names):
            warnings.warn(
                f"`{source}`: {counted(spellings, 'class')} of `{task}` differ only in letter case or in how a "
                "number is written, and are taken for different classes. If they are one, give them one spelling.",
                stacklevel=3,
            )
    front = ["path", *tasks, "group", "split"]
    whole = whole[front + [column for column in whole.columns if column not in front]]
    named = {task: tuple(names) for task, names in tasks.items()}
    return Manifest(whole, named, store, source, root, grouped)


def alike(names: Iterable[str]) -> list[list[str]]:
    """Return the sets of names that differ only in letter case, or that are one number (`0`, `0.0`)."""
    sets: dict[str, list[str]] = {}
    for name in names:
        number = re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{0,20})?", name)
        key = str(Decimal(name).normalize()) if number else name.casefold()
        sets.setdefault(key, []).append(name)
    return [spellings for spellings in sets.values() if len(spellings) > 1]


def natural(names: Iterable[str]) -> list[str]:
    """Return names sorted as a person would: `stage2` before `stage10`."""

    def pieces(name: str) -> list[tuple[str, Decimal]]:
        return [(text, Decimal(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", name)]

    return sorted(names, key=lambda name: (pieces(name), name))


def plural(number: int, noun: str) -> str:
    """Return `1 image`, `2,345 images`, `3 classes`."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def counted(names: Iterable[str], noun: str) -> str:
    """Return a count and the first few names: `7 files (a, b, c …)`."""
    listed = list(names)
    shown = ", ".join(f"`{printable(name)}`" for name in listed[:5]) + (" …" if len(listed) > 5 else "")
    ending = "" if len(listed) == 1 else "es" if noun.endswith("s") else "s"
    return f"{len(listed)} {noun}{ending} ({shown})"
