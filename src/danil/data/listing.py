"""Finding files below a folder: images, DICOM files, and the image of each name in a table."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from danil.data.decoding import SUFFIXES, printable
from danil.data.dicom_pixels import is_dicom
from danil.data.manifest import DataError, counted

LOGGER = logging.getLogger(__name__)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""File name endings that are taken for DICOM files."""

LINKS = "Copy what they lead to, or allow it by `?links=follow`."
NAMED = "Name what they lead to beside the folder, as a path of its own."


def expanded(path: str) -> Path:
    """Return the path with `~` replaced by the home folder, where there is one by that name."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def within(path: Path, root: Path) -> bool:
    """Tell whether a path, its links resolved, lies in a folder."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def followed(options: Mapping[str, str]) -> bool:
    """Tell whether the option `links` allows links that lead out of the data."""
    if options.get("links", "inside") not in ("inside", "follow"):
        raise DataError(f"`links` is `{options['links']}`; it must be `inside` (default) or `follow`.")
    return options.get("links") == "follow"


def found_images(folder: Path, links: bool = False, told: bool = False) -> list[str]:
    """Return all image files below a folder as sorted POSIX paths relative to it; `found_files` says how.

    `told`: log how many files of which endings are left out.
    """
    passed: Counter[str] = Counter()
    found = found_files(folder, SUFFIXES, links, passed=passed)
    if told:
        tell_passed(folder, passed)
    return found


def found_files(
    folder: Path,
    endings: tuple[str, ...],
    links: bool = False,
    marked: bool = False,
    advice: str = LINKS,
    passed: Counter[str] | None = None,
) -> list[str]:
    """Return all files with one of the endings below a folder as sorted POSIX paths relative to it.

    Args:
        folder: where to look, as `walked` does.
        endings: in small letters.
        links: links may lead out of the folder.
        marked: files without an ending count too where they have DICOM's mark.
        advice: what to do about links that lead out.
        passed: where to count the endings of other files.

    Raises:
        DataError: the folder is missing or is no folder, one below it cannot be listed, links lead out of it, or names
            are not UTF-8 text.
    """
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"`{folder}` {state}. Give the folder that holds the data set.")
    found: list[str] = []
    outside: list[str] = []
    for base, folders, files in walked(folder):
        for name in () if links else [item for item in folders if (base / item).is_symlink()]:
            if not within(base / name, folder):
                outside.append((base / name).relative_to(folder).as_posix())
                folders.remove(name)
        for file in (base / name for name in files):
            if not file.name.lower().endswith(endings) and not (marked and is_marked(file)):
                if passed is not None:
                    passed[file.suffix.lower()] += 1
                continue
            relative = file.relative_to(folder).as_posix()
            (found if links or not file.is_symlink() or within(file, folder) else outside).append(relative)
    check_names(folder, found, outside, advice)
    return sorted(found)


def tell_passed(folder: Path, passed: Counter[str]) -> None:
    """Log how many files below a folder are left out by their endings."""
    if passed:
        LOGGER.info("`%s`: left out as no image by their endings: %s.", printable(str(folder)), counted_endings(passed))


def counted_endings(passed: Counter[str]) -> str:
    """Return how many files have which ending, the most frequent first: `3 .avif, 1 without an ending`."""
    most = sorted(passed.items(), key=lambda item: (-item[1], item[0]))[:8]
    shown = [f"{count:,} {printable(ending) or 'without an ending'}" for ending, count in most]
    return ", ".join(shown) + (" …" if len(passed) > 8 else "")


def walked(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield this folder and each below it with its folders, which may be removed, and files, both sorted.

    Hidden files and folders are left out, and so are run folders below this one, which hold figures. Links to folders
    are followed, each real folder once.

    Raises:
        DataError: a folder cannot be listed.
    """
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse_unlisted):
        base, real = Path(place), os.path.realpath(place)
        if real in seen or (base != folder and is_run(base)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not hidden(name))
        yield base, folders, sorted(name for name in files if not hidden(name))


def refuse_unlisted(error: OSError) -> None:
    """Raise `DataError` naming a folder that cannot be listed: what it holds would be missing without a word."""
    raise DataError(
        f"`{error.filename}` cannot be listed: {error.strerror}. Give yourself the permission (`chmod u+rx`), "
        "or move the folder out of the data."
    ) from error


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run that `danil train` made."""
    return (folder / "recipe.toml").is_file() and (folder / "data.json").is_file()


def is_marked(file: Path) -> bool:
    """Tell whether a file is a DICOM image or document by its mark; an index (`DICOMDIR`) is neither."""
    return file.name.upper() != "DICOMDIR" and is_dicom(file)


def check_names(folder: Path, found: Sequence[str], outside: Sequence[str], advice: str) -> None:
    """Raise `DataError` where links lead out of the folder, or names cannot stand in a table."""
    if outside:
        raise DataError(f"`{folder}`: {counted(sorted(outside), 'link')} leading out of it. {advice}")
    odd = [name for name in found if not name.isprintable() and not encodable(name)]
    if odd:
        raise DataError(f"`{folder}`: {counted(sorted(odd), 'name')} that are not UTF-8 text. Rename them.")


def placed_within(place: Path, folder: Path, links: bool) -> None:
    """Raise `DataError` where a table or folder found in a data set is outside it, by a link of its own or above it."""
    if not links and place.exists() and not within(place, folder):
        raise DataError(f"`{place}` is, or lies in, a link that leads out of `{folder}`. {LINKS}")


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

    A file given by name is returned whatever its ending, also where it does not exist: reading it says so.

    Raises:
        DataError: no path exists, or there is no image at all.
    """
    files: list[Path] = []
    endings = (*SUFFIXES, *DICOM_SUFFIXES)
    given = [Path(path) for path in paths]
    if given and not any(path.exists() for path in given):
        does = "does" if len(given) == 1 else "do"
        raise DataError(f"{counted(map(str, given), 'path')} that {does} not exist. Give image files or folders.")
    for path in given:
        passed: Counter[str] = Counter()
        below = found_files(path, endings, marked=True, advice=NAMED, passed=passed) if path.is_dir() else []
        tell_passed(path, passed)
        files += [path / name for name in below] if path.is_dir() else [path]
    if not files:
        raise DataError(
            f"no image found; in folders, files that end in {', '.join(endings)}, or that have DICOM's mark, are "
            "looked for."
        )
    odd = [str(file) for file in files if not encodable(str(file))]
    if odd:
        raise DataError(f"{counted(odd, 'path')} that are not UTF-8 text, which no table can hold. Rename them.")
    return files


def image_of_each(folder: Path, names: Iterable[str], images: Iterable[str], official: str) -> dict[str, str]:
    """Return each name's image, whatever the ending: of several the one in the data set's own place.

    Args:
        folder: what errors name.
        names: names of images without an ending; those without an image are left out.
        images: POSIX paths.
        official: regular expression of the paths in the published layout.

    Raises:
        DataError: several images of one name, none or more of them in the official place.
    """
    found: dict[str, list[str]] = {name: [] for name in names}
    for image in images:
        found.get(PurePosixPath(image).stem, []).append(image)
    for name, places in found.items():
        found[name] = [place for place in places if re.fullmatch(official, place)] or places
    twice = [place for places in found.values() if len(places) > 1 for place in places]
    if twice:
        raise DataError(
            f"`{folder}` has several images of one name: {counted(twice, 'file')}. Move masks and other versions of an "
            "image out of this folder."
        )
    return {name: places[0] for name, places in found.items() if places}
