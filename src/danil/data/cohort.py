"""Reader `csv`: a CSV, TSV or Parquet table that lists images, labels, groups and parts."""

import logging
import os
import re
import unicodedata
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from danil.data.decoding import SUFFIXES, printable
from danil.data.files import FileImages, grey_depth
from danil.data.folder import PART_NAMES
from danil.data.listing import DICOM_SUFFIXES, LINKS, encodable, expanded, followed, leading_out
from danil.data.manifest import RESERVED, DataError, Manifest, assembled, counted, natural
from danil.data.table import cells, complete, read_table, required
from danil.data.unknown import MARKS, known_labels

LOGGER = logging.getLogger(__name__)
OPTIONS = ("image", "label", "group", "split", "root", "classes", "encoding", "missing", "links", "depth", "unknown")
GUESSES: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "path", "file", "filename", "file_name", "image_path", "filepath", "image_id", "id_code", "img"),
    "label": ("label", "class", "diagnosis", "dx", "target"),
    "group": ("group", "patient", "patient_id", "patientid", "subject", "subject_id", "lesion_id", "case_id"),
    "split": ("split", "part", "partition", "subset"),
}


def read_cohort(path: Path, options: Mapping[str, str], labelled: bool = True) -> Manifest:
    """Return the images that a table lists, a row each; columns that are not used otherwise become metadata.

    Columns that are not named are looked for under their usual names (`GUESSES`, in that order; letter case ignored, a
    blank or hyphen taken for `_`). What was taken is logged.

    Args:
        path: the `.csv`, `.tsv` or `.parquet` file.
        options: `image`: column of paths (a missing file ending is tried out); `label`: column of class names, or
            several with commas between, each a task, the first the main one; `group`: column of patients or the like,
            or `none`; `split`: column of `train`, `validation`, `test`, or `none`; `root`: folder of the images,
            relative to the table (default: the table's own; no path may leave it); `classes`: the main task's classes
            in order, with commas between (default: natural order); `encoding`: of the text (default UTF-8);
            `missing`: what becomes of rows without an image file, `error` (default) or `keep` (splits and audits that
            need no pixels);
            `unknown`: label texts that mean that nothing is known, as `known_labels` has it; `links` and `depth` as for
            reader `folder`.
        labelled: off, the label column and labels may be missing.

    Raises:
        DataError: a missing column (those there are named), empty or unknown cells, labels like `NA`, missing files,
            duplicates.
    """
    frame = read_table(path, options.get("encoding", "utf-8-sig"))
    image = column(frame, "image", options, path)
    tasks = label_columns(frame, options, path, labelled)
    frame = known_labels(frame, tasks, path, options, labelled)
    group, split = (
        column(frame, role, options, path, needed=role in options) if options.get(role) != "none" else None
        for role in ("group", "split")
    )
    if image is None:
        raise DataError(f"`{path}` has no column of images.")
    complete(frame, image, path)
    if labelled:
        complete(frame, tasks[0], path)
    links, depth = followed(options), grey_depth(options)
    root, paths = placed(frame[image], path, options.get("root"), options.get("missing", "error"), links)
    rest = [name for name in frame.columns if name not in {image, *tasks, group, split, *RESERVED}]
    table = frame[[*rest, *(task for task in tasks if task in frame)]].copy()
    for task in tasks:
        table[task] = frame.get(task)
    table["path"] = paths
    taken = (str(path), image, ",".join(tasks) if tasks[0] in frame else "none", group or "none", split or "none")
    LOGGER.info(
        "`%s` is read with image = %s, label = %s, group = %s, split = %s (others: `?group=COLUMN`, `?split=none` …).",
        *map(printable, taken),
    )
    if group is not None:
        groups = frame[group].where(~frame[group].isin(MARKS), None)
        table["group"] = groups
        warn_of_ungrouped(groups, path)
    if split is not None:
        table["split"] = parts(frame[split], path, split)
    names = {task: natural(table[task].dropna().unique()) for task in tasks}
    if options.get("classes"):
        names[tasks[0]] = [name.strip() for name in options["classes"].split(",")]
        if len(set(names[tasks[0]])) < len(names[tasks[0]]):
            raise DataError(f"`classes` is `{options['classes']}`, which names a class twice. Name each once.")
    return assembled(table, names, store=FileImages(root, links, depth), source=f"csv:{path}", root=root)


def column(frame: pd.DataFrame, role: str, options: Mapping[str, str], path: Path, needed: bool = True) -> str | None:
    """Return the column of a role: as named in the options, else by its usual names, `None` where neither is there."""
    if options.get(role):
        required(frame, [options[role]], path)
        return options[role]
    names = [str(name) for name in reversed(list(frame.columns))]
    lower = {re.sub(r"[\s-]+", "_", name.lower()): name for name in names} | {name.lower(): name for name in names}
    found = next((lower[guess] for guess in GUESSES[role] if guess in lower), None)
    if found is None and needed:
        raise DataError(
            f"`{path}` has no column for `{role}` that could be guessed. Its columns: {', '.join(frame.columns)}. "
            f"Name one: `csv:{path.name}?{role}=COLUMN`."
        )
    return found


