"""Images in a folder: their store, finding them, and checking that all can be read."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from danil.data.cores import cores
from danil.data.decoding import SUFFIXES, ImageError, read_image
from danil.data.manifest import DataError, Manifest, counted

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""


@dataclass(frozen=True)
class FileImages:
    """Read images below a root folder by their POSIX path relative to it.

    A path that is absolute or has `..` is refused; a symbolic link below the root is followed.
    """

    root: Path

    def file(self, path: str) -> Path:
        """Return the file of a path, or raise `ImageError` where the path leaves the root."""
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path:
            raise ImageError(path, f"lies outside its root folder `{self.root}`. Use paths below the root.")
        return self.root / parts

    def read(self, path: str, shorter: int | None = None) -> Image.Image:
        """Return the image as upright 8-bit RGB; `shorter` as in `read_image`."""
        return read_image(self.file(path), path, shorter)

    def size(self, path: str) -> int:
        """Return the file's size in bytes, −1 where it is missing."""
        try:
            return self.file(path).stat().st_size
        except OSError:
            return -1


class UnreadableImages(DataError):
    """List every image that could not be read, in `errors`."""

    def __init__(self, errors: Sequence[ImageError]) -> None:
        listed = "\n".join(f"  {error}" for error in errors[:20]) + ("\n  …" if len(errors) > 20 else "")
        super().__init__(
            f"{len(errors)} image{' is' if len(errors) == 1 else 's are'} unreadable "
            f"(repair or remove, or go on without by `--skip-bad`):\n{listed}"
        )
        self.errors = list(errors)

    def __reduce__(self) -> tuple[type["UnreadableImages"], tuple[list[ImageError]]]:
        return (type(self), (self.errors,))


def found_images(folder: Path) -> list[str]:
    """Return all image files below a folder as sorted POSIX paths relative to it.

    Hidden files and folders are left out. Links to folders are followed, each real folder once.

    Raises:
        DataError: the folder is missing or is no folder.
    """
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"`{folder}` {state}. Give the folder that holds the data set.")
    found: list[str] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not hidden(name)]
        if real in seen:
            continue
        seen.add(real)
        images = [name for name in files if not hidden(name) and name.lower().endswith(SUFFIXES)]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in images]
    return sorted(found)


def hidden(name: str) -> bool:
    """Tell whether a file or folder is the system's own."""
    return name.startswith(".") or name == "__MACOSX"


def image_files(paths: Iterable[str | Path]) -> list[Path]:
    """Return the files given and all images below the folders given, in this order, a folder's images by name.

    A file given by name is returned whatever its ending.

    Raises:
        DataError: a path does not exist, or there is no image at all.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"`{path}` does not exist. Give image files or folders.")
        files += [path / name for name in found_images(path)] if path.is_dir() else [path]
    if not files:
        raise DataError(f"no image found; in folders, files that end in {', '.join(SUFFIXES)} are looked for.")
    return files


def unreadable(manifest: Manifest, progress: Progress | None = None) -> list[ImageError]:
    """Return an error for every image that cannot be decoded whole, in the manifest's order; all files are read."""

    def fault(path: str) -> ImageError | None:
        try:
            manifest.store.read(path)
        except ImageError as error:
            return error
        return None

    faults: list[ImageError] = []
    with ThreadPoolExecutor(threads()) as pool:
        for done, error in enumerate(pool.map(fault, manifest.table["path"]), start=1):
            faults += [error] if error else []
            if progress is not None:
                progress(done, len(manifest))
    return faults


def threads() -> int:
    """Return how many threads decode: the cores this process may use, at most 32."""
    return min(32, cores())


def without(manifest: Manifest, paths: Iterable[str]) -> Manifest:
    """Return the manifest without these images.

    Raises:
        DataError: a path that the manifest does not have, or nothing left.
    """
    dropped = set(paths)
    strange = dropped - set(manifest.table["path"])
    if strange:
        raise DataError(
            f"`{manifest.source}` does not have {counted(sorted(strange), 'image')} that should be left out."
        )
    kept = (~manifest.table["path"].isin(dropped)).to_numpy().nonzero()[0]
    if not len(kept):
        raise DataError(f"`{manifest.source}`: no image is left.")
    return manifest.take(kept)
