"""Predictions: labels, class probabilities and groups of images, checked once and then trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Texts = NDArray[np.object_]

TOLERANCE = 1e-3
"""How far a row's probabilities may be from summing to 1 (rounding); rows within are rescaled to sum to 1 exactly.

From three classes on half of it for each class, as much as rounding to three decimals makes.
"""


class PredictionsError(ValueError):
    """Say which predictions cannot be used, in which row, why, and what to do."""


@dataclass(frozen=True)
class Predictions:
    """Hold the predictions of N images over K classes; made by `Predictions.of`, `read_predictions` or from a table.

    `labels` are class indices, −1 where unknown; `groups` name patients, lesions …; an image that has no group is a
    group of its own. `source` is the file's name for messages. `stated` are the predicted classes where a table says
    others than the first of the largest probabilities (which rounding makes equal).
    """

    paths: Texts
    groups: Texts
    labels: Integers
    probabilities: Floats
    classes: tuple[str, ...]
    source: str = "predictions"
    stated: Integers | None = None

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        probabilities: ArrayLike,
        *,
        groups: Sequence[Any] | Texts | None = None,
        classes: Sequence[str] | None = None,
        paths: Sequence[str] | Texts | None = None,
        source: str = "predictions",
    ) -> "Predictions":
        """Return checked predictions.

        Args:
            labels: `(N,)` class indices, −1 = unknown.
            probabilities: `(N, K)`; each row sums to 1 within `TOLERANCE` (× K/2) and is rescaled.
            groups: N names; none may be missing. Default: every image is its own group.
            classes: K names. Default: `"0"`, `"1"` …
            paths: N unique names. Default: the positions.
            source: what messages call these predictions.

        Raises:
            PredictionsError: naming the row and what to do.
        """
        table = np.asarray(probabilities, dtype=np.float64)
        if table.ndim != 2 or not len(table):
            raise PredictionsError(f"`{source}`: probabilities have shape {table.shape}; give (N, K) with N ≥ 1.")
        count, width = table.shape
        found = np.asarray(labels)
        if found.shape != (count,) or found.dtype.kind not in "iu":
            raise PredictionsError(
                f"`{source}`: labels have shape {found.shape} and type {found.dtype}; give {count} class indices."
            )
        names = tuple(str(index) for index in range(width)) if classes is None else tuple(classes)
        images = texts([str(index) for index in range(count)] if paths is None else paths)
        owners = images if groups is None else texts(groups)
        if len(names) != width or len(images) != count or len(owners) != count:
            raise PredictionsError(
                f"`{source}` has {count} rows and {width} probabilities, but {len(images)} paths, {len(owners)} groups "
                f"and {len(names)} class names."
            )
        check_rows(source, images, owners, found, table, names)
        sums = table.sum(1, keepdims=True)
        scaled = np.where(np.abs(sums - 1) > 1e-9, table / sums, table)
        return cls(images, texts([str(owner) for owner in owners]), found.astype(np.int64), scaled, names, source)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def found(self) -> Integers:
        """Return the predicted class of each image: as stated, else the first of the largest probabilities."""
        return self.probabilities.argmax(1) if self.stated is None else self.stated

    @property
    def grouped(self) -> bool:
        """Tell whether groups are real: at least one holds two images."""
        return len(set(self.groups)) < len(self)

    def take(self, rows: NDArray[Any]) -> "Predictions":
        """Return the rows chosen by positions or by a mask."""
        return replace(
            self,
            paths=self.paths[rows],
            groups=self.groups[rows],
            labels=self.labels[rows],
            probabilities=self.probabilities[rows],
            stated=None if self.stated is None else self.stated[rows],
        )

    def with_probabilities(self, probabilities: Floats) -> "Predictions":
        """Return the same images with other probabilities."""
        return replace(self, probabilities=probabilities)

    def require_rows(self, purpose: str) -> None:
        """Refuse to go on without a row, after `labelled()`.

        Raises:
            PredictionsError: there is none.
        """
        if not len(self):
            raise PredictionsError(f"`{self.source}` has no labels, so {purpose} cannot be had. Fill `label`.")

    def labelled(self) -> "Predictions":
        """Return the rows whose label is known."""
        return self.take(self.labels >= 0)

    def by_group(self) -> tuple["Predictions", int]:
        """Return one row per group (mean probability, common label), and how many groups had no common label.

        Images without label lend their probabilities; a group without any label keeps −1; groups whose known labels
        differ are left out and counted.
        """
        codes, names = pd.factorize(self.groups)
        means = pd.DataFrame(self.probabilities).groupby(codes).mean().to_numpy()
        known = pd.Series(self.labels).where(self.labels >= 0).groupby(codes).agg(["min", "max"])
        labels = known["min"].fillna(-1).to_numpy().astype(np.int64)
        clear = np.flatnonzero((known["min"].eq(known["max"]) | known["min"].isna()).to_numpy())
        chosen = texts(names)[clear]
        fused = Predictions(chosen, chosen, labels[clear], means[clear], self.classes, self.source)
        return fused, len(names) - len(clear)

    def table(self) -> pd.DataFrame:
        """Return the columns of `predictions.csv`: `path, group, label, prediction, probability_<class>` …."""
        names = np.asarray(self.classes, dtype=object)
        label = names[self.labels]
        label[self.labels < 0] = None
        front = {"path": self.paths, "group": self.groups, "label": label, "prediction": names[self.found]}
        columns = {f"probability_{name}": self.probabilities[:, index] for index, name in enumerate(self.classes)}
        return pd.DataFrame({**front, **columns})


def texts(values: Sequence[Any] | NDArray[Any] | pd.Index) -> Texts:
    """Return an array of objects, one per value."""
    return np.asarray(values, dtype=object)


def check_rows(
    source: str, paths: Texts, groups: Texts, labels: NDArray[Any], probabilities: Floats, classes: tuple[str, ...]
) -> None:
    """Refuse rows that no metric could be right about, the first faulty one named.

    Raises:
        PredictionsError: always naming the source, the row and what to do.
    """
    width = len(classes)
    if width < 2:
        raise PredictionsError(f"`{source}` has probabilities of {width} class only; a classifier needs at least 2.")
    if len(set(classes)) < width:
        raise PredictionsError(f"`{source}` has a class twice: {', '.join(classes)}. Keep one column for each class.")
    blank = pd.isna(groups) | (pd.Series(groups).astype(str).str.strip() == "").to_numpy()
    sums, slack = probabilities.sum(1), TOLERANCE * max(1, width / 2)
    faults: list[tuple[Any, str]] = [
        (np.asarray(pd.Series(paths).duplicated()), "the path was there before. Keep one row for each image"),
        (blank, "no group. Fill the column (an image without a group: its path), or leave the column out"),
        (~np.isfinite(probabilities).all(1), "a probability is missing or not finite. Predict this image again"),
        ((probabilities < 0).any(1) | (probabilities > 1 + TOLERANCE).any(1), "a probability is not in [0, 1]"),
        (np.abs(sums - 1) > slack, f"probabilities must sum to 1 (± {slack:g}). Give softmax outputs"),
        ((labels < -1) | (labels >= width), f"the label's index must be −1 (unknown) to {width - 1}"),
    ]
    for wrong, message in faults:
        rows = np.flatnonzero(wrong)
        if len(rows):
            row = int(rows[0])
            more = f" ({len(rows)} such rows)" if len(rows) > 1 else ""
            detail = f"; they sum to {sums[row]:.6g}" if "sum to" in message else ""
            raise PredictionsError(f"{place(source, row, paths)}: {message}{detail}{more}.")


def place(source: str, row: int, paths: Texts) -> str:
    """Return where a row is, for a message; line 1 is the header."""
    return f"`{source}`, line {row + 2} (`{paths[row]}`)"
