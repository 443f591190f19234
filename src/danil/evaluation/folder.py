"""Evaluating a run folder: `predictions.csv` (and the manifest) to `metrics.json`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from danil.data.atomic import write_atomically
from danil.evaluation.decisions import run_decisions
from danil.evaluation.document import Choices, Document
from danil.evaluation.errors import EvaluationError, check_part
from danil.evaluation.tasks import tasks_document
from danil.runs.record import RunError, check_columns, checked_record
from danil.statistics.decisions import Wanted
from danil.statistics.tables import read_predictions

METRICS = "metrics.json"


def evaluate_run(run: str | Path, *, wanted: Wanted | None = None, **choices: Unpack[Choices]) -> Document:
    """Evaluate a run's test predictions, write `metrics.json` into its folder and return its content.

    Further tasks (`predictions_<task>.csv`) stand under `tasks`; one without any known test label is noted instead.
    Metadata columns of the manifest make the subgroups.
    Temperature and thresholds come from the validation part alone and are stored in `calibration.json`; without one
    there are none. The constant classifier answers the frequencies of the training labels, as the manifest has them.

    Args:
        run: the run folder.
        wanted: what thresholds are chosen for. Default: `Wanted()`, or what the run has stored.
        choices: as `evaluate_predictions` has them; `prevalences` are of the main task's classes.

    Raises:
        EvaluationError: the folder is no run, has no test part, or no validation part for what is `wanted`.
        PredictionsError: a row is wrong, or predictions are not those of their part.
    """
    folder = Path(run)
    manifest = read_manifest(folder)
    if not (manifest["split"] == "test").any():
        raise EvaluationError(
            f"`{folder}` has no test part to evaluate. Train with `split.test` above 0, or evaluate it on "
            f"other images: `danil evaluate {folder} --data DATA`."
        )
    tasks = task_names(folder)
    tested = manifest.loc[manifest["split"] == "test"]
    labelled = [task for task in tasks if task == tasks[0] or (tested[task] != "").any()]
    known = {task: read_predictions(folder / predictions_name(task, tasks)) for task in labelled}
    for predictions in known.values():
        check_part(predictions, manifest, "test")
    decided = run_decisions(folder, manifest, tasks, wanted)
    document = tasks_document(
        known,
        tasks,
        training_counts={task: training_counts(folder, task) for task in known},
        metadata=manifest.set_index("path").drop(columns=["group", "split", *tasks]),
        decided=decided,
        **choices,
    )
    write_metrics(folder, document)
    return document


def predictions_name(task: str, tasks: Sequence[str]) -> str:
    """Return the name of a task's test predictions; the first task's has the plain name."""
    return "predictions.csv" if task == tasks[0] else f"predictions_{task}.csv"


def training_counts(folder: Path, task: str) -> dict[str, int] | None:
    """Return how many training images of a run have each class; `None` where none is known."""
    manifest = read_manifest(folder)
    trained = manifest.loc[manifest["split"] == "train", task]
    counts = trained[trained != ""].value_counts()
    return {str(name): int(count) for name, count in counts.items()} or None


def write_metrics(folder: str | Path, document: Document) -> Path:
    """Write `metrics.json` atomically and return its path."""
    content = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return write_atomically(Path(folder) / METRICS, content)


def read_record(folder: Path) -> dict[str, Any]:
    """Return a run's `data.json`.

    Raises:
        EvaluationError: the folder is no run, or the file is damaged.
    """
    path = folder / "data.json"
    try:
        return checked_record(json.loads(path.read_text(encoding="utf-8")), path, ())
    except RunError:
        raise
    except FileNotFoundError as error:
        raise EvaluationError(
            f"`{folder}` is not a run folder: it has no `data.json`. Make one: `danil train`."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(f"`{path}` is damaged: {error}. Train again, or restore the file.") from error


def task_names(folder: Path) -> list[str]:
    """Return the run's tasks, the main one first."""
    return list(read_record(folder)["tasks"])


def read_manifest(folder: Path) -> pd.DataFrame:
    """Return the run's table of images, every cell as text."""
    read_record(folder)
    path = folder / "manifest.csv"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"`{path}` cannot be read: {error}. Restore it from a copy of the run.") from error
    check_columns(table, path, ("path", "group", "split", *task_names(folder)))
    return table
