"""A cell: one training of a suite, named by a digest of all that decides its numbers."""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from danil.runs import Recipe, read_recipe

DECIDING = ("objectives", "models", "data", "runs", "training")
"""The packages whose code decides a training's numbers; statistics are computed from records and can be again."""


@dataclass(frozen=True)
class Cell:
    """Hold what one training needs; `dataset`, `backbone` and `method` are pairs of name and title.

    `data` is the digest of the divided data, `images` the number of training images, `further` digests of what else is
    read (`danil.benchmark.inputs`), `code` that of the deciding code.
    """

    suite: str
    title: str
    part: str
    dataset: tuple[str, str]
    backbone: tuple[str, str]
    method: tuple[str, str]
    paper: str | None
    seed: int
    recipe: Recipe
    data: str
    images: int
    further: Mapping[str, str]
    code: str

    @property
    def name(self) -> str:
        """Return `dataset-backbone-method-seed`."""
        return f"{self.dataset[0]}-{self.backbone[0]}-{self.method[0]}-{self.seed}"

    @property
    def digest(self) -> str:
        """Return the digest that names the cell's folder: of recipe, inputs and code, not of where the data lie."""
        recipe = self.recipe.model_dump(mode="json")
        recipe["data"].pop("source")
        content = json.dumps([recipe, self.part, self.data, dict(self.further), self.code], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def record_path(self, results: Path) -> Path:
        """Return where the cell's record stands."""
        return results / self.suite / f"{self.name}.json"

    def description(self) -> dict[str, Any]:
        """Return the cell as JSON values; `cell_from` reads it."""
        plain = {name: getattr(self, name) for name in FIELDS}
        return {**plain, "recipe": self.recipe.toml(), "digest": self.digest}


FIELDS = tuple(name for name in Cell.__dataclass_fields__ if name != "recipe")


def cell_from(description: dict[str, Any], folder: Path) -> Cell:
    """Return the cell of a `description`; its recipe is written to `folder`, from where it is read and checked."""
    path = folder / "cell.toml"
    path.write_text(description["recipe"], encoding="utf-8")
    plain: dict[str, Any] = {name: description[name] for name in FIELDS}
    for name in ("dataset", "backbone", "method"):
        plain[name] = tuple(plain[name])
    return Cell(**plain, recipe=read_recipe(str(path)))


@cache
def code_version() -> str:
    """Return a digest of the code that decides a training's numbers, the same under every version of Python.

    Comments, docstrings and layout do not count.
    """
    digest = hashlib.sha256()
    root = files("danil")
    for package in DECIDING:
        modules = sorted(
            (item for item in (root / package).iterdir() if item.name.endswith(".py")), key=lambda i: i.name
        )
        for module in modules:
            tree = shape(ast.parse(module.read_text(encoding="utf-8")))
            digest.update(f"{package}/{module.name}\0{tree}\0".encode())
    return digest.hexdigest()[:16]


def shape(part: Any) -> Any:
    """Return a part of a syntax tree as plain values, without docstrings and without what is empty.

    Which empty fields there are, and how text is made of a tree, changes with Python's version.
    """
    if isinstance(part, list):
        return [shape(item) for item in part if not is_text(item)]
    if isinstance(part, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(part) if value is not None and value != [])
        return [type(part).__name__, *((name, shape(value)) for name, value in fields)]
    return repr(part)


def is_text(node: Any) -> bool:
    """Tell whether a statement is a text alone, a docstring of a module, function, class or name."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
