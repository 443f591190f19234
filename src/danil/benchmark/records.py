"""Records: small JSON, one per finished cell, enough to make every table again without images or runs."""

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from danil.benchmark.cell import Cell
from danil.data.atomic import write_atomically
from danil.runs import RunFolder
from danil.statistics.predictions import Integers, Predictions
from danil.statistics.tables import read_predictions

KIND = "danil benchmark record"
FORMAT = 1


class RecordError(ValueError):
    """Say which record cannot be used, and why."""


@dataclass(frozen=True)
class Record:
    """Hold one finished cell: names, what it was made of, labels and predicted classes of the scored part."""

    path: Path
    content: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.content[name]
        except KeyError as error:
            raise AttributeError(name) from error

    @property
    def predictions(self) -> Predictions:
        """Return labels and predicted classes; the predicted class has probability 1."""
        classes = self.content["classes"]
        found = unpacked(self.content["predictions"])
        groups = self.content["groups"]
        return Predictions.of(
            unpacked(self.content["labels"]),
            np.eye(len(classes))[found],
            groups=None if groups is None else [str(group) for group in unpacked(groups)],
            classes=classes,
            source=str(self.path),
        )


def packed(values: Integers) -> str:
    """Return indices from 0 as text: single digits side by side, larger ones each after a blank."""
    separator = "" if values.max(initial=0) < 10 else " "
    return "".join(f"{separator}{value}" for value in values.tolist())


def unpacked(text: str) -> Integers:
    """Return the indices of `packed`."""
    return np.array(text.split() if text.startswith(" ") else list(text), dtype=np.int64)


def made_record(cell: Cell, folder: RunFolder, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    """Return the record of a finished run.

    Only images with a known label of the main task count; they are ordered by path, so that the records of one test
    part agree line by line, and `test_digest` tells that they do.
    """
    table = read_predictions(folder.predictions if cell.part == "test" else folder.path / "validation_predictions.csv")
    known = table.labelled()
    known = known.take(np.argsort(known.paths.astype(str), kind="stable"))
    codes = pd.factorize(known.groups)[0].astype(np.int64)
    identity = "\x1f".join([*known.classes, *map(str, known.paths), packed(known.labels), packed(codes)])
    environment = json.loads(folder.environment.read_text(encoding="utf-8"))
    record = folder.record()
    return {
        "kind": KIND,
        "format": FORMAT,
        **{name: value for name, value in cell.description().items() if name != "recipe"},
        "recipe": cell.recipe.model_dump(mode="json"),
        "parts": record["images"],
        "versions": environment["versions"],
        "git": environment["git"],
        "threads": environment["threads"],
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {', '.join(environment['devices'])}",
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "log": log_columns(folder.log),
        "classes": list(known.classes),
        "test_digest": hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16],
        "groups": packed(codes) if known.grouped else None,
        "labels": packed(known.labels),
        "predictions": packed(known.found),
    }


def log_columns(path: Path) -> dict[str, list[float | None]]:
    """Return the log by column, four digits, without the clock's."""
    table = pd.read_csv(path)
    kept = [name for name in table.columns if "seconds" not in str(name)]
    return {str(name): [None if pd.isna(value) else float(f"{value:.4g}") for value in table[name]] for name in kept}


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write a record atomically."""
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_record(path: Path) -> Record | None:
    """Return the record of a file, `None` where the file is JSON of another kind.

    Raises:
        RecordError: the file is no JSON or misses a key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"`{path}` cannot be read as JSON: {error}. Delete it and run its cell again.") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        return None
    needed = {"suite", "title", "dataset", "backbone", "method", "seed", "digest", "classes", "labels", "predictions"}
    missing = sorted((needed | {"test_digest", "groups", "part", "paper", "recipe", "data", "further"}) - set(content))
    if missing or content.get("format") != FORMAT:
        fault = f"misses {', '.join(missing)}" if missing else f"has format {content.get('format')}, not {FORMAT}"
        raise RecordError(f"`{path}` {fault}. Delete it and run its cell again.")
    return Record(path, content)


def read_records(folder: str | Path) -> list[Record]:
    """Return every record below a folder, by path; other JSON files are passed over.

    Raises:
        RecordError: the folder is missing or holds no record, or one is damaged.
    """
    root = Path(folder)
    if not root.is_dir():
        raise RecordError(f"`{root}` is not a folder. Name the folder of records that `danil benchmark` wrote.")
    found = records_below(root)
    if not found:
        raise RecordError(f"`{root}` holds no benchmark records. Make some: `danil benchmark SUITE.toml`.")
    return found


def records_below(folder: Path) -> list[Record]:
    """Return every record below a folder, by path; none where there is no folder."""
    return [record for path in sorted(folder.rglob("*.json")) if (record := read_record(path)) is not None]
