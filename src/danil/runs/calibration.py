"""A run's `calibration.json`: the temperature and thresholds that its validation part decided, by task."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from danil.data.atomic import write_atomically
from danil.runs.folder import RunError
from danil.statistics.decisions import Decisions

FORMAT = 1
NAME = "calibration.json"
TASKS = TypeAdapter(dict[str, Decisions])


def write_calibration(folder: Path, decisions: Mapping[str, Decisions], sources: Mapping[str, Path]) -> Path:
    """Write the decisions of each task atomically, with the digest of the predictions each was fitted on."""
    document = {
        "format": FORMAT,
        "fitted_on": "validation",
        "sources": {task: {"file": path.name, "sha256": digest(path)} for task, path in sources.items()},
        "tasks": {task: asdict(found) for task, found in decisions.items()},
    }
    return write_atomically(folder / NAME, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_calibration(folder: Path) -> dict[str, Decisions]:
    """Return task → decisions; empty where the run has none (no validation part, or not evaluated yet).

    Raises:
        RunError: the file is damaged, or a value in it is impossible.
    """
    path = folder / NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return TASKS.validate_python(document["tasks"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise RunError(
            f"`{path}` is damaged: {reason}. Delete it, and evaluate again: `danil evaluate {folder}`."
        ) from error


def digest(path: Path) -> str:
    """Return the file's SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
