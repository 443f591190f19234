"""The recipe: every choice of a training run, complete, validated and frozen."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self, get_args

import tomli_w
from pydantic import ValidationError, model_validator

from danil.data.sources import nearest
from danil.runs.sections import Augment, Data, Model, Objective, Section, Seed, Split, Train

BUILT_IN = ("standard", "paper", "quick")
IMPLIED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "dil": {"data": {"preprocess": "fundus", "views": 8}, "augment": {"rotate": 180.0, "scale": 0.1}},
}
"""What a system sets where the recipe does not say otherwise."""

MIXED = ("mixup", "cutmix", "mixup_alpha", "cutmix_alpha")


class RecipeError(ValueError):
    """Say which key of a recipe is wrong, why, and what is allowed."""


class Recipe(Section):
    """Hold every choice of a run; optional keys that are not given are off."""

    seed: Seed = 0
    data: Data = Data()
    split: Split = Split()
    model: Model = Model()
    objective: Objective = Objective()
    train: Train = Train()
    augment: Augment = Augment()

    def toml(self) -> str:
        """Return the complete recipe as TOML (a key that is off is left out)."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))

    @property
    def head(self) -> Literal["linear", "dropout", "canet", "canet_single"]:
        """Return the network's head, which the objective decides."""
        system = self.objective.system
        if system == "canet" or system == "canet_single":
            return system
        return "dropout" if system == "dil" else "linear"

    @property
    def by_task(self) -> bool:
        """Tell whether the network answers by task also where there is one task (CANet's heads do)."""
        return self.head in ("canet", "canet_single")

    @model_validator(mode="before")
    @classmethod
    def with_implied(cls, tree: Any) -> Any:
        """Fill in what the named system sets, so that the written recipe says it."""
        objective = tree.get("objective") if isinstance(tree, dict) else None
        if not isinstance(objective, dict):
            return tree
        system = objective.get("base") if objective.get("name", "danil") == "danil" else objective.get("name")
        filled = dict(tree)
        for section, values in IMPLIED.get(system, {}).items() if isinstance(system, str) else ():
            own = filled.get(section, {})
            filled[section] = {**values, **own} if isinstance(own, dict) else own
        return filled

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        """Refuse choices that exclude each other."""
        chosen = self.objective
        if chosen.name != "danil" and chosen.base != "base":
            raise ValueError(
                f"`objective.base` is `{chosen.base}`, but only `objective.name=danil` is added to a base; "
                f"`objective.name` is `{chosen.name}`. Leave `base` out, or set `objective.name=danil`."
            )
        if chosen.name == "danil" and chosen.label_smoothing:
            raise ValueError(
                f"`objective.label_smoothing` is {chosen.label_smoothing}, but DANIL needs one hard label per image: a "
                "smoothed label has no single class, so A⁺ and A⁻ are undefined. Set it to 0, or use "
                "`objective.name=base`."
            )
        return self


def read_recipe(
    name: str = "standard", settings: Iterable[str] = (), seed: int | None = None, source: str | None = None
) -> Recipe:
    """Return a built-in recipe, or one read from a TOML file, with `a.b=c` settings applied.

    `seed` and `source` (READER:PATH) replace the recipe's own. Settings' values are TOML (`3`, `true`, `"text"`); what
    is no TOML is taken as text; `none` leaves a key out.

    Raises:
        RecipeError: naming the key, its value and what is allowed; unknown names come with the nearest known ones.
    """
    origin, text = recipe_text(name)
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(
            f"recipe `{origin}` is not valid TOML: {error}. All keys: `python -m danil.runs.reference`, docs/recipe.md."
        ) from error
    for setting in settings:
        apply_setting(tree, setting)
    if seed is not None:
        tree["seed"] = seed
    if source is not None:
        apply_setting(tree, "data.source=none")
        tree["data"]["source"] = source
    return validated(tree, origin)


def recipe_text(name: str) -> tuple[str, str]:
    """Return where the recipe was found and its TOML text."""
    if name in BUILT_IN:
        return name, (files("danil.runs") / f"{name}.toml").read_text(encoding="utf-8")
    path = Path(name)
    if not path.is_file():
        raise RecipeError(
            f"recipe `{name}` is neither built in ({', '.join(BUILT_IN)}) nor a file.{nearest(name, BUILT_IN)}"
        )
    try:
        return name, path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"recipe `{name}` could not be read as UTF-8 text: {error}.") from error


def apply_setting(tree: dict[str, Any], setting: str) -> None:
    """Put one `a.b=c` into the tree of sections."""
    key, separator, value = setting.partition("=")
    names = key.strip().split(".")
    if not separator or not all(names):
        raise RecipeError(f"setting `{setting}` is not of the form `section.key=value`, e.g. `train.epochs=8`.")
    branch = tree
    for name in names[:-1]:
        branch = branch.setdefault(name, {})
        if not isinstance(branch, dict):
            raise RecipeError(f"setting `{setting}`: `{name}` is a value, not a section.")
    if value.strip() == "none" and optional(names):
        branch.pop(names[-1], None)
    else:
        branch[names[-1]] = parsed(value.strip())


def optional(names: list[str]) -> bool:
    """Tell whether the key at this path may be switched off with `none`."""
    section: Any = Recipe
    for name in names[:-1]:
        field = section.model_fields.get(name)
        section = field.annotation if field and hasattr(field.annotation, "model_fields") else Section
    field = section.model_fields.get(names[-1])
    return field is not None and field.default is None


def parsed(value: str) -> Any:
    """Return the TOML value, or the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return value


def validated(tree: Mapping[str, Any], source: str) -> Recipe:
    """Return the recipe, or raise one `RecipeError` that lists every fault."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        found = [fault(item["loc"], item["type"], item["msg"], item["input"]) for item in error.errors()]
        raise RecipeError(f"recipe `{source}`: {'; '.join(dict.fromkeys(found))}") from error


def fault(place: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    """Return one fault in words, with the nearest known keys where the key is unknown."""
    if kind == "literal_error":
        return wrong_choice(place, value)
    key = ".".join(str(name) for name in place)
    if not key:
        return message.removeprefix("Value error, ")
    if kind != "extra_forbidden":
        told = message.removeprefix("Value error, ")
        return f"`{key}` is {value!r}: {told[0].lower()}{told[1:]}"
    section: Any = Recipe
    for name in place[:-1]:
        section = section.model_fields[str(name)].annotation
    known = list(section.model_fields)
    if place[-1] in MIXED:
        return (
            f"`{key}` is not offered: mixed images have no single label, but DANIL needs one per image to say which "
            "class is the true one and which the distractor, and OHEM, CANet and the metrics are defined on one label"
        )
    return (
        f"`{key}` is not a known key.{nearest(str(place[-1]), known)} Known here: {', '.join(known)} (docs/recipe.md)"
    )


def wrong_choice(place: tuple[int | str, ...], value: object) -> str:
    """Return that a key's value is none of those it takes; `place` may go on into the alternatives of its type."""
    section: Any = Recipe
    names: list[str] = []
    for name in place:
        if not hasattr(section, "model_fields"):
            break
        names.append(str(name))
        section = section.model_fields[str(name)].annotation
    known = choices(section)
    return f"`{'.'.join(names)}` is `{value}`; there are {', '.join(known)}.{nearest(str(value), known)}"


def choices(kind: Any) -> list[str]:
    """Return the values of a type made of literals."""
    parts = get_args(kind)
    return [value for part in parts for value in ([str(part)] if isinstance(part, (str, int)) else choices(part))]


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `section.key` → value."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
