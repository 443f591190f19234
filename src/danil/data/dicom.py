"""Reader `dicom`: a folder of DICOM files, a class per folder or a table of labels; patients are groups, hashed."""

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pandas as pd
from PIL import Image

from danil.data.decoding import ImageError
from danil.data.dicom_patients import check_groups, described, set_key, shown_names, value
from danil.data.dicom_pixels import Window, frame_count, pydicom_module, read_frame, read_header
from danil.data.files import FileImages, is_dicom_file
from danil.data.folder import has_parts, row
from danil.data.listing import DICOM_SUFFIXES, expanded, followed, found_files
from danil.data.manifest import DataError, Manifest, assembled, counted, natural
from danil.data.table import complete, read_table, required

OPTIONS = ("label", "labels", "key", "group", "frames", "window", "names", "patients", "links")
KEYS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "AccessionNumber", "PatientID", "file")


@dataclass(frozen=True)
class DicomImages:
    """Read frames by the manifest's path, `FILE` or `FILE#FRAME` (from 1); `files` names each path's file."""

    root: Path
    files: Mapping[str, str]
    window: Window = "auto"
    links: bool = False

    def place(self, path: str) -> tuple[Path, int]:
        """Return file and frame (from 0), or raise `ImageError`."""
        name, mark, number = ("", "", "") if path in self.files else path.rpartition("#")
        file = self.files.get(name if mark else path)
        if file is None or (mark and not (number.isascii() and number.isdecimal() and len(number) < 9)):
            raise ImageError(path, f"is not in `{self.root}`.")
        return FileImages(self.root, self.links).file(file), int(number) - 1 if mark else 0

    def read(self, path: str) -> Image.Image:
        """Return the frame as 8-bit RGB; an error names the manifest's path and, where that is hashed, the file."""
        file, frame = self.place(path)
        told = "" if path.startswith(file.relative_to(self.root).as_posix()) else f"(file `{file}`) "
        try:
            return read_frame(file, path, frame, self.window)
        except ImageError as error:
            raise ImageError(path, told + error.reason) from error

    def size(self, path: str) -> int:
        """Return the file's size in bytes, −1 where it is missing."""
        try:
            return self.place(path)[0].stat().st_size
        except (OSError, ImageError):
            return -1


def read_dicom(path: Path, options: Mapping[str, str], labelled: bool = True) -> Manifest:
    """Return all frames of a folder's DICOM files (by their mark or the endings `.dcm`, `.dicom`, `.ima`).

    The group is the patient. Identifiers never leave this function unless asked: patient IDs are replaced by a hash,
    keyed with the data set's own instance UIDs, so that it is the same for the same files and cannot be guessed from a
    run alone; where names of files or folders hold a patient's name, ID or birth date, all paths are hashed too.
    Metadata: `modality`, `sex`, `age` in years (90 stands for all above), `manufacturer`.

    Args:
        path: the folder.
        options: labels are the folders above the files (as for reader `folder`), or `label`: an element by keyword
            (`label=BodyPartExamined`), or `labels`: a table beside or below the folder with a column `label` (another:
            `label`) and one of `KEYS` (`key`; `file` is the path in the folder, or a name that one file alone has);
            `group`: another keyword (`StudyInstanceUID`); `frames`: `all` (default), `first` or `middle`; `window`:
            `auto`, `full` or `CENTRE,WIDTH`; `names`: `auto`, `hash` or `keep`; `patients`: `hash` or `keep`.
        labelled: off, labels may be missing.

    Raises:
        DataError: pydicom is missing, no DICOM files, an option or label is wrong.
    """
    pydicom_module()
    chosen, links = checked(options), followed(options)
    files = found_files(path, DICOM_SUFFIXES, links=links, marked=True)
    headers = {file: header_of(path / file) for file in files}
    empty = [file for file, header in headers.items() if header is not None and not header.get("Rows")]
    for file in empty:
        del headers[file]
    if empty:
        warnings.warn(f"`{path}`: {counted(empty, 'DICOM file')} without pixels left out.", stacklevel=2)
    if not headers:
        raise DataError(f"`{path}` holds no DICOM images. Give the folder that holds them.")
    check_groups(path, headers, options)
    key = set_key(headers)
    names = shown_names(path, headers, options.get("names", "auto"), key)
    frame = pd.DataFrame(
        [
            {"file": file, "path": names[file] + tail, **described(header, options, key, file)}
            for file, header in headers.items()
            for tail in frame_tails(header, options.get("frames", "all"))
        ]
    )
    label, split = labels_of(path, frame["file"].tolist(), headers, options, labelled)
    frame["label"], frame["split"] = label, split
    store = DicomImages(path, {shown: file for file, shown in names.items()}, chosen, links)
    classes = natural(frame["label"].dropna().unique())
    table = frame.drop(columns="file")
    return assembled(table, {"label": classes}, store=store, source=f"dicom:{path}", root=path)


