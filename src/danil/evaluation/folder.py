"""Evaluating a run folder: `predictions.csv` (and the manifest) to `metrics.json`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from danil.data.atomic import write_atomically
from danil.evaluation.document import Document, evaluate_predictions
from danil.statistics.bootstrap import RESAMPLES
from danil.statistics.predictions import Predictions, PredictionsError
from danil.statistics.tables import read_predictions


class EvaluationError(ValueError):
    """Say which run cannot be evaluated, why, and what to do."""


def evaluate_run(run: str | Path, *, resamples: int = RESAMPLES, seed: int = 0) -> Document:
    """Evaluate a run's test predictions, write `metrics.json` into its folder and return its content.

    Further tasks (`predictions_<task>.csv`) stand under `tasks`; one without any known test label is noted instead.
    Metadata columns of the manifest make the subgroups; `validation_predictions.csv`, where the run has it, gives
    temperature and thresholds. The constant classifier answers the frequencies of the training labels, as the manifest
    has them.

    Raises:
        EvaluationError: the folder is no run, or its predictions are not those of its test part.
        PredictionsError: a row is wrong.
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
    known = [task for task in tasks if task == tasks[0] or (tested[task] != "").any()]
    documents = {
        task: evaluate_task(folder, manifest, task, first=task == tasks[0], resamples=resamples, seed=seed)
        for task in known
    }
    document = {**documents.pop(tasks[0]), "task": tasks[0], "tasks": documents}
    unknown = [f"no test image has a known label of the task {task}" for task in tasks if task not in known]
    document["notes"] = [*document["notes"], *unknown]
    write_metrics(folder, document)
    return document


def evaluate_task(
    folder: Path, manifest: pd.DataFrame, task: str, *, first: bool, resamples: int, seed: int
) -> Document:
    """Return the metrics of one task; the first one's predictions have the plain name."""
    predictions = read_predictions(folder / ("predictions.csv" if first else f"predictions_{task}.csv"))
    check_complete(predictions, manifest)
    held_out = folder / ("validation_predictions.csv" if first else f"validation_predictions_{task}.csv")
    others = [name for name in manifest.columns if name not in {"path", "group", "split", *task_names(folder)}]
    return evaluate_predictions(
        predictions,
        resamples=resamples,
        seed=seed,
        training_counts=training_counts(folder, task),
        metadata=manifest.set_index("path").loc[list(predictions.paths), others].reset_index(drop=True),
        validation=read_predictions(held_out) if held_out.is_file() else None,
    )


def training_counts(folder: Path, task: str) -> dict[str, int] | None:
    """Return how many training images of a run have each class; `None` where none is known."""
    manifest = read_manifest(folder)
    trained = manifest.loc[manifest["split"] == "train", task]
    counts = trained[trained != ""].value_counts()
    return {str(name): int(count) for name, count in counts.items()} or None


def write_metrics(folder: str | Path, document: Document) -> Path:
    """Write `metrics.json` atomically and return its path."""
    content = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return write_atomically(Path(folder) / "metrics.json", content)


def read_record(folder: Path) -> dict[str, Any]:
    """Return a run's `data.json`.

    Raises:
        EvaluationError: the folder is no run, or the file is damaged.
    """
    path = folder / "data.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EvaluationError(
            f"`{folder}` is not a run folder: it has no `data.json`. Make one: `danil train`."
        ) from error
    except (OSError, ValueError) as error:
        raise EvaluationError(f"`{path}` is damaged: {error}. Train again, or restore the file.") from error


def task_names(folder: Path) -> list[str]:
    """Return the run's tasks, the main one first."""
    return list(read_record(folder)["tasks"])


def read_manifest(folder: Path) -> pd.DataFrame:
    """Return the run's table of images, every cell as text."""
    read_record(folder)
    path = folder / "manifest.csv"
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"`{path}` cannot be read: {error}. Restore it from a copy of the run.") from error


def check_complete(predictions: Predictions, manifest: pd.DataFrame) -> None:
    """Refuse predictions that are not, row for row, those of the manifest's test part.

    Raises:
        PredictionsError: naming an image that is missing or too many.
    """
    wanted = set(manifest.loc[manifest["split"] == "test", "path"])
    there = set(predictions.paths)
    missing, extra = sorted(wanted - there), sorted(there - wanted)
    if missing or extra:
        fault = (
            f"misses {len(missing)} of {len(wanted)} test images" if missing else f"has {len(extra)} images too many"
        )
        raise PredictionsError(
            f"`{predictions.source}` {fault}, e.g. `{(missing or extra)[0]}`. Predict the test part again: "
            "`danil train … --resume`."
        )
