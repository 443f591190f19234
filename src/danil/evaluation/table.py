"""Evaluating a table of predictions alone, whoever made it."""

from pathlib import Path
from typing import Unpack

import pandas as pd

from danil.data.outputs import Output, check_outputs
from danil.evaluation.cohort_folder import check_no_run
from danil.evaluation.document import Choices, Document, evaluate_predictions
from danil.evaluation.folder import write_metrics
from danil.statistics.comparison import check_same_classes
from danil.statistics.decisions import Wanted, fitted_decisions
from danil.statistics.predictions import PredictionsError
from danil.statistics.tables import read_predictions

SHARED = (
    "The tables share {count:,} groups, e.g. {name}: temperature and thresholds were chosen on images of groups that "
    "they are judged on, so what they give looks too good."
)


def evaluate_table(
    path: str | Path,
    validation: str | Path | None = None,
    out: str | Path | None = None,
    *,
    wanted: Wanted | None = None,
    **choices: Unpack[Choices],
) -> Document:
    """Evaluate a `predictions.csv`, write `metrics.json` into the folder `out` (where given), and return its content.

    Columns beside `path, group, label, prediction, probability_<class> …` are metadata and make subgroups.

    Args:
        path: the table.
        validation: the same network's predictions on other images: temperature and thresholds come from them.
        out: a folder.
        wanted: what thresholds are chosen for.
        choices: as `evaluate_predictions` has them.

    Raises:
        EvaluationError, OutputError: `out` is a run folder, or has a `metrics.json` that danil did not write.
        PredictionsError: a row is wrong, both tables share an image, or `wanted` is given without `validation`.
    """
    if out is not None:
        check_no_run(Path(out))
        check_outputs([Output("--out", Path(out) / "metrics.json", "metrics")], [path], overwrite=None)
    predictions = read_predictions(path)
    decided, common = None, list[str]()
    if validation is not None:
        held_out = read_predictions(validation)
        check_same_classes(predictions, held_out)
        shared = sorted(set(predictions.paths) & set(held_out.paths))
        if shared:
            raise PredictionsError(
                f"`{path}` and `{validation}` share {len(shared)} images, e.g. `{shared[0]}`. Thresholds must come "
                "from images that they are not judged on."
            )
        common = sorted(set(predictions.groups) & set(held_out.groups))
        decided = fitted_decisions(held_out, wanted)
    elif wanted is not None:
        raise PredictionsError(
            f"`{path}` alone gives no thresholds: they must not come from the labels they are judged on. Give the same "
            "network's predictions on other images: `--validation FILE`."
        )
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    ours = [name for name in table if name in {"path", "group", "label", "prediction"} or named_probability(str(name))]
    document = evaluate_predictions(predictions, metadata=table.drop(columns=ours), decided=decided, **choices)
    if common:
        document["notes"].insert(0, SHARED.format(count=len(common), name=common[0]))
    if out is not None:
        write_metrics(out, document)
    return document


def named_probability(name: str) -> bool:
    """Tell whether a column holds a class's probability."""
    return name.startswith("probability_")
