"""The decisions of a run: fitted on its validation predictions, stored with it, taken from there ever after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from danil.evaluation.errors import EvaluationError, check_part
from danil.runs.calibration import read_calibration, write_calibration
from danil.statistics.decisions import Decisions, Wanted, fitted_decisions
from danil.statistics.tables import read_predictions


def run_decisions(
    folder: Path, manifest: pd.DataFrame, tasks: Sequence[str], wanted: Wanted | None = None
) -> dict[str, Decisions]:
    """Return task → temperature and thresholds; empty where the run has no validation part.

    They are fitted on `validation_predictions.csv` and written to `calibration.json`, by default for the rates that the
    stored ones are for. Where these predictions are not there (a run passed on without them), the stored decisions are
    taken.

    Raises:
        EvaluationError: `wanted` is given, but nothing is there to choose thresholds on.
        PredictionsError: predictions that are not, row for row, those of the manifest's validation part.
        RunError: `calibration.json` is damaged.
    """
    files = {task: folder / validation_file(task, tasks) for task in tasks}
    files = {task: path for task, path in files.items() if path.is_file()}
    stored = read_calibration(folder)
    if not files:
        check_wanted(folder, stored, wanted)
        return stored
    decided: dict[str, Decisions] = {}
    for task, path in files.items():
        held_out = read_predictions(path)
        check_part(held_out, manifest, "validation")
        if (held_out.labels >= 0).any():
            before = stored[task].wanted() if task in stored else None
            decided[task] = fitted_decisions(held_out, wanted or before)
    if decided:
        write_calibration(folder, decided, {task: files[task] for task in decided})
    else:
        check_wanted(folder, {}, wanted)
    return decided


def validation_file(task: str, tasks: Sequence[str]) -> str:
    """Return the name of a task's validation predictions; the first task's has the plain name."""
    return "validation_predictions.csv" if task == tasks[0] else f"validation_predictions_{task}.csv"


def check_wanted(folder: Path, stored: Mapping[str, Decisions], wanted: Wanted | None) -> None:
    """Refuse to go on where thresholds are asked for that are neither stored nor can be chosen."""
    if wanted is None:
        return
    aims = {*(("sensitivity", value) for value in wanted.sensitivities)}
    aims |= {*(("specificity", value) for value in wanted.specificities)}
    aims |= {*(("risk", value) for value in wanted.risks)}
    for decided in stored.values():
        aims -= {(one.wanted, one.at_least) for one in decided.classes}
        aims -= {("risk", one.risk) for one in decided.confidences}
    if aims:
        name, value = min(aims)
        raise EvaluationError(
            f"`{folder}` has no predictions on a validation part, so no threshold can be chosen for a {name} of "
            f"{value:g} (the test part must not choose it). Train with `split.validation` above 0."
        )
