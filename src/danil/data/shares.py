"""What a split looks like in numbers, and whether its parts keep the class shares and sizes that were wanted."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from danil.data.manifest import PARTS, DataError, Manifest, plural

TOLERANCE = 0.02
"""Largest difference between a share in a part and the share wanted that needs no word."""


SHOWN = 8
"""At most this many classes of a part are named."""


@dataclass(frozen=True)
class SplitSummary:
    """Hold a split's numbers; its text is a table for people.

    `counts`: images per class (rows) and part (columns). `deviation`: the largest difference between a class's share of
    a part and its share of all images. `divided_groups`: groups with images in more than one part. `largest_group`: its
    number of images. `grouped`: whether groups are known at all.
    """

    counts: pd.DataFrame
    deviation: float
    divided_groups: int
    largest_group: int
    grouped: bool

    def __str__(self) -> str:
        whole = pd.concat([self.counts, self.counts.sum().to_frame("all").T])
        whole["all"] = whole.sum(axis=1)
        total = max(1, int(self.counts.to_numpy().sum()))
        shares = whole / whole.loc["all"].clip(lower=1)
        shares.loc["all"] = whole.loc["all"] / total
        cells = {name: [cell(*pair) for pair in zip(whole[name], shares[name], strict=True)] for name in whole}
        groups = f"groups in more than one part: {self.divided_groups}" if self.grouped else "groups: not known"
        return (
            f"{pd.DataFrame(cells, index=whole.index).to_string()}\n"
            f"largest deviation of a class share: {100 * self.deviation:.2f} points; {groups}"
        )

    def misses(self, wanted: Mapping[str, float] | None = None, tolerance: float = TOLERANCE) -> list[str]:
        """Return, in words, which class shares and part sizes are off by more than the tolerance.

        Args:
            wanted: part → its share of all images, where shares were asked for.
            tolerance: in [0, 1].
        """
        total, points = max(1, int(self.counts.to_numpy().sum())), f"{100 * tolerance:g} points"
        reason = f" Groups are kept whole; the largest has {self.largest_group:,} images."
        reason *= self.largest_group > 1 and not self.divided_groups
        found: list[str] = []
        for part, share in (wanted or {}).items():
            held = float(self.counts[part].sum() / total) if part in self.counts else 0.0
            if abs(held - share) > tolerance:
                found.append(
                    f"{part} has {held:.1%} of the images, {share:.1%} were wanted (tolerance {points}).{reason}"
                )
        overall = self.counts.sum(axis=1) / total
        for part in self.counts:
            within = self.counts[part] / max(1, int(self.counts[part].sum()))
            off = self.counts.index[(within - overall).abs() > tolerance]
            if len(off):
                said = [f"`{name}` is {within[name]:.1%} ({overall[name]:.1%} of all)" for name in off[:SHOWN]]
                said += [f"{len(off) - SHOWN} more"] if len(off) > SHOWN else []
                found.append(f"in {part} {', '.join(said)} (tolerance {points}).{reason}")
        return found


def cell(count: int, share: float) -> str:
    """Return a count with its share."""
    return f"{count:,} ({share:.1%})"


def split_summary(manifest: Manifest) -> SplitSummary:
    """Return the numbers of a divided manifest (main task; images without a label or part are not counted)."""
    table = manifest.table[[manifest.task, "split", "group"]].dropna(subset=["split"])
    counts = pd.crosstab(table[manifest.task], table["split"])
    columns = [part for part in PARTS if part in counts]
    counts = counts.reindex(index=list(manifest.classes), columns=columns, fill_value=0)
    counts.index.name = counts.columns.name = None
    shares, overall = counts / counts.sum().clip(lower=1), counts.sum(axis=1) / max(1, counts.to_numpy().sum())
    deviation = float(shares.sub(overall, axis=0).abs().to_numpy().max(initial=0.0))
    groups = table.groupby("group")["split"]
    divided, largest = int((groups.nunique() > 1).sum()), int(groups.size().max())
    return SplitSummary(counts, deviation, divided, largest, manifest.grouped)


def check_filled(manifest: Manifest, shares: Mapping[str, float], grouped: bool) -> None:
    """Warn of a part that was asked for and has no image; without training images raise `DataError`."""
    empty = [part for part, share in shares.items() if share and not (manifest.table["split"] == part).any()]
    units = plural(manifest.table["group"].nunique(), "group") if grouped else plural(len(manifest), "image")
    for part in empty:
        told = f"`{manifest.source}`: the {part} part is empty: {units} cannot fill all parts."
        if part == "train":
            raise DataError(f"{told} Lower `test` and `validation`, or divide at random.")
        warnings.warn(told, stacklevel=4)
