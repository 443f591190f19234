"""Splits on disk, and what a split looks like in numbers."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from danil.data.atomic import write_atomically
from danil.data.manifest import PARTS, DataError, Manifest, counted

HEADER = "# danil split, digest "


def write_split(path: str | Path, manifest: Manifest) -> str:
    """Write `path,split` of every image as CSV, below a comment line with the manifest's digest; return the digest."""
    digest = manifest.digest()
    table = manifest.table[["path", "split"]].sort_values("path").to_csv(index=False, lineterminator="\n")
    write_atomically(path, f"{HEADER}{digest}\n{table}")
    return digest


def read_split(path: str | Path, manifest: Manifest) -> Manifest:
    """Return the manifest divided as the file says.

    Raises:
        DataError: the file is missing or malformed, its images are not the manifest's, it names an unknown part, or the
            digest shows that labels, groups, classes or file sizes have changed since it was written. (A split of the
            main task alone fits more tasks.)
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
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


@dataclass(frozen=True)
class SplitSummary:
    """Hold a split's numbers; its text is a table for people.

    `counts`: images per class (rows) and part (columns). `deviation`: the largest difference between a class's share of
    a part and its share of all images. `divided_groups`: groups with images in more than one part.
    """

    counts: pd.DataFrame
    deviation: float
    divided_groups: int

    def __str__(self) -> str:
        whole = pd.concat([self.counts, self.counts.sum().to_frame("all").T])
        return (
            f"{whole.to_string()}\nlargest deviation of a class share: {100 * self.deviation:.2f} points; "
            f"groups in more than one part: {self.divided_groups}"
        )


def split_summary(manifest: Manifest) -> SplitSummary:
    """Return the numbers of a divided manifest (main task; images without a label or part are not counted)."""
    table = manifest.table[[manifest.task, "split", "group"]].dropna(subset=["split"])
    counts = pd.crosstab(table[manifest.task], table["split"])
    columns = [part for part in PARTS if part in counts]
    counts = counts.reindex(index=list(manifest.classes), columns=columns, fill_value=0)
    counts.index.name = counts.columns.name = None
    shares, overall = counts / counts.sum().clip(lower=1), counts.sum(axis=1) / max(1, counts.to_numpy().sum())
    deviation = float(shares.sub(overall, axis=0).abs().to_numpy().max(initial=0.0))
    spread = table.groupby("group")["split"].nunique()
    return SplitSummary(counts, deviation, int((spread > 1).sum()))
