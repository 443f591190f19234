"""Suites: datasets × backbones × methods × seeds under one protocol, from a TOML file."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from danil.benchmark.cell import Cell, code_version
from danil.benchmark.inputs import inputs_reader
from danil.runs import Recipe, read_recipe
from danil.runs.sections import Section

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+]*$")]


class SuiteError(ValueError):
    """Say what is wrong in a suite's file, and where."""


class Entry(Section):
    """Name a row or a column of the tables, with the recipe settings (`section.key=value`) that make it."""

    name: Name
    title: str = ""
    settings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return what people read."""
        return self.title or self.name


class Dataset(Entry):
    """Name a data set; `source` is READER:PATH, relative to where the suite is run."""

    source: str


class Method(Entry):
    """Name a method; `datasets` restricts it, `paper` is the row of the paper's tables that it stands for."""

    datasets: tuple[Name, ...] | None = None
    paper: str | None = None


class Suite(Section):
    """Hold the cells' factors; settings of the suite come first, then the data set's, backbone's and method's.

    `part` is where scores are taken: `test`, or `validation` for a search that must not see the test part.
    """

    name: Name
    title: str
    recipe: str = "paper"
    settings: tuple[str, ...] = ()
    part: Literal["test", "validation"] = "test"
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    datasets: Annotated[tuple[Dataset, ...], Field(min_length=1)]
    backbones: Annotated[tuple[Entry, ...], Field(min_length=1)]
    methods: Annotated[tuple[Method, ...], Field(min_length=1)]


