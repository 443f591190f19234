"""Synthetic dermoscopy, fundus photography and histology, drawn at run time, with masks of what decides the class."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, get_args
from urllib.parse import parse_qsl

import numpy as np
import pandas as pd
from PIL import Image

from danil.data import synthetic_dermoscopy as dermoscopy
from danil.data import synthetic_fundus as fundus
from danil.data import synthetic_histology as histology
from danil.data.decoding import ImageError
from danil.data.manifest import DataError, Manifest
from danil.data.rendering import Mask, Order, Picture, Role, generator
from danil.data.sources import nearest

Kind = Literal["dermoscopy", "fundus", "histology"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_PREFIX = "synthetic:"


class Modality(NamedTuple):
    """Say what a kind of image is called, which classes it has and how one is drawn."""

    task: str
    classes: tuple[str, ...]
    sites: tuple[str, ...]
    render: Callable[[Order], Picture]


_MODALITIES = {
    "dermoscopy": Modality(dermoscopy.TASK, dermoscopy.CLASSES, dermoscopy.SITES, dermoscopy.render),
    "fundus": Modality(fundus.TASK, fundus.CLASSES, fundus.SITES, fundus.render),
    "histology": Modality(histology.TASK, histology.CLASSES, histology.SITES, histology.render),
}


class Masks(NamedTuple):
    """Hold two boolean arrays `(H, W)`: pixels that decide the class, and pixels of distractors.

    The two may share pixels where a half-transparent distractor lies over evidence.
    """

    evidence: Mask
    distractors: Mask


@dataclass(frozen=True)
class SyntheticImages:
    """Draw the images of one synthetic set when they are read; nothing is stored.

    An image depends on its path, `seed`, `side`, `difficulty` and `confounding` alone: not on the order of reading, the
    process, or on how many `images` the set has (a larger set begins with the smaller one's images).
    """

    kind: Kind
    images: int = 600
    side: int = 128
    difficulty: float = 0.5
    seed: int = 0
    confounding: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"`kind` is {self.kind!r}; there are {', '.join(KINDS)}.{nearest(str(self.kind), KINDS)}")
        classes = len(_MODALITIES[self.kind].classes)
        _check(
            "images",
            self.images,
            classes <= self.images <= 10**6,
            f"at least {classes}, one per class of {self.kind}, and at most 1,000,000",
        )
        _check("size", self.side, 32 <= self.side <= 1024, "32 to 1024 pixels")
        _check("difficulty", self.difficulty, 0 <= self.difficulty <= 1, "in [0, 1]: 0 is trivial, 1 is hard")
        _check("confounding", self.confounding, 0 <= self.confounding <= 1, "in [0, 1]: the share of images with it")
        _check("seed", self.seed, self.seed >= 0, "a whole number of at least 0")

    @property
    def folder(self) -> str:
        """Return the folder all paths begin with: the kind and whatever changes the pixels and is not the default."""
        parts = [f"{name}-{value}" for name, value in self.options().items() if name != "images"]
        return "_".join([self.kind, *parts])

    def options(self) -> dict[str, int | float]:
        """Return the arguments of `read_synthetic` that differ from their defaults, by name."""
        values = _options(self)
        return {name: value for name, value in values.items() if value != _options(SyntheticImages(self.kind))[name]}

    def path(self, index: int) -> str:
        """Return the virtual path of an image by its number."""
        return f"{self.folder}/{index:06d}.png"

    def order(self, path: str) -> Order:
        """Return the complete description of an image; raises `ImageError` for a path that is not of this set."""
        name = path.removeprefix(f"{self.folder}/").removesuffix(".png")
        if not name.isdecimal() or int(name) >= self.images or self.path(int(name)) != path:
            reason = (
                f"is not one of the {self.images} synthetic images `{self.path(0)}` to `{self.path(self.images - 1)}`"
            )
            raise ImageError(path, f"{reason}; take paths from this set's manifest")
        index = int(name)
        group, label, site = _plan(self.kind, self.images, self.seed)[index]
        return Order(self.kind, self.seed, group, index, label, site, self.side, self.difficulty, self.confounding)

    def draw(self, order: Order) -> Picture:
        """Return the drawn picture with its masks; change the order (`label`, `hidden`, `side`) to see alternatives."""
        return _MODALITIES[self.kind].render(order)

    def read(self, path: str) -> Image.Image:
        """Return the image as 8-bit RGB."""
        return shown(self.draw(self.order(path)))

    def masks(self, path: str) -> Masks:
        """Return the pixels that decide the image's class and those of its distractors, each boolean `(H, W)`."""
        picture = self.draw(self.order(path))
        return Masks(picture.evidence, picture.distractors)

    def without(self, path: str, role: Role) -> Image.Image:
        """Return the same image drawn without its `"evidence"` or without its `"distractors"`; all else stays."""
        return shown(self.draw(replace(self.order(path), hidden=frozenset({role}))))

    def size(self, path: str) -> int:
        """Return the bytes of the image's pixels (nothing is stored), or −1 for a path that is not of this set."""
        try:
            self.order(path)
        except ImageError:
            return -1
        return 3 * self.side * self.side


def shown(picture: Picture) -> Image.Image:
    """Return a picture as 8-bit RGB."""
    levels = (np.clip(picture.values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))


def read_synthetic(
    kind: Kind,
    *,
    images: int = 600,
    size: int = 128,
    difficulty: float = 0.5,
    seed: int = 0,
    confounding: float = 0.0,
) -> Manifest:
    """Return a synthetic set as a manifest whose store draws each image when it is read.

    Classes are about equally frequent. A group is a patient: one to three images of one lesion, eye or slide that share
    label and style (skin, pigment, retina, stain). `age`, `sex` and `site` are drawn without regard to the class.

    Args:
        kind: `dermoscopy` (4 classes), `fundus` (5 grades) or `histology` (4 classes).
        images: how many, at least one per class.
        size: height and width in pixels, 32 to 1024; the same scene at every size.
        difficulty: 0 (classes plain to see) to 1 (faint, mixed with another class's signs).
        seed: another seed is another set of patients and images.
        confounding: with this probability an image's distractors (hair, ruler, ink …) follow its class instead of
            chance, so that a network can learn them and an explanation should tell.

    Raises:
        DataError: naming the argument, its value and what was needed.
    """
    store = SyntheticImages(kind, images, size, difficulty, seed, confounding)
    modality = _MODALITIES[kind]
    plan = _plan(kind, images, seed)
    patients = [generator(seed, kind, "patient", group) for group, _, _ in plan]
    table = pd.DataFrame(
        {
            "path": [store.path(index) for index in range(images)],
            modality.task: [modality.classes[label] for _, label, _ in plan],
            "group": [f"patient-{group:05d}" for group, _, _ in plan],
            "split": pd.Series([None] * images, dtype="object"),
            "age": [int(np.clip(rng.normal(55, 16), 18, 90)) for rng in patients],
            "sex": [("female", "male")[int(rng.integers(2))] for rng in patients],
            "site": [modality.sites[site] for _, _, site in plan],
        }
    )
    tasks = {modality.task: modality.classes}
    suffix = "&".join(f"{name}={value}" for name, value in store.options().items())
    return Manifest(table, tasks, store, f"{_PREFIX}{kind}{'?' if suffix else ''}{suffix}", grouped=True)


def read_synthetic_source(text: str) -> Manifest:
    """Return the manifest named by `synthetic:KIND?images=…&size=…&difficulty=…&seed=…&confounding=…`.

    Every option may be missing; the prefix `synthetic:` may be missing too.
    """
    kind, _, suffix = text.removeprefix(_PREFIX).partition("?")
    parsers: dict[str, Callable[[str], int | float]] = {
        "images": int, "size": int, "difficulty": float, "seed": int, "confounding": float
    }  # fmt: skip
    options: dict[str, int | float] = {}
    for name, value in parse_qsl(suffix, keep_blank_values=True):
        if name not in parsers:
            near = nearest(name, parsers)
            raise DataError(f"`{text}` has the option `{name}`; there are {', '.join(parsers)}.{near}")
        try:
            options[name] = parsers[name](value)
        except ValueError:
            number = "a whole number" if parsers[name] is int else "a number"
            raise DataError(f"`{text}` has {name}={value!r}; write {number}, for example `?{name}=1`.") from None
    return read_synthetic(kind, **options)  # pyright: ignore[reportArgumentType]


def _options(store: SyntheticImages) -> dict[str, int | float]:
    return {
        "images": store.images,
        "size": store.side,
        "difficulty": float(store.difficulty),
        "seed": store.seed,
        "confounding": float(store.confounding),
    }


def _check(name: str, value: float, holds: bool, needed: str) -> None:
    if not holds:
        raise DataError(f"`{name}` is {value}; it must be {needed}. Choose another value for this synthetic set.")


@lru_cache(maxsize=16)
def _plan(kind: str, images: int, seed: int) -> tuple[tuple[int, int, int], ...]:
    """Return group, label and site of every image; the plan of fewer images is the beginning of this one."""
    modality = _MODALITIES[kind]
    classes = len(modality.classes)
    rows: list[tuple[int, int, int]] = []
    group = 0
    while len(rows) < images:
        rng = generator(seed, kind, "plan", group)
        for label in rng.permutation(classes):
            count = 1 if group < classes else int(rng.choice(3, p=[0.65, 0.22, 0.13])) + 1
            rows += [(group, int(label), int(rng.integers(len(modality.sites))))] * count
            group += 1
    return tuple(rows[:images])
