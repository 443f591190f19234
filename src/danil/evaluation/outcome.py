"""What there is to say of a run that has just been trained."""

from pathlib import Path

from danil.evaluation.decisions import run_decisions
from danil.evaluation.document import evaluate_predictions
from danil.evaluation.folder import evaluate_run, read_manifest, task_names, training_counts
from danil.evaluation.summary import summary
from danil.statistics.tables import read_predictions


def evaluated_outcome(run: str | Path) -> str:
    """Evaluate a trained run's test part, write its `metrics.json`, and return the metrics as text.

    A run without a test part, or without a label in it, is complete too: the text then says that there is nothing to
    evaluate, and shows the main task's metrics on the validation part where there is one; what that part decides
    (`calibration.json`) is stored all the same, for predictions and cohorts.

    Raises:
        EvaluationError, PredictionsError: as `evaluate_run`.
    """
    folder = Path(run)
    manifest, tasks = read_manifest(folder), task_names(folder)
    task = tasks[0]
    labels = {part: manifest.loc[manifest["split"] == part, task] for part in ("test", "validation")}
    if (labels["test"] != "").any():
        return summary(evaluate_run(folder))
    lines = [
        f"nothing to evaluate: the run has no {'test part' if labels['test'].empty else 'label in its test part'}. "
        f"Train with `split.test` above 0, or evaluate it on other images: `danil evaluate {folder} --data DATA`."
    ]
    run_decisions(folder, manifest, tasks)
    if (labels["validation"] != "").any():
        held_out = read_predictions(folder / "validation_predictions.csv")
        document = evaluate_predictions(held_out, training_counts=training_counts(folder, task))
        lines += ["on the validation part, which may have chosen the epoch and then flatters:", summary(document)]
    return "\n".join(lines)
