"""Splits on disk."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pandas as pd

from danil.data.atomic import write_atomically
from danil.data.manifest import PARTS, DataError, Manifest, counted

HEADER = "# danil split, digest "


def write_split(path: str | Path, manifest: Manifest) -> str:
    """Write `path,split` of every image as CSV, below a comment line with the manifest's digest; return the digest."""
    digest = manifest.digest()
    table = manifest.table[["path", "split"]].sort_values("path")
    odd = table["path"].str.contains("\r", regex=False).any()  # which CSV's writer does not quote by itself
    text = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL)
    write_atomically(path, f"{HEADER}{digest}\n{text}")
    return digest


def read_split(path: str | Path, manifest: Manifest) -> Manifest:
    """Return the manifest divided as the file says.

    Raises:
        DataError: the file is missing or malformed, its images are not the manifest's, it names an unknown part, or the
            digest shows that labels, groups, classes or file sizes have changed since it was written. (A split of the
            main task alone fits more tasks.)
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")  # a name may hold a carriage return
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"split `{path}` could not be read: {error}. Make one by `danil split DATA --out FILE`."
        ) from error
    first, _, rest = text.partition("\n")
    try:
        table = pd.read_csv(io.StringIO(rest), dtype="str", keep_default_na=False)
    except ValueError as error:
        raise DataError(f"split `{path}` is no well-formed CSV: {error}.") from error
    if not first.startswith(HEADER) or list(table.columns) != ["path", "split"]:
        raise DataError(f"split `{path}` was not written by `danil split`: it needs its comment line and `path,split`.")
    check_paths(path, table, manifest)
    odd = sorted(set(table["split"]) - set(PARTS) - {""})
    if odd:
        raise DataError(f"split `{path}` has {counted(odd, 'part')} that are none of {', '.join(PARTS)}.")
    parts = table.set_index("path")["split"].replace("", None)
    divided = replace(manifest, table=manifest.table.assign(split=manifest.table["path"].map(parts).astype("str")))
    alone = replace(divided, tasks={divided.task: divided.classes})
    if first.removeprefix(HEADER).strip() not in (divided.digest(), alone.digest()):
        raise DataError(
            f"split `{path}` was made for other contents of `{manifest.source}`: labels, groups, classes or file sizes "
            "have changed since, or the file was edited. Restore the data, or make a new split by `danil split`."
        )
    return divided


def check_paths(path: str | Path, table: pd.DataFrame, manifest: Manifest) -> None:
    """Raise `DataError` unless the file has each image of the manifest once and no other."""
    listed, present = set(table["path"]), set(manifest.table["path"])
    repeated = table["path"][table["path"].duplicated()]
    for wrong, what in (
        (sorted(present - listed), "lacks {} of the data"),
        (sorted(listed - present), "has {} that the data do not have"),
        (sorted(repeated), "has {} twice"),
    ):
        if wrong:
            raise DataError(f"split `{path}` {what.format(counted(wrong, 'image'))}. Make a new one by `danil split`.")
