"""Images in a folder: their store, reading them, and checking that all can be read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from danil.cores import cores
from danil.data.decoding import SUFFIXES, ImageError, read_image
from danil.data.dicom_pixels import Window, is_dicom, read_frame
from danil.data.listing import DICOM_SUFFIXES, LINKS, within
from danil.data.manifest import DataError, Manifest, counted

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""


@dataclass(frozen=True)
class FileImages:
    """Read images below a root folder by their POSIX path relative to it.

    A path that is absolute, has `..` or leads out of the root by a symbolic link is refused; with `links` links may
    lead anywhere. `depth` as in `read_image`.
    """

    root: Path
    links: bool = False
    depth: int | None = None

    def file(self, path: str) -> Path:
        """Return the file of a path, or raise `ImageError` where the path leaves the root."""
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path:
            raise ImageError(path, f"lies outside its root folder `{self.root}`. Use paths below the root.")
        if not self.links and not within(self.root / parts, self.root):
            raise ImageError(path, f"is a link that leads out of `{self.root}`. {LINKS}")
        return self.root / parts

    def read(self, path: str, shorter: int | None = None) -> Image.Image:
        """Return the image as upright 8-bit RGB; `shorter` as in `read_image`."""
        return read_file(self.file(path), path, shorter, depth=self.depth)

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


def read_file(
    file: Path,
    title: str | None = None,
    shorter: int | None = None,
    window: Window = "auto",
    frame: int = 0,
    depth: int | None = None,
) -> Image.Image:
    """Return an image file, or a frame (from 0) of a DICOM file, as upright 8-bit RGB; the rest as in `read_image`."""
    if is_dicom_file(file):
        return read_frame(file, str(file) if title is None else title, frame, window)
    return read_image(file, title, shorter, depth)


def is_dicom_file(file: Path) -> bool:
    """Tell whether a file is to be read as DICOM: by its ending, or by its mark where the ending is none of ours."""
    ending = file.suffix.lower()
    return ending in DICOM_SUFFIXES or (ending not in SUFFIXES and is_dicom(file))


def grey_depth(options: Mapping[str, str]) -> int | None:
    """Return the bits that the option `depth` names, `None` without it."""
    text = options.get("depth")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 3 and 8 <= int(text) <= 16):
        raise DataError(f"`depth` is `{text}`; give the bits that grey values use, a whole number from 8 to 16.")
    return int(text)


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