def label_columns(frame: pd.DataFrame, options: Mapping[str, str], path: Path, labelled: bool) -> list[str]:
    """Return the columns of labels, a task each."""
    if options.get("label"):
        named = [name.strip() for name in options["label"].split(",")]
        required(frame, named, path)
        return list(dict.fromkeys(named))
    return [column(frame, "label", options, path, needed=labelled) or "label"]


def warn_of_ungrouped(groups: pd.Series, path: Path) -> None:
    """Warn of rows without a group among others that have one."""
    empty = groups.index[groups.isna()]
    if 0 < len(empty) < len(groups):
        warnings.warn(
            f"`{path}`: column `{groups.name}` is empty in {cells(groups)}; each of these images is a group of its "
            "own: splits and intervals take images of one patient for independent. Fill them, or use no groups by "
            "`?group=none`.",
            stacklevel=3,
        )


def placed(
    images: pd.Series, table: Path, root: str | None, missing: str = "error", links: bool = False
) -> tuple[Path, list[str]]:
    """Return the root folder and each image's path relative to it.

    Raises:
        DataError: files that do not exist (the first few are named), or that lie outside the root.
    """
    if missing not in ("error", "keep"):
        raise DataError(f"`missing` is `{missing}`; it must be `error` or `keep`.")
    names = [str(name).replace("\\", "/") for name in images]
    base = table.parent if root is None else Path(os.path.normpath(table.parent / expanded(root)))
    relative = [os.path.relpath(name, base) if name.startswith("/") else os.path.normpath(name) for name in names]
    check_places(table, base, names, relative, links)
    places = located(base, relative)
    absent = [name for name, found in places.items() if found is None]
    if absent and missing == "error":
        does = "does" if len(absent) == 1 else "do"
        raise DataError(
            f"`{table}` lists {counted(absent, 'file')} that {does} not exist below `{base}`. "
            "Correct the paths, or name the images' folder: `?root=…`."
        )
    return base, [places[name] or name for name in relative]


def check_places(table: Path, base: Path, names: list[str], relative: list[str], links: bool) -> None:
    """Raise `DataError` where paths or links lead out of the images' folder."""
    outside = [name for name, place in zip(names, relative, strict=True) if place.startswith(("..", "/"))]
    if outside:
        folders = [Path(os.path.normpath(base.absolute() / name)).parent for name in outside]
        raise DataError(
            f"`{table}`: {counted(outside, 'path')} outside `{base}`, the only folder read unless you name another. "
            f"Name the images' folder: `?root={os.path.commonpath(folders)}`."
        )
    odd = [name for name in relative if not encodable(name)]
    if odd:
        raise DataError(f"`{table}`: {counted(odd, 'path')} with a NUL or no valid text. Correct them.")
    led = [] if links else leading_out(base, relative)
    if led:
        raise DataError(f"`{table}`: {counted(led, 'link')} leading out of `{base}`. {LINKS}")


def located(base: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Return each path with the file ending that exists, `None` where there is none.

    Endings are only tried where a listing of the folder, made once, holds the name: tables have up to millions of rows.
    """
    stems: dict[str, set[str]] = {}
    found: dict[str, str | None] = {}
    for name in dict.fromkeys(names):
        if os.path.isfile(f"{base}/{name}"):  # noqa: PTH113  `Path.is_file` takes several times as long
            found[name] = name
            continue
        folder, _, stem = name.rpartition("/")
        if folder not in stems:
            stems[folder] = file_stems(base / folder)
        tried = (name + ending for ending in (*SUFFIXES, *DICOM_SUFFIXES)) if folded(stem) in stems[folder] else ()
        found[name] = next((path for path in tried if (base / path).is_file()), None)
    return found


def file_stems(folder: Path) -> set[str]:
    """Return the names in a folder without their endings, as `folded`; none where there is no such folder."""
    try:
        return {folded(os.path.splitext(name)[0]) for name in os.listdir(folder)}  # noqa: PTH122, PTH208
    except (FileNotFoundError, NotADirectoryError):
        return set()


def folded(name: str) -> str:
    """Return what is equal for all names that some file system takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()


def parts(values: pd.Series, table: Path, name: str) -> pd.Series:
    """Return the parts as `train`, `validation`, `test`, missing where the cell is empty."""
    odd = natural(value for value in values.dropna().unique() if value.lower() not in PART_NAMES)
    if odd:
        raise DataError(
            f"`{table}`: column `{name}` has {counted(odd, 'value')} that are none of {', '.join(PART_NAMES)}. "
            "Correct them, or name another column: `?split=…`."
        )
    return values.map(lambda value: PART_NAMES[value.lower()], na_action="ignore")
