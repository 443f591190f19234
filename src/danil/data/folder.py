"""Reader `folder`: a folder per class, with or without folders `train`, `validation`, `test` above the classes."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from danil.data.files import FileImages, grey_depth
from danil.data.listing import followed, found_images, hidden, is_run
from danil.data.manifest import DataError, Manifest, assembled, counted, natural

OPTIONS = ("group", "links", "depth")
PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def read_folder(path: Path, options: Mapping[str, str], labelled: bool = True) -> Manifest:
    """Return the images of `CLASS/…` or `PART/CLASS/…`; class names in natural order (`stage2` before `stage10`).

    Folders below a class folder belong to it. Folders without images are named in a warning and left out.

    Args:
        path: the folder above the classes (or above the parts).
        options: `group`, a regular expression searched in the path; its first group (or the whole match) is the group,
            e.g. `folder:tiles?group=(P[0-9]+)_`; `links`: `inside` (default: symbolic links must stay in the folder) or
            `follow`; `depth`: the bits that 16-bit grey uses.
        labelled: off, images that lie in no class folder are accepted, without a label.

    Raises:
        DataError: a missing or empty folder, parts and classes side by side, images outside class folders only.
    """
    links = followed(options)
    paths = found_images(path, links, told=True)
    if not paths:
        raise DataError(f"`{path}` holds no images. Put the images of each class into a folder named after the class.")
    depth = 1 if has_parts(path, paths) else 0
    within = [image for image in paths if len(PurePosixPath(image).parts) > depth + 1]
    loose = len(paths) - len(within)
    if labelled and not within:
        raise DataError(
            f"`{path}` holds {loose} images but no class folders. Put each class into a folder of its own, "
            "or list images and labels in a CSV file and give that."
        )
    if labelled and loose:
        warnings.warn(f"`{path}`: {loose} images outside the class folders are left out.", stacklevel=2)
    rows = [row(image, depth) for image in (within if labelled else paths)]
    table = pd.DataFrame(rows, columns=["path", "label", "split"])
    warn_of_empty(path, depth, {str(PurePosixPath(*PurePosixPath(p).parts[: depth + 1])) for p in within})
    if "group" in options:
        table["group"] = searched(table["path"], options["group"])
    store = FileImages(path, links, grey_depth(options))
    classes = natural(table["label"].dropna().unique())
    return assembled(table, {"label": classes}, store=store, source=f"folder:{path}", root=path)


def has_parts(path: Path, paths: list[str]) -> bool:
    """Tell whether the top folders are parts of a split."""
    tops = {PurePosixPath(image).parts[0] for image in paths if "/" in image}
    parts = {top for top in tops if top.lower() in PART_NAMES}
    if not parts or not any(len(PurePosixPath(image).parts) > 2 for image in paths if image.split("/")[0] in parts):
        return False
    if parts != tops:
        raise DataError(
            f"`{path}` has {counted(natural(parts), 'part')} of a split and "
            f"{counted(natural(tops - parts), 'other folder')} side by side. Keep one kind."
        )
    return True


def row(image: str, depth: int) -> tuple[str, str | None, str | None]:
    """Return path, class and part of an image."""
    folders = PurePosixPath(image).parts[:-1]
    label = folders[depth] if len(folders) > depth else None
    return image, label, PART_NAMES[folders[0].lower()] if depth and folders else None


def warn_of_empty(path: Path, depth: int, filled: set[str]) -> None:
    """Warn of class folders without images."""
    folders = [item for item in path.glob("*/" * depth + "*") if item.is_dir() and not hidden(item.name)]
    empty = natural(item.relative_to(path).as_posix() for item in folders if not is_run(item))
    empty = [name for name in empty if name not in filled]
    if empty and filled:
        warnings.warn(f"`{path}`: {counted(empty, 'folder')} without images left out.", stacklevel=3)


def searched(paths: pd.Series, pattern: str) -> list[str]:
    """Return each path's group.

    Raises:
        DataError: no valid regular expression, or paths that it does not match.
    """
    try:
        found = [re.search(pattern, path) for path in paths]
    except re.error as error:
        raise DataError(f"`group` is `{pattern}`, which is no regular expression: {error}.") from error
    unmatched = [path for path, match in zip(paths, found, strict=True) if match is None]
    if unmatched:
        raise DataError(f"`group` is `{pattern}`, which does not match {counted(unmatched, 'path')}. Widen it.")
    return [match[1] or match[0] if match.re.groups else match[0] for match in found if match is not None]
