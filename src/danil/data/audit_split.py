"""Classes, parts and groups: how many images, groups on both sides of a split, classes that a part lacks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danil.data.manifest import PARTS, Manifest

EXAMPLES = 20
DRAWS = 20
SHARE = 0.3


@dataclass(frozen=True)
class Classes:
    """Hold the images of each class of the main task.

    `imbalance` is the largest count over the smallest, empty classes aside, `None` without labels.
    """

    task: str
    counts: dict[str, int]
    imbalance: float | None
    unlabelled: int


@dataclass(frozen=True)
class Parts:
    """Hold where a split comes from and what its parts hold.

    `origin` is `file`, `official` (the data set's own) or `none`. `class_counts`: part → class of the main task →
    images; `missing_classes` names, for each part, the classes that it has no image of.
    """

    origin: str
    file: str | None
    parts: dict[str, int]
    class_counts: dict[str, dict[str, int]]
    missing_classes: dict[str, list[str]]


@dataclass(frozen=True)
class GroupOverlap:
    """Hold how many groups (patients, lesions …) lie in more than one part.

    `groups` counts those that do; `shared_images` of `test_images` test images have a sibling (an image of the same
    group) in training or validation, `share` is their ratio, `None` without a split or without groups. `examples` are
    the first such groups with their images per part.
    """

    grouped: bool
    groups: int
    test_images: int
    shared_images: int
    share: float | None
    examples: dict[str, dict[str, int]]


@dataclass(frozen=True)
class RandomSplit:
    """Hold what a random split of single images would do: mean, least and largest share of shared test images.

    `test` is the part of all images drawn for testing, `draws` how often it was drawn.
    """

    test: float
    draws: int
    share: float
    low: float
    high: float


def classes(manifest: Manifest) -> Classes:
    """Return how many images each class has."""
    labels = manifest.table[manifest.task]
    counts = {name: int((labels == name).sum()) for name in manifest.classes}
    held = [count for count in counts.values() if count]
    return Classes(manifest.task, counts, max(held) / min(held) if held else None, len(manifest) - sum(held))


def parts(manifest: Manifest, file: str | Path | None) -> Parts:
    """Return what the parts hold."""
    table = manifest.table
    known = [part for part in PARTS if (table["split"] == part).any()]
    counts = {
        part: {name: int((table[manifest.task][table["split"] == part] == name).sum()) for name in manifest.classes}
        for part in known
    }
    present = [name for name in manifest.classes if (table[manifest.task] == name).any()]
    missing = {part: [name for name in present if not counts[part][name]] for part in known}
    return Parts(
        origin="file" if file is not None else "official" if known else "none",
        file=None if file is None else str(file),
        parts={part: int((table["split"] == part).sum()) for part in known},
        class_counts=counts,
        missing_classes={part: names for part, names in missing.items() if names},
    )


def group_overlap(manifest: Manifest) -> GroupOverlap:
    """Return which groups the manifest's own split divides; zeros without groups or without a split."""
    divided = manifest.table[["group", "split"]].dropna(subset=["split"])
    test = divided["split"] == "test"
    tested = int(test.sum())
    if not manifest.grouped or divided["split"].nunique() < 2:
        return GroupOverlap(manifest.grouped, 0, tested, 0, None, {})
    spread = divided.groupby("group")["split"].nunique()
    both = spread.index[spread > 1]
    shared = int(divided.loc[test, "group"].isin(set(divided.loc[~test, "group"])).sum())
    examples = {
        str(group): {str(part): int(count) for part, count in rows["split"].value_counts().sort_index().items()}
        for group, rows in divided[divided["group"].isin(both[:EXAMPLES])].groupby("group")
    }
    return GroupOverlap(True, len(both), tested, shared, shared / tested if tested else None, examples)


def random_split(manifest: Manifest) -> RandomSplit | None:
    """Return the share of test images with a sibling in training if images were drawn at random, 7 to 3.

    `None` where no group has two images.
    """
    groups = np.unique(manifest.table["group"].to_numpy(dtype="object").astype("U"), return_inverse=True)[1]
    if not manifest.grouped or groups.max() + 1 == len(groups) or len(groups) < 4:
        return None
    drawn = np.random.default_rng(0)
    size = round(SHARE * len(groups))
    shares: list[float] = []
    for _ in range(DRAWS):
        order = drawn.permutation(groups)
        shares.append(float(np.isin(order[:size], order[size:]).mean()))
    return RandomSplit(SHARE, DRAWS, float(np.mean(shares)), min(shares), max(shares))
