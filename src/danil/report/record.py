"""What a run folder holds, read for a page; what is missing is said, not guessed."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, FiniteFloat, ValidationError

from danil.evaluation.document import FORMAT
from danil.runs import Recipe, RunError, RunFolder
from danil.runs.record import check_classes, check_columns
from danil.statistics.predictions import Predictions
from danil.statistics.tables import read_predictions

NEXT_STEP = {
    "manifest.csv": "the table of images; it is written when training starts",
    "environment.json": "versions and command; it is written when training starts",
    "log.csv": "the epochs; it is written while training (`danil train … --resume` goes on)",
    "predictions.csv": "the predictions on the test part; training writes them at its end (none without a test part)",
    "metrics.json": "the metrics; write them by `danil evaluate RUN`",
}


class Environment(BaseModel):
    """Say what a page reads of `environment.json`."""

    command: list[str] | None = None
    versions: dict[str, str | None] = {}
    devices: list[str] | None = None


class Interval(BaseModel):
    """Say what a metric is."""

    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None


class Constant(BaseModel):
    """Say what the constant classifier scores."""

    metrics: dict[str, FiniteFloat | None]


class Metrics(BaseModel):
    """Say what a page needs of `metrics.json`."""

    level: FiniteFloat
    grouped: bool
    labelled: int
    resamples: int
    constant: Constant
    metrics: dict[str, Interval]
    per_class: dict[str, dict[str, Any]]
    calibration: dict[str, Any]
    decision_curves: dict[str, dict[str, Any]]
    operating_points: list[dict[str, Any]]
    selective: dict[str, Any]
    subgroups: list[dict[str, Any]]
    notes: list[str]


@dataclass(frozen=True)
class RunRecord:
    """Hold all that a run folder says of itself; `missing` lists, in sentences, what it does not say."""

    folder: RunFolder
    data: dict[str, Any]
    recipe: Recipe
    environment: dict[str, Any]
    manifest: pd.DataFrame | None
    log: pd.DataFrame | None
    predictions: Predictions | None
    metrics: dict[str, Any] | None
    missing: list[str] = field(default_factory=list[str])

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return self.folder.path.resolve().name

    @property
    def task(self) -> str:
        """Return the main task."""
        return next(iter(self.data["tasks"]))

    @property
    def classes(self) -> list[str]:
        """Return the main task's classes."""
        return list(self.data["tasks"][self.task])


def read_record(path: str | Path) -> RunRecord:
    """Return what the run folder holds.

    Raises:
        RunError, PredictionsError: the folder is no run, or one of its files is damaged (it is named).
    """
    folder = RunFolder(Path(path))
    recipe, data = folder.read_recipe(), folder.record()
    missing = [
        f"{file.name}: {NEXT_STEP[file.name]}."
        for file in (folder.manifest, folder.environment, folder.log, folder.predictions, folder.metrics)
        if not file.is_file()
    ]
    environment, metrics = read_json(folder.environment), read_json(folder.metrics)
    check_form(environment, folder.environment, Environment)
    if metrics is not None and metrics.get("format") != FORMAT:
        raise RunError(
            f"`{folder.metrics}` has format {metrics.get('format')}, this version reads {FORMAT}. Write it again: "
            f"`danil evaluate {folder.path}`."
        )
    check_form(metrics, folder.metrics, Metrics)
    log, manifest = read_table(folder.log), read_table(folder.manifest)
    if manifest is not None:
        check_columns(manifest, folder.manifest, ("path", "group", "split", *data["tasks"]))
    if log is not None:
        check_columns(log, folder.log, ("epoch",))
    predictions = read_predictions(folder.predictions) if folder.predictions.is_file() else None
    if predictions is not None:
        check_classes(predictions.classes, next(iter(data["tasks"].values())), folder.predictions)
    numbers = None if log is None else finite(log, folder.log)
    return RunRecord(folder, data, recipe, environment or {}, manifest, numbers, predictions, metrics, missing)


def finite(log: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the log as numbers, what is none or not finite missing.

    Raises:
        RunError: an epoch is no number.
    """
    numbers = log.apply(pd.to_numeric, errors="coerce").astype("float64")
    numbers = numbers.where(np.isfinite(numbers))
    if numbers["epoch"].isna().any():
        line = int(numbers["epoch"].isna().to_numpy().argmax()) + 2
        raise RunError(f"`{path}` is damaged: `epoch` in line {line} is no number. Restore it from a copy of the run.")
    return numbers


def check_form(found: dict[str, Any] | None, path: Path, form: type[BaseModel]) -> None:
    """Raise `RunError` where what a file holds has not this form."""
    try:
        if found is not None:
            form.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RunError(f"`{path}` is damaged: `{where}`: {first['msg']}. Write it again.") from error


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in the file, `None` where there is no file."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"`{path}` is damaged: {error}. Write it again (`danil evaluate RUN` writes metrics)."
        ) from error
    if not isinstance(found, dict):
        raise RunError(f"`{path}` is damaged: it holds no JSON object. Write it again.")
    return found


def read_table(path: Path) -> pd.DataFrame | None:
    """Return the table as text, empty cells missing, `None` where there is no file; a class may be called `NA`."""
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        return pd.read_csv(io.StringIO(text), dtype="str", keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise RunError(f"`{path}` is damaged: {error}. Write it again.") from error
