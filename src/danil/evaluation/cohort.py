"""Evaluating a run on another cohort: other class names, missing classes, images without labels; every task."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd

from danil.data import loader, read_source, write_atomically
from danil.data.manifest import RESERVED, Manifest, counted
from danil.data.sources import SYNTHETIC, parsed_source
from danil.evaluation.cohort_folder import check_free, cohort_folder, write_record
from danil.evaluation.decisions import run_decisions
from danil.evaluation.document import Choices, Document
from danil.evaluation.errors import EvaluationError
from danil.evaluation.folder import METRICS, predictions_name, read_manifest, training_counts, write_metrics
from danil.evaluation.overlap import training_overlap
from danil.evaluation.tasks import tasks_document
from danil.runs import FittedClassifier, RunFolder, open_run
from danil.runs.unfinished import unfinished
from danil.statistics.decisions import Wanted
from danil.statistics.predictions import Integers, Predictions

LOGGER = logging.getLogger(__name__)


def evaluate_cohort(
    run: str | Path,
    data: str,
    mapping: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    wanted: Wanted | None = None,
    **choices: Unpack[Choices],
) -> tuple[Document | None, Path]:
    """Predict another data set, write its predictions (a table per task) and `metrics.json`; return metrics and folder.

    Temperature and thresholds are the run's own, from its validation part; the cohort's metadata make the subgroups.
    A task's labels are the cohort's column of its name, unless `data` names other label columns; the main task takes
    the cohort's first label column where none is named like a task. What has no labels is predicted only, which the
    notes say. Images that the run was trained or validated on are counted in a warning and in the notes.

    Args:
        run: the run folder.
        data: `READER:PATH` or a path; its own split is ignored.
        mapping: `OLD=NEW`: the cohort's class OLD is the run's class NEW, of the main task; `TASK:OLD=NEW` of another;
            `OLD=` takes the label as unknown.
        out: where results go. Default: a folder in the run's `cohorts`, named by the last two parts of the data's path.
        wanted: what thresholds are chosen for, on the run's validation part. Default: what the run has.
        choices: as `evaluate_predictions` has them; `prevalences` are of the main task's classes.

    Returns:
        Metrics (`None` where no image has a label: only predictions are written then) and the folder.

    Raises:
        EvaluationError: a class of the cohort is none of the run's, the mapping is wrong, or the folder is a run or
            holds results of other data; nothing is written.
        RunError, DataError: the run or the data cannot be used.
    """
    fitted = open_run(run)
    tasks = list(fitted.tasks)
    decided = run_decisions(Path(run), read_manifest(Path(run)), tasks, wanted)
    manifest = read_source(data, labelled=False, several=len(tasks) > 1)
    for task in (task for task in tasks if task in label_columns(manifest, tasks) and task not in manifest.tasks):
        LOGGER.info("The labels of the task `%s` are those of the column of that name.", task)
    folder = cohort_folder(Path(run), manifest.source) if out is None else Path(out)
    check_free(folder, manifest.source)
    before, after = doubts(fitted.folder, manifest)
    predictions = cohort_predictions(fitted, manifest, mapping, data)
    known = {task: found for task, found in predictions.items() if (found.labels >= 0).any()}
    metrics = None
    if known:
        metrics = tasks_document(
            known,
            tasks,
            training_counts={task: training_counts(Path(run), task) for task in known},
            metadata=manifest.table.set_index("path").drop(columns=["group", "split", *label_columns(manifest, tasks)]),
            decided=decided,
            **choices,
        )
        metrics |= {"cohort": manifest.source, "mapping": list(mapping)}
        metrics["notes"] = [*before, *metrics["notes"], *after]
    write_record(folder, manifest.source)
    (folder / METRICS).unlink(missing_ok=True)  # of an earlier evaluation: not of the predictions that follow
    for task, found in predictions.items():
        write_atomically(folder / predictions_name(task, tasks), found.table().to_csv(index=False))
    if metrics is not None:
        write_metrics(folder, metrics)
    return metrics, folder


def doubts(folder: RunFolder, cohort: Manifest) -> tuple[list[str], list[str]]:
    """Return the notes before and after those on the metrics: an unfinished training, images seen in it; warn of these.

    Opening the run has warned of an unfinished training.
    """
    seen, unknown = training_overlap(folder.path, cohort)
    if seen is not None:
        LOGGER.warning(seen)
    early = unfinished(folder)
    return [told for told in (early, seen) if told is not None], [unknown] if unknown is not None else []


def cohort_predictions(
    fitted: FittedClassifier, manifest: Manifest, mapping: Sequence[str], source: str
) -> dict[str, Predictions]:
    """Return the run's predictions on every image of the cohort by task, with its labels in the run's classes."""
    renamed = parsed_mapping(mapping, fitted.tasks)
    labels = {
        task: cohort_labels(
            label_cells(manifest, task, fitted.tasks),
            names,
            renamed[task],
            source,
            front="" if task == fitted.task else f"{task}:",
        )
        for task, names in fitted.tasks.items()
    }
    probabilities = fitted.probabilities(batch.images for batch in loader(fitted.images(manifest), None, batch_size=64))
    return {
        task: Predictions.of(
            labels[task],
            probabilities[task],
            groups=manifest.table["group"].tolist(),
            classes=names,
            paths=manifest.table["path"].tolist(),
            source=source,
        )
        for task, names in fitted.tasks.items()
    }


def label_cells(manifest: Manifest, task: str, tasks: Iterable[str]) -> pd.Series:
    """Return the cohort's labels of one of the run's tasks as text, missing where it has none."""
    ours, there = list(tasks), label_columns(manifest, tasks)
    if task in there:
        return manifest.table[task].astype("str")
    if task == ours[0] and not set(ours) & set(there):
        return manifest.table[manifest.task]
    return pd.Series(None, manifest.table.index, dtype="str")


def label_columns(manifest: Manifest, tasks: Iterable[str]) -> list[str]:
    """Return the cohort's own label columns and, where its source names none, those named like the run's tasks."""
    named = manifest.source.startswith(f"{SYNTHETIC}:") or "label" in parsed_source(manifest.source).options
    like = [task for task in tasks if task in manifest.table and task not in (*RESERVED, *manifest.tasks)]
    return [*manifest.tasks, *(() if named else like)]


def parsed_mapping(mapping: Sequence[str], tasks: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Return task → OLD → NEW; NEW is empty where the label is to be unknown.

    Raises:
        EvaluationError: no `=`, OLD twice, or NEW none of the task's classes.
    """
    renamed: dict[str, dict[str, str]] = {task: {} for task in tasks}
    for item in mapping:
        front, _, rest = item.partition(":")
        task, pair = (front, rest) if front in tasks and rest else (next(iter(tasks)), item)
        old, equals, new = pair.partition("=")
        if not equals or not old:
            raise EvaluationError(f"`--map {item}` is not OLD=NEW. Write the cohort's class, `=`, the run's class.")
        if old in renamed[task]:
            raise EvaluationError(f"`--map` gives `{old}` twice. Keep one.")
        if new and new not in tasks[task]:
            raise EvaluationError(
                f"`--map {item}`: `{new}` is none of the run's classes {', '.join(tasks[task])}."
                + (f" Another task's class: `TASK:{pair}`, TASK one of {', '.join(tasks)}." if len(tasks) > 1 else "")
            )
        renamed[task][old] = new
    return renamed


def cohort_labels(
    cells: pd.Series, classes: Sequence[str], renamed: Mapping[str, str], data: str, front: str = ""
) -> Integers:
    """Return a task's labels in the cohort as the run's class indices, −1 = unknown; `front` is its prefix in `--map`.

    Raises:
        EvaluationError: a class that is neither the run's nor mapped, or a mapping of a class that is not there.
    """
    names = set(cells.dropna())
    absent = sorted(set(renamed) - names)
    if absent:
        there = ", ".join(sorted(names)) or "no label there"
        raise EvaluationError(f"`--map {front}{absent[0]}=…`: `{data}` has no class `{absent[0]}`; it has {there}.")
    foreign = sorted(name for name in names if name not in renamed and name not in classes)
    if foreign:
        old = f"{front}{foreign[0]}"
        raise EvaluationError(
            f"`{data}` has {counted(foreign, 'label')} that are none of the run's classes {', '.join(classes)}. Say "
            f"which class each is: `--map {old}={classes[0]}`, or leave its labels out: `--map {old}=`."
        )
    mapped = cells.map(lambda name: renamed.get(name, name), na_action="ignore")
    return pd.Index(classes).get_indexer(pd.Index(mapped)).astype(np.int64)
