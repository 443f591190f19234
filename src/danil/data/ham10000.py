"""Reader `ham10000`: dermatoscopic images of seven kinds of pigmented lesions (Tschandl et al. 2018)."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from danil.data.files import FileImages
from danil.data.listing import followed, found_images, image_of_each, placed_within
from danil.data.manifest import DataError, Manifest, assembled, counted, natural
from danil.data.table import complete, read_table, required

OPTIONS = ("tasks", "metadata", "missing", "links")
SEVERAL_TASKS = {"tasks": "dx,localization"}
METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")


def read_ham10000(path: Path, options: Mapping[str, str], labelled: bool = True) -> Manifest:
    """Return HAM10000 as published: metadata table and images in `HAM10000_images_part_1`, `_part_2` or anywhere below.

    The group is the lesion (several images of one lesion are common). Metadata: `dx_type`, `age` in years, `sex`,
    `localization`. Classes in alphabetical order.

    Args:
        path: the folder of the metadata table.
        options: `tasks`: `dx` (default) or `dx,localization`, the second with `unknown` as a missing label; `metadata`:
            another table of the same columns; `missing`: what becomes of rows without an image file, `error` (default),
            `skip` (left out) or `keep` (the row stays: splits and audits that need no pixels); `links` as for `folder`.
        labelled: off, `dx` may be empty.

    Raises:
        DataError: no table, missing columns, unknown classes, missing images (the first few are named), or several
            images of one name outside the official folders.
    """
    table_file = metadata_file(path, options.get("metadata"))
    placed_within(table_file, path, followed(options) or "metadata" in options)
    frame = read_table(table_file)
    required(frame, COLUMNS, table_file)
    complete(frame, "image_id", table_file)
    complete(frame, "lesion_id", table_file)
    if labelled:
        complete(frame, "dx", table_file)
    tasks = chosen_tasks(options.get("tasks", "dx"))
    frame = located(frame, path, options.get("missing", "error"), followed(options))
    table = frame[["path", "dx", "dx_type", "sex", "localization"]].copy()
    table["age"] = pd.to_numeric(frame["age"], errors="coerce")
    table["group"] = frame["lesion_id"]
    if "localization" in tasks:
        table["localization"] = table["localization"].where(table["localization"] != "unknown", None)
    names = {"dx": CLASSES, "localization": natural(table["localization"].dropna().unique())}
    chosen = {task: names[task] for task in tasks}
    return assembled(table, chosen, store=FileImages(path, followed(options)), source=f"ham10000:{path}", root=path)


def metadata_file(path: Path, named: str | None) -> Path:
    """Return the metadata table of the folder."""
    if not path.is_dir():
        raise DataError(f"`{path}` is not a folder. Give the folder that holds `{METADATA[0]}`.")
    candidates = [path / name for name in ((named,) if named else METADATA)]
    found = next((file for file in candidates if file.is_file()), None)
    if found is None:
        raise DataError(f"`{path}` has no `{candidates[0].name}`. Give the folder that holds it, or `?metadata=FILE`.")
    return found


def chosen_tasks(text: str) -> list[str]:
    """Return the tasks of the option."""
    tasks = [task.strip() for task in text.split(",")]
    if not tasks or set(tasks) - {"dx", "localization"} or len(set(tasks)) < len(tasks):
        raise DataError(f"`tasks` is `{text}`; it must be `dx`, `localization` or `dx,localization`.")
    return tasks


def located(frame: pd.DataFrame, path: Path, missing: str, links: bool) -> pd.DataFrame:
    """Return the rows with `path`, rows without an image file treated as `missing` says."""
    if missing not in ("error", "skip", "keep"):
        raise DataError(f"`missing` is `{missing}`; it must be `error`, `skip` or `keep`.")
    files = image_of_each(path, frame["image_id"], found_images(path, links), r"HAM10000_images_part_[12]/[^/]+")
    absent = [image for image in frame["image_id"] if image not in files]
    if absent and missing == "error":
        raise DataError(
            f"`{path}` lacks {counted(absent, 'image')} of its metadata table. Put the official folders "
            "`HAM10000_images_part_1` and `_part_2` beside the table, or go on without by `?missing=skip`."
        )
    known = frame[frame["image_id"].isin(files)] if missing == "skip" else frame
    return known.assign(path=[files.get(image, f"{image}.jpg") for image in known["image_id"]])
