"""Reading a `robustness.json`, which may come from a stranger."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from danil.evaluation.errors import EvaluationError


class Part(BaseModel):
    """Keep keys of later versions."""

    model_config = ConfigDict(extra="allow", strict=True)


class Value(Part):
    """Hold a number with its interval; `None` where undefined."""

    value: float | None
    low: float | None
    high: float | None


class Values(Part):
    """Hold the metrics of a condition."""

    accuracy: Value
    macro_f1: Value


class Row(Part):
    """Hold a condition; its name is also a file's."""

    name: Annotated[str, Field(pattern=r"^[a-z]+(-[0-9.]+(e[+-][0-9]+)?)?$", max_length=40)]
    unit: str
    metrics: Values
    change: Values


class Search(Part):
    """Say how PGD searched."""

    steps: int
    step: float


class Settings(Part):
    """Say what was measured."""

    attack: Search


class Robustness(Part):
    """Hold a measurement."""

    images: int
    size: int
    settings: Settings
    conditions: Annotated[list[Row], Field(min_length=1)]


def read_robustness(path: Path) -> dict[str, Any] | None:
    """Return the content of a `robustness.json`, `None` where there is no file.

    Raises:
        EvaluationError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        Robustness.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise damaged(path, f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    return document


def damaged(path: Path, fault: str) -> EvaluationError:
    """Return the error for a file that cannot be used."""
    return EvaluationError(f"`{path}` is damaged: {fault}. Measure again: `danil evaluate {path.parent} --robustness`.")