def read_suite(path: str | Path) -> Suite:
    """Return the suite of a TOML file.

    Raises:
        SuiteError: the file cannot be read, a key is unknown or wrong, or a name stands twice.
    """
    try:
        tree = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SuiteError(f"suite `{path}` does not exist. The suites of danil itself lie in `suites/`.") from error
    except OSError as error:
        raise SuiteError(f"suite `{path}` cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise SuiteError(f"suite `{path}` is not valid TOML: {error}.") from error
    try:
        suite = Suite.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(f"`{'.'.join(map(str, item['loc']))}`: {item['msg']}" for item in error.errors())
        raise SuiteError(f"suite `{path}`: {faults}. Keys: {', '.join(Suite.model_fields)}.") from error
    for kind in ("datasets", "backbones", "methods"):
        check_unique(path, kind, [entry.name for entry in getattr(suite, kind)])
    check_unique(path, "seeds", [str(seed) for seed in suite.seeds])
    known = {dataset.name for dataset in suite.datasets}
    for method in suite.methods:
        unknown = sorted(set(method.datasets or ()) - known)
        if unknown:
            raise SuiteError(
                f"suite `{path}`: method `{method.name}` names the data set `{unknown[0]}`, but the suite has "
                f"{', '.join(sorted(known))}."
            )
    return suite


TRIAL = ("data.limit=64", "train.max_steps=2")


def trial_of(suite: Suite) -> Suite:
    """Return the suite with its first seed alone, trained for two steps on few images: what fails, fails soon.

    Image size, precision, weights and systems are the suite's own.
    """
    methods = [method.model_copy(update={"settings": (*method.settings, *TRIAL)}) for method in suite.methods]
    return suite.model_copy(update={"seeds": suite.seeds[:1], "methods": tuple(methods)})


def check_as_planned(cell: Cell) -> None:
    """Refuse to train a cell with other code, data or weights than it was planned with; its record would name those.

    Raises:
        SuiteError: the code, the data or the weights changed since, or differ on this machine.
        DataError, WeightsError: the data or the weights cannot be read.
    """
    changed = "the code" if code_version() != cell.code else ""
    if not changed:
        here = inputs_reader()(cell.recipe)
        if here.further.get("weights") != cell.further.get("weights"):
            changed = f"the weights `{cell.recipe.model.weights}`"
        if (here.data, here.further.get("tasks")) != (cell.data, cell.further.get("tasks")):
            changed = f"the data of `{cell.recipe.data.source}`"
    if changed:
        raise SuiteError(
            f"`{cell.name}`: {changed} changed since the suite was planned, or differ on this machine. "
            "Start `danil benchmark` again; every machine of a cluster needs the same danil and the same data."
        )


def check_unique(path: str | Path, kind: str, names: Sequence[str]) -> None:
    """Refuse a name that stands twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SuiteError(f"suite `{path}`: `{twice}` stands twice in `{kind}`. Names must differ.")


def cells_of(suite: Suite, only: Sequence[str] = ()) -> list[Cell]:
    """Return the suite's cells, the first seed of every method before the second.

    Args:
        suite: to expand; its data (labels and sizes, no pixels) and weights files are read for their digests.
        only: keep the cells whose name `dataset-backbone-method-seed` contains one of these texts.

    Raises:
        SuiteError: nothing is left, or two methods are the same training.
        RecipeError, DataError, WeightsError: a setting, a data set or a file of weights is wrong.
    """
    chosen = [factors for factors in combinations(suite) if kept(cell_name(*factors), only)]
    if not chosen:
        raise SuiteError(f"no cell of suite `{suite.name}` has {' or '.join(map(repr, only))} in its name.")
    code, inputs_of = code_version(), inputs_reader()
    cells: list[Cell] = []
    for dataset, backbone, method, seed in chosen:
        settings = (*suite.settings, *dataset.settings, *backbone.settings, *method.settings)
        recipe = read_recipe(suite.recipe, settings, seed, dataset.source)
        inputs = inputs_of(recipe)
        check_parts(suite, cell_name(dataset, backbone, method, seed), recipe, inputs.parts)
        cells.append(
            Cell(
                suite=suite.name,
                title=suite.title,
                part=suite.part,
                dataset=(dataset.name, dataset.label),
                backbone=(backbone.name, backbone.label),
                method=(method.name, method.label),
                paper=method.paper,
                seed=seed,
                recipe=recipe,
                data=inputs.data,
                images=inputs.parts["train"],
                further=inputs.further,
                code=code,
            )
        )
    check_no_twins(cells)
    return cells


def check_parts(suite: Suite, name: str, recipe: Recipe, parts: Mapping[str, int]) -> None:
    """Refuse a cell without images to score, or to choose the best epoch on: it would fail after its training.

    Raises:
        SuiteError: naming the part.
    """
    needed = {suite.part: "score"}
    if recipe.train.select == "best":
        needed["validation"] = "choose the best epoch on"
    for part, purpose in needed.items():
        if not parts[part]:
            raise SuiteError(
                f"suite `{suite.name}`: `{name}` has no {part} part to {purpose}. Set `split.{part}` above 0."
            )


def check_no_twins(cells: Sequence[Cell]) -> None:
    """Refuse cells under two names that are one training: they would share its folder."""
    names: dict[str, str] = {}
    for cell in cells:
        other = names.setdefault(cell.digest, cell.name)
        if other != cell.name:
            raise SuiteError(
                f"suite `{cell.suite}`: `{other}` and `{cell.name}` are one training: equal data, settings and seed. "
                "Remove one of the two, or set what makes them differ."
            )


Factors = tuple[Dataset, Entry, Method, int]


def combinations(suite: Suite) -> Iterator[Factors]:
    """Yield every combination that the methods' `datasets` allow."""
    for seed, dataset, backbone, method in product(suite.seeds, suite.datasets, suite.backbones, suite.methods):
        if method.datasets is None or dataset.name in method.datasets:
            yield dataset, backbone, method, seed


def cell_name(dataset: Dataset, backbone: Entry, method: Method, seed: int) -> str:
    """Return what a cell is called."""
    return f"{dataset.name}-{backbone.name}-{method.name}-{seed}"


def kept(name: str, only: Sequence[str]) -> bool:
    """Tell whether the name contains one of the texts, or there are none."""
    return not only or any(text in name for text in only)