def checked(options: Mapping[str, str]) -> Window:
    """Return the window, where all options of few values have one of them."""
    for name, allowed in (("frames", ("all", "first", "middle")), ("names", ("auto", "hash", "keep"))):
        if options.get(name, allowed[0]) not in allowed:
            raise DataError(f"`{name}` is `{options[name]}`; it must be one of {', '.join(allowed)}.")
    if options.get("patients", "hash") not in ("hash", "keep"):
        raise DataError(f"`patients` is `{options['patients']}`; it must be `hash` or `keep`.")
    text = options.get("window", "auto")
    if text in ("auto", "full"):
        return text
    numbers = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*", text)
    if numbers is None or float(numbers[2]) < 1:
        raise DataError(f"`window` is `{text}`; it must be `auto`, `full` or CENTRE,WIDTH with a width of 1 at least.")
    return float(numbers[1]), float(numbers[2])


def source_options(source: str) -> dict[str, str]:
    """Return the options in a source text of this reader, none for other readers."""
    pairs = (item.partition("=") for item in source.rpartition("?")[2].split("&"))
    return {name: unquote(text) for name, _, text in pairs} if source.startswith("dicom:") else {}


def source_window(source: str) -> Window:
    """Return the window that a source text of this reader asks for, `auto` for other readers."""
    return checked({"window": source_options(source).get("window", "auto")})


def source_frames(source: str) -> str:
    """Return which frames a source text of this reader takes, `first` for other readers."""
    frames = source_options(source).get("frames", "all") if source.startswith("dicom:") else "first"
    checked({"frames": frames})
    return frames


def frames_of(file: Path, frames: str) -> list[str]:
    """Return a file's frames by the names that manifests give them, `FILE#FRAME`; the file's own where it has one."""
    tails = frame_tails(header_of(file), frames) if is_dicom_file(file) else [""]
    return [f"{file}{tail}" for tail in tails]


def frame_named(name: str) -> tuple[Path, int]:
    """Return file and frame (from 0) of a name that `frames_of` gives."""
    file, mark, number = name.rpartition("#")
    named = mark and number.isascii() and number.isdecimal() and len(number) < 9
    if named and not Path(name).exists() and is_dicom_file(Path(file)):
        return Path(file), int(number) - 1
    return Path(name), 0


def header_of(file: Path) -> Any | None:
    """Return the header, `None` where it cannot be read (reading its pixels will say why)."""
    try:
        with file.open("rb") as stream:
            return read_header(stream, str(file))
    except (ImageError, OSError):
        return None


def frame_tails(header: Any | None, frames: str) -> list[str]:
    """Return what follows the file's name for each of its frames: nothing where there is one."""
    count = 1 if header is None else frame_count(header)
    if count > 100_000:
        return [""]
    chosen = {"all": range(count), "first": (0,), "middle": (count // 2,)}[frames]
    return [f"#{number + 1}" if count > 1 else "" for number in chosen]


def labels_of(
    path: Path, files: Sequence[str], headers: Mapping[str, Any], options: Mapping[str, str], labelled: bool
) -> tuple[list[str | None], list[str | None]]:
    """Return label and part of each file listed."""
    unknown: list[str | None] = [None] * len(files)
    if "labels" in options:
        found = table_labels(path, headers, options)
        labels, split = [found.get(file) for file in files], unknown
        advice = f"Add them to `{options['labels']}`"
    elif "label" in options:
        labels, split = [value(headers[file], options["label"]) for file in files], unknown
        advice = "Choose another element, or give a table (`?labels=FILE.csv`)"
    else:
        depth = 1 if has_parts(path, list(files)) else 0
        rows = [row(file, depth) for file in files]
        labels, split = [item[1] for item in rows], [item[2] for item in rows]
        advice = "Put them into a folder per class, or give a table (`?labels=FILE.csv`)"
    without = [file for file, label in zip(files, labels, strict=True) if label is None]
    if labelled and without:
        raise DataError(f"`{path}`: {counted(dict.fromkeys(without), 'DICOM file')} without a label. {advice}.")
    return labels, split


def table_labels(path: Path, headers: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, str]:
    """Return file → label by the table's key column."""
    named = expanded(options["labels"])
    table = next((place for place in (path / named, path.parent / named) if place.is_file()), path / named)
    frame = read_table(table)
    key, label = options.get("key") or next((name for name in KEYS if name in frame), KEYS[0]), "label"
    label = options.get("label", label)
    required(frame, [key, label], table)
    complete(frame, key, table)
    filled = frame.dropna(subset=[label]).drop_duplicates([key, label])
    twice = filled[key][filled[key].duplicated()].unique()
    if len(twice):
        raise DataError(f"`{table}` gives {counted(twice, key)} more than one label. Keep one.")
    known: dict[str, str] = dict(zip(filled[key], filled[label], strict=True))
    if key == "file":
        return labels_by_file(list(headers), known, table)
    return {file: known[text] for file in headers if (text := value(headers[file], key)) in known}


def labels_by_file(files: Sequence[str], known: Mapping[str, str], table: Path) -> dict[str, str]:
    """Return file → label: by its path in the folder, else by its name where no other file has it.

    Raises:
        DataError: a name in the table is that of several files.
    """
    exact = {file: known[file] for file in files if file in known}
    rest = [file for file in files if PurePosixPath(file).name in known.keys() - exact.keys()]
    named = Counter(PurePosixPath(file).name for file in rest)
    several = [file for file in rest if named[PurePosixPath(file).name] > 1 and file not in exact]
    if several:
        raise DataError(
            f"`{table}` names {counted(several, 'file')} by names that several files have. Give paths in the folder "
            "instead, e.g. the first of these."
        )
    return {file: known[PurePosixPath(file).name] for file in rest} | exact
