"""The metrics of a network's tasks as one document."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import pandas as pd

from danil.evaluation.document import Choices, Document, evaluate_predictions
from danil.statistics.decisions import Decisions
from danil.statistics.predictions import Predictions


def tasks_document(
    known: Mapping[str, Predictions],
    tasks: Sequence[str],
    *,
    training_counts: Mapping[str, Mapping[str, int] | None],
    metadata: pd.DataFrame,
    decided: Mapping[str, Decisions],
    **choices: Unpack[Choices],
) -> Document:
    """Return the content of `metrics.json`: the first labelled task's, `task` (its name), and the others under `tasks`.

    Args:
        known: task → predictions, of those with a known label.
        tasks: all tasks of the network, the main one first; what is not `known` is noted.
        training_counts: task → class → number of training images.
        metadata: a row per image, its index the paths.
        decided: task → temperature and thresholds.
        choices: as `evaluate_predictions` has them; `prevalences` are of the main task's classes.
    """
    documents: dict[str, Document] = {}
    for task in (task for task in tasks if task in known):
        own = choices.copy()
        if task != tasks[0]:
            own["prevalences"] = None
        documents[task] = evaluate_predictions(
            known[task],
            training_counts=training_counts.get(task),
            metadata=metadata.loc[list(known[task].paths)].reset_index(drop=True),
            decided=decided.get(task),
            **own,
        )
    first = next(iter(documents))
    document = {**documents.pop(first), "task": first, "tasks": documents}
    if first != tasks[0]:
        document["notes"] = [f"The figures above are of the task {first}.", *document["notes"]]
        if choices.get("prevalences"):
            document["notes"].append(f"The prevalences are of the task {tasks[0]}, which has no labels here: not used.")
    unknown = [f"No image has a known label of the task {task}." for task in tasks if task not in known]
    return document | {"notes": [*document["notes"], *unknown]}
