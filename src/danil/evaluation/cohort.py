"""Evaluating a run on another cohort: other class names, missing classes, images without labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd

from danil.data import loader, read_source, write_atomically
from danil.data.manifest import RESERVED, Manifest, counted
from danil.evaluation.decisions import run_decisions
from danil.evaluation.document import Choices, Document, evaluate_predictions
from danil.evaluation.errors import EvaluationError
from danil.evaluation.folder import read_manifest, task_names, training_counts, write_metrics
from danil.runs import FittedClassifier, open_run
from danil.statistics.decisions import Wanted
from danil.statistics.predictions import Integers, Predictions


def evaluate_cohort(
    run: str | Path,
    data: str,
    mapping: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    wanted: Wanted | None = None,
    **choices: Unpack[Choices],
) -> tuple[Document | None, Path]:
    """Predict another data set, write `predictions.csv` and `metrics.json`; return metrics and folder.

    Temperature and thresholds are the run's own, from its validation part; the cohort's metadata make the subgroups.

    Args:
        run: the run folder.
        data: `READER:PATH` or a path; its own split is ignored.
        mapping: `OLD=NEW`: the cohort's class OLD is the run's class NEW; `OLD=` takes the label as unknown.
        out: where results go. Default: `cohorts/<name of the data>` in the run folder.
        wanted: what thresholds are chosen for, on the run's validation part. Default: what the run has.
        choices: as `evaluate_predictions` has them.

    Returns:
        Metrics (`None` where no image has a label: only predictions are written then) and the folder.

    Raises:
        EvaluationError: a class of the cohort is none of the run's, or the mapping is wrong; nothing is written.
        RunError, DataError: the run or the data cannot be used.
    """
    fitted = open_run(run)
    decided = run_decisions(Path(run), read_manifest(Path(run)), task_names(Path(run)), wanted)
    manifest = read_source(data, labelled=False)
    predictions = cohort_predictions(fitted, manifest, mapping, data)
    folder = Path(run) / "cohorts" / Path(data.split(":")[-1].split("?")[0]).stem if out is None else Path(out)
    metrics = None
    if (predictions.labels >= 0).any():
        metrics = evaluate_predictions(
            predictions,
            training_counts=training_counts(Path(run), fitted.task),
            metadata=manifest.table.drop(columns=[*RESERVED, *manifest.tasks]),
            decided=decided.get(fitted.task),
            **choices,
        )
        metrics |= {"task": fitted.task, "cohort": manifest.source, "mapping": list(mapping)}
    write_atomically(folder / "predictions.csv", predictions.table().to_csv(index=False))
    if metrics is not None:
        write_metrics(folder, metrics)
    return metrics, folder


def cohort_predictions(
    fitted: FittedClassifier, manifest: Manifest, mapping: Sequence[str], source: str
) -> Predictions:
    """Return the run's predictions on every image of the cohort, with its labels in the run's classes."""
    task = fitted.task if fitted.task in manifest.tasks else manifest.task
    labels = cohort_labels(manifest, task, fitted.classes, parsed_mapping(mapping, fitted.classes), source)
    batches = (batch.images for batch in loader(fitted.images(manifest), None, batch_size=64))
    probabilities = fitted.probabilities(batches)[fitted.task]
    return Predictions.of(
        labels,
        probabilities,
        groups=manifest.table["group"].tolist(),
        classes=fitted.classes,
        paths=manifest.table["path"].tolist(),
        source=source,
    )


def parsed_mapping(mapping: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """Return OLD → NEW; NEW is empty where the label is to be unknown.

    Raises:
        EvaluationError: no `=`, OLD twice, or NEW none of the classes.
    """
    renamed: dict[str, str] = {}
    for item in mapping:
        old, equals, new = item.partition("=")
        if not equals or not old:
            raise EvaluationError(f"`--map {item}` is not OLD=NEW. Write the cohort's class, `=`, the run's class.")
        if old in renamed:
            raise EvaluationError(f"`--map` gives `{old}` twice. Keep one.")
        if new and new not in classes:
            raise EvaluationError(f"`--map {item}`: `{new}` is none of the run's classes {', '.join(classes)}.")
        renamed[old] = new
    return renamed


def cohort_labels(
    manifest: Manifest, task: str, classes: Sequence[str], renamed: Mapping[str, str], data: str
) -> Integers:
    """Return the cohort's labels as the run's class indices, −1 = unknown.

    Raises:
        EvaluationError: a class that is neither the run's nor mapped, or a mapping of a class that is not there.
    """
    column = manifest.table[task]
    names = set(column.dropna())
    absent = sorted(set(renamed) - names)
    if absent:
        raise EvaluationError(f"`--map`: `{data}` has no class `{absent[0]}`; it has {', '.join(sorted(names))}.")
    foreign = sorted(name for name in names if name not in renamed and name not in classes)
    if foreign:
        raise EvaluationError(
            f"`{data}` has {counted(foreign, 'label')} that are none of the run's classes {', '.join(classes)}. Say "
            f"which class each is: `--map {foreign[0]}={classes[0]}`, or leave its labels out: `--map {foreign[0]}=`."
        )
    mapped = column.map(lambda name: renamed.get(name, name), na_action="ignore")
    return pd.Index(classes).get_indexer(pd.Index(mapped)).astype(np.int64)
