"""What a cell is trained on: its divided data, the labels of further tasks, a file of initial weights."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from danil.data.manifest import PARTS
from danil.models.weights import weights_file
from danil.runs import Recipe
from danil.training.preparation import listed_images


@dataclass(frozen=True)
class Inputs:
    """Hold the digest of the divided data, the number of images by part, and digests of what else is read.

    `further` has `weights`, of the content of a weights file, and `tasks`, of the data with the tasks that `multitask`
    adds to those that the source gives by itself; each where there is such a thing.
    """

    data: str
    parts: Mapping[str, int]
    further: Mapping[str, str]


def inputs_reader() -> Callable[[Recipe], Inputs]:
    """Return what gives a recipe's inputs, reading each division of data and each file once.

    It raises `DataError` or `WeightsError` where they cannot be read.
    """
    known: dict[str, tuple[str, dict[str, int]]] = {}
    file_digest = cache(digest_of_file)

    def described(recipe: Recipe, several: bool) -> tuple[str, dict[str, int]]:
        key = f"{recipe.data.source} {recipe.data.limit} {recipe.split.model_dump_json()} {several}"
        if key not in known:
            manifest = listed_images(recipe, several)
            known[key] = manifest.digest(), {name: len(manifest.part(name)) for name in PARTS}
        return known[key]

    def read(recipe: Recipe) -> Inputs:
        digest, parts = described(recipe, several=False)
        further: dict[str, str] = {}
        if (file := weights_file(recipe.model.weights)) is not None:
            further["weights"] = file_digest(file)
        if recipe.objective.system == "multitask":
            further["tasks"] = described(recipe, several=True)[0]
        return Inputs(digest, parts, further)

    return read


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
