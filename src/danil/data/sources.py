"""Reading DATA as the user writes it: `READER:PATH?option=value`, or a bare path whose reader is recognised."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from urllib.parse import quote, unquote

from danil.data.decoding import SUFFIXES
from danil.data.files import grey_depth
from danil.data.identical import with_identical_grouped
from danil.data.listing import DICOM_SUFFIXES, expanded, is_marked, walked
from danil.data.manifest import DataError, Manifest

Reader = Callable[[Path, Mapping[str, str], bool], Manifest]

READERS: Mapping[str, str] = {
    "folder": "danil.data.folder:read_folder",
    "csv": "danil.data.cohort:read_cohort",
    "ham10000": "danil.data.ham10000:read_ham10000",
    "aptos2019": "danil.data.aptos2019:read_aptos2019",
    "crc_msi": "danil.data.crc_msi:read_crc_msi",
    "idrid": "danil.data.idrid:read_idrid",
    "dicom": "danil.data.dicom:read_dicom",
    "medmnist": "danil.data.medmnist:read_medmnist",
}
"""Reader → module and function, imported when first used.

The module's `OPTIONS` names what it takes, `SEVERAL_TASKS` the options that give all tasks where the default is one.
"""

SYNTHETIC = "synthetic"
NAMES = (*READERS, SYNTHETIC)


@dataclass(frozen=True)
class Source:
    """Hold the parts of a source text."""

    reader: str
    path: str
    options: Mapping[str, str]

    def __str__(self) -> str:
        tail = "&".join(f"{key}={quote(value, safe=',/()[]^$*.|')}" for key, value in self.options.items())
        return f"{self.reader}:{self.path}" + (f"?{tail}" if tail else "")


def read_source(text: str, labelled: bool = True, several: bool = False, pixels: bool = True) -> Manifest:
    """Return the manifest of `READER:PATH` or of a bare path.

    Options follow a question mark: `csv:cohort.csv?image=file&label=dx&group=patient`; in their values `%26` stands
    for `&` and so on (percent encoding). `groups=identical`, with readers whose images are files of their own, puts
    images of equal bytes into one group. `~` is the home folder.

    Args:
        text: what to read, e.g. `ham10000:data/HAM10000` or `tiles/`.
        labelled: off, images without a label are accepted (external images to predict).
        several: read all tasks of a set whose reader would give one by default; options in `text` win.
        pixels: off, rows whose image file is missing are kept, where the reader has a table of its own.

    Raises:
        DataError: an unknown reader or option (the nearest known is named), or what the reader finds wrong.
    """
    if text.startswith(f"{SYNTHETIC}:"):
        return import_module("danil.data.synthetic").read_synthetic_source(text)
    source = parsed_source(text)
    module, _, function = READERS[source.reader].partition(":")
    loaded = import_module(module)
    known = (*loaded.OPTIONS, "groups")
    for key in source.options:
        if key not in known:
            raise DataError(
                f"`{text}`: `{source.reader}` has no option `{key}`.{nearest(key, known)} It takes: {', '.join(known)}."
            )
    if several:
        source = replace(source, options={**getattr(loaded, "SEVERAL_TASKS", {}), **source.options})
    options = dict(source.options)
    groups = options.pop("groups", None)
    if groups not in (None, "identical"):
        raise DataError(f"`{text}`: `groups` is `{groups}`; give `identical`: images of equal bytes are one group.")
    if not pixels and "missing" in loaded.OPTIONS:
        options = {"missing": "keep", **options}
    read: Reader = getattr(loaded, function)
    manifest = replace(read(expanded(source.path), options, labelled), source=str(source))
    return with_identical_grouped(manifest) if groups else manifest


def relocated(source: str, place: str) -> str:
    """Return where the data of `source` are now, `place`, with the options of `source` that `place` does not state."""
    if any(text.startswith(f"{SYNTHETIC}:") for text in (source, place)):
        return place
    new, (_, options) = parsed_source(place), optioned(source)
    same = source.startswith(f"{new.reader}:")
    return str(replace(new, options={**options, **new.options})) if same else place


def parsed_source(text: str) -> Source:
    """Return reader, path and options of a source text.

    Raises:
        DataError: empty, an unknown reader, or a bare path that does not exist.
    """
    if not text.strip() or "\0" in text:
        raise DataError("the data source is empty. Give `READER:PATH` or a path, e.g. `folder:images`.")
    prefix, colon, rest = text.partition(":")
    if colon and prefix in READERS:
        path, options = optioned(rest)
        if not path:
            raise DataError(f"`{text}` has no path. Write `{prefix}:PATH`.")
        return Source(prefix, path, options)
    path, options = optioned(text)
    if expanded(path).exists():
        return Source(recognised(expanded(path)), path, options)
    if colon and len(prefix) > 1 and "/" not in prefix:
        raise DataError(f"`{text}`: no reader is called `{prefix}`.{nearest(prefix, NAMES)} Known: {', '.join(NAMES)}.")
    raise DataError(f"`{path}` does not exist. Give `READER:PATH` (readers: {', '.join(NAMES)}) or a path.")


def source_depth(source: str) -> int | None:
    """Return the bits that a source text says 16-bit grey uses, `None` where it says nothing."""
    return None if source.startswith(f"{SYNTHETIC}:") else grey_depth(parsed_source(source).options)


def optioned(text: str) -> tuple[str, dict[str, str]]:
    """Return the path and the options behind its last `?`; a path that exists with its `?` has no options."""
    path, mark, tail = text.rpartition("?")
    if not mark or expanded(text).exists():
        return text, {}
    options: dict[str, str] = {}
    for item in filter(None, tail.split("&")):
        key, equals, value = item.partition("=")
        if not equals:
            raise DataError(f"`{text}`: option `{item}` is not of the form `name=value`.")
        options[key] = unquote(value)
    return path, options


def recognised(path: Path) -> str:
    """Return the reader for an existing file or folder, by the files that only one data set has."""
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return "medmnist"
        if suffix in (".csv", ".tsv", ".parquet"):
            return "csv"
        raise DataError(f"`{path}` is a file of no known kind. Give a folder, or a .csv, .tsv, .parquet or .npz file.")
    if any(path.glob("HAM10000_metadata*")):
        return "ham10000"
    if (path / "train.csv").is_file() and (path / "train_images").is_dir():
        return "aptos2019"
    if (path / "CRC_DX_TRAIN").is_dir():
        return "crc_msi"
    if any(path.glob("*Disease Grading*.csv")) or any(path.glob("*/*Disease Grading*.csv")):
        return "idrid"
    return "dicom" if first_kind(path) == "dicom" else "folder"


def first_kind(path: Path) -> str | None:
    """Return whether the first image file below a folder is a picture (`folder`) or a DICOM file (`dicom`)."""
    for base, folders, files in walked(path):
        folders[:] = [name for name in folders if not (base / name).is_symlink()]
        for name in files:
            if name.lower().endswith(SUFFIXES):
                return "folder"
            if name.lower().endswith(DICOM_SUFFIXES) or is_marked(base / name):
                return "dicom"
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean …?`, or nothing where none of the known names, in lower case, is near."""
    close = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(f'`{item}`' for item in close)}?" if close else ""
