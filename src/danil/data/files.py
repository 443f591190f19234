"""Images in a folder: their store, finding them, and checking that all can be read."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from danil.data.cores import cores
from danil.data.decoding import SUFFIXES, ImageError, read_image
from danil.data.dicom_pixels import Window, is_dicom, read_frame
from danil.data.manifest import DataError, Manifest, counted

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""


DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""File name endings that are taken for DICOM files."""

LINKS = "Copy what they lead to, or allow it by `?links=follow`."


@dataclass(frozen=True)
class FileImages:
    """Read images below a root folder by their POSIX path relative to it.

    A path that is absolute, has `..` or leads out of the root by a symbolic link is refused; with `links` links may
    lead anywhere.
    """

    root: Path
    links: bool = False

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
        return read_file(self.file(path), path, shorter)

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


def expanded(path: str) -> Path:
    """Return the path with `~` replaced by the home folder, where there is one by that name."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def within(path: Path, root: Path) -> bool:
    """Tell whether a path, its links resolved, lies in a folder."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def read_file(file: Path, title: str | None = None, shorter: int | None = None, window: Window = "auto") -> Image.Image:
    """Return an image file, or the first frame of a DICOM file, as upright 8-bit RGB; errors as in `read_image`."""
    ending = file.suffix.lower()
    if ending in DICOM_SUFFIXES or (ending not in SUFFIXES and is_dicom(file)):
        return read_frame(file, str(file) if title is None else title, 0, window)
    return read_image(file, title, shorter)


def followed(options: Mapping[str, str]) -> bool:
    """Tell whether the option `links` allows links that lead out of the data."""
    if options.get("links", "inside") not in ("inside", "follow"):
        raise DataError(f"`links` is `{options['links']}`; it must be `inside` (default) or `follow`.")
    return options.get("links") == "follow"


def found_images(folder: Path, links: bool = False) -> list[str]:
    """Return all image files below a folder as sorted POSIX paths relative to it; `found_files` says how."""
    return found_files(folder, SUFFIXES, links)


def found_files(folder: Path, endings: tuple[str, ...], links: bool = False, marked: bool = False) -> list[str]:
    """Return all files with one of the endings below a folder as sorted POSIX paths relative to it.

    Hidden files and folders are left out. Links within the folder are followed, each real folder once.

    Args:
        folder: where to look.
        endings: in small letters.
        links: links may lead out of the folder.
        marked: files without an ending count too where they have DICOM's mark.

    Raises:
        DataError: the folder is missing or is no folder, links lead out of it, or names are not UTF-8 text.
    """
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"`{folder}` {state}. Give the folder that holds the data set.")
    found: list[str] = []
    outside: list[str] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not hidden(name)]
        if real in seen:
            continue
        seen.add(real)
        base = Path(place)
        for name in () if links else [item for item in folders if (base / item).is_symlink()]:
            if not within(base / name, folder):
                outside.append((base / name).relative_to(folder).as_posix())
                folders.remove(name)
        for file in (base / name for name in files if not hidden(name)):
            if not file.name.lower().endswith(endings) and not (marked and is_dicom(file)):
                continue
            relative = file.relative_to(folder).as_posix()
            (found if links or not file.is_symlink() or within(file, folder) else outside).append(relative)
    check_names(folder, found, outside)
    return sorted(found)


def check_names(folder: Path, found: Sequence[str], outside: Sequence[str]) -> None:
    """Raise `DataError` where links lead out of the folder, or names cannot stand in a table."""
    if outside:
        raise DataError(f"`{folder}`: {counted(sorted(outside), 'link')} leading out of it. {LINKS}")
    odd = [name for name in found if not name.isprintable() and not encodable(name)]
    if odd:
        raise DataError(f"`{folder}`: {counted(sorted(odd), 'name')} that are not UTF-8 text. Rename them.")


def placed_within(place: Path, folder: Path, links: bool) -> None:
    """Raise `DataError` where a table or folder found in a data set is a link that leads out of it."""
    if not links and place.is_symlink() and not within(place, folder):
        raise DataError(f"`{place}` is a link that leads out of `{folder}`. {LINKS}")


def leading_out(root: Path, paths: Iterable[str]) -> list[str]:
    """Return the paths below a root that leave it by a link, theirs or that of a folder above them."""
    inside: dict[str, bool] = {}
    led: list[str] = []
    for path in dict.fromkeys(paths):
        parent, _, file = f"{root}/{path}".rpartition("/")
        if parent not in inside:
            inside[parent] = within(Path(parent), root)
        if not inside[parent] or (os.path.islink(f"{parent}/{file}") and not within(root / path, root)):  # noqa: PTH114
            led.append(path)
    return led


def encodable(name: str) -> bool:
    """Tell whether a name can be written as UTF-8, without a NUL."""
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


def hidden(name: str) -> bool:
    """Tell whether a file or folder is the system's own."""
    return name.startswith(".") or name in ("__MACOSX", "@eaDir")


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
        below = found_files(path, (*SUFFIXES, *DICOM_SUFFIXES)) if path.is_dir() else []
        files += [path / name for name in below] if path.is_dir() else [path]
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
