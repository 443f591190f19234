"""Look-alikes: the nearest pairs of images of different classes, as in the paper's Fig. 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from danil.explanation.figures import GAP, SIDE, STYLE, shortened

Numbers = np.ndarray[Any, Any]
ROWS = 1024


@dataclass(frozen=True)
class Pair:
    """Hold two images of different classes by their positions, and their cosine distance in feature space."""

    first: int
    second: int
    distance: float


def look_alikes(
    features: Numbers | Tensor,
    labels: Sequence[int] | Numbers | Tensor,
    count: int = 3,
    *,
    groups: Sequence[str] | None = None,
    minimum: float = 1e-5,
) -> list[Pair]:
    """Return the nearest pairs of different classes, nearest first; no image is in two of them.

    Args:
        features: `(N, D)`, e.g. `Classifier.features`.
        labels: `(N,)` class indices; images with −1 are left out.
        count: how many pairs; fewer are returned where there are no more.
        groups: `(N,)`; two images of one group (patient, lesion) are no pair.
        minimum: pairs nearer than this cosine distance are one picture twice, with conflicting labels, and left out.

    Raises:
        ValueError: lengths differ, or features are not finite.
    """
    points = np.asarray(features, dtype=np.float64)
    classes = np.asarray(labels, dtype=np.int64)
    owners = (
        np.arange(len(points)) if groups is None else np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    )
    if points.ndim != 2 or len(classes) != len(points) or len(owners) != len(points) or not np.isfinite(points).all():
        raise ValueError(
            f"`features` has shape {points.shape}, `labels` {classes.shape}, `groups` {owners.shape}; "
            "finite (N, D), (N,) and (N,) are needed."
        )
    directions = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    candidates: list[Pair] = []
    enough = 2 * count  # at most 2 · (count − 1) images are taken when the last pair is chosen
    for start in range(0, len(points), ROWS):
        rows = np.arange(start, min(start + ROWS, len(points)))
        distance = 1 - directions[rows] @ directions.T
        same = (classes[rows, None] == classes) | (owners[rows, None] == owners)
        unknown = (classes[rows, None] < 0) | (classes < 0)
        distance[same | unknown | (distance < minimum)] = np.inf
        for row, values in zip(rows, distance, strict=True):
            nearest = np.argsort(values, kind="stable")[:enough]
            candidates += [Pair(int(row), int(n), float(values[n])) for n in nearest if np.isfinite(values[n])]
    return disjoint(sorted(candidates, key=lambda pair: pair.distance), count)


def disjoint(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Return the first pairs of which no two share an image."""
    used: set[int] = set()
    chosen: list[Pair] = []
    for pair in pairs:
        if len(chosen) < count and not used & {pair.first, pair.second}:
            used |= {pair.first, pair.second}
            chosen.append(Pair(min(pair.first, pair.second), max(pair.first, pair.second), pair.distance))
    return chosen


def look_alikes_figure(display: Tensor, pairs: Sequence[Pair], labels: Sequence[int], classes: Sequence[str]) -> Figure:
    """Return a figure with a column per pair, as the paper's Fig. 1: two images that look alike, of different classes.

    `display` `(2 P, 3, S, S)` uint8 holds first and second image of each pair in turn; `labels` are theirs, `(2 P,)`.
    """
    if len(display) != 2 * len(pairs) or len(labels) != len(display) or not pairs:
        raise ValueError(f"`display` holds {len(display)} images for {len(pairs)} pairs; two for each are needed.")
    below = 0.24
    size = (len(pairs) * (SIDE + GAP) + GAP, 2 * (SIDE + below) + 0.3)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=150)
        for place, image in enumerate(display):
            column, row = divmod(place, 2)
            left, bottom = GAP + column * (SIDE + GAP), size[1] - (row + 1) * (SIDE + below) - 0.28 + below
            axes = figure.add_axes((left / size[0], bottom / size[1], SIDE / size[0], SIDE / size[1]))
            axes.imshow(image.permute(1, 2, 0).cpu().numpy())
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_xlabel(shortened(classes[int(labels[place])], 32), labelpad=3)
            if row == 0:
                axes.set_title(f"cosine distance {pairs[column].distance:.3g}", size=8, color="#555555", pad=4)
    return figure
