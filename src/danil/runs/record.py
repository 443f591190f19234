"""What the files of a run must hold: the folder may come from anywhere."""

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any


class RunError(ValueError):
    """Say which run folder cannot be used, why, and what to do."""


def checked_record(record: Any, path: Path, texts: Sequence[str] = ("source", "digest")) -> dict[str, Any]:
    """Return what `data.json` holds where it has the tasks and these texts, as `data_record` writes them.

    Raises:
        RunError: it is something else.
    """
    tasks = record.get("tasks") if isinstance(record, dict) else None
    sound = isinstance(tasks, dict) and all(
        isinstance(names, list) and names and all(isinstance(name, str) for name in names) for names in tasks.values()
    )
    missing = [name for name in texts if not isinstance(record, dict) or not isinstance(record.get(name), str)]
    if not sound or not tasks or missing or not isinstance(record.get("root"), str | None):
        raise RunError(
            f"`{path}` is damaged: it needs {', '.join(texts)}, root and tasks (task → class names). "
            "Restore it from a copy of the run."
        )
    return record


def check_columns(table: Iterable[Hashable], path: Path, needed: Iterable[str]) -> None:
    """Raise `RunError` where a table of the run lacks a column."""
    there = list(table)
    missing = [name for name in needed if name not in there]
    if missing:
        raise RunError(
            f"`{path}` is damaged: it has no column {', '.join(missing)}. Restore it from a copy of the run."
        )


def check_classes(found: Sequence[str], classes: Sequence[str], path: Path) -> None:
    """Raise `RunError` where a table of predictions has other classes than the run."""
    if tuple(found) != tuple(classes):
        raise RunError(
            f"`{path}` has the classes {', '.join(found)}, the run {', '.join(classes)}. "
            "Restore the file, or train again."
        )
