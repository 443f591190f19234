"""The report of a comparison: methods side by side on the same test images, on one HTML page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from danil.data.manifest import plural
from danil.report.card import TextTable, cautions, data_facts
from danil.report.charts import compared_training
from danil.report.class_charts import MATRIX
from danil.report.differences import difference_table, method_table
from danil.report.measures import title
from danil.report.page import write_page
from danil.report.record import RunRecord, read_record
from danil.report.robustness import compared_section
from danil.runs.recipe import flattened
from danil.statistics.confusion import confusion_matrix
from danil.statistics.tables import read_predictions

CONTENTS = (
    ("summary", "Summary"),
    ("methods", "Methods"),
    ("pairs", "Differences"),
    ("robustness", "Robustness"),
    ("classes", "Confusion matrices"),
    ("training", "Training"),
    ("protocol", "Protocol"),
    ("provenance", "Runs"),
)


def write_comparison_report(comparison: Mapping[str, Any], path: str | Path) -> Path:
    """Write one page from the document of `danil.evaluation.compare_runs` and return its path.

    Confusion matrices and curves are those of the runs the document names, where these are run folders.

    Raises:
        RunError, PredictionsError: a run that the document names is gone or damaged.
    """
    methods: Mapping[str, Any] = comparison["methods"]
    records = {name: record_of(method["runs"][0]) for name, method in methods.items()}
    known = {name: record for name, record in records.items() if record is not None}
    first = next(iter(known.values()), None)
    differences = [difference_table(comparison, pair) for pair in comparison["pairs"]]
    drawn = compared_training({name: record.log for name, record in known.items()})
    robust = compared_section(comparison.get("robustness"))
    matrices = len(comparison["classes"]) <= MATRIX
    shown = {"training": drawn, "robustness": robust, "classes": matrices}
    return write_page(
        path,
        "comparison.html.j2",
        title=f"Comparison of {', '.join(methods)}",
        subtitle=f"{plural(comparison['images'], 'test image')} in {plural(comparison['groups'], 'group')}, "
        f"{plural(len(comparison['classes']), 'class')}: {', '.join(comparison['classes'])}",
        contents=[item for item in CONTENTS if shown.get(item[0], True)],
        summary=summary(comparison),
        verdicts=[f"{pair['first']} against {pair['second']}: {pair['verdict']}." for pair in comparison["pairs"]],
        notes=[
            *comparison["notes"],
            *([] if first is None else cautions(first, notes=False)),
            *([] if matrices else [f"Confusion matrices of more than {MATRIX} classes are left out."]),
        ],
        methods=method_table(comparison),
        differences=differences,
        mcnemar=mcnemar_table(comparison),
        classes=comparison["classes"],
        confusions=[(name, confusion(method["runs"][0])) for name, method in methods.items()] if matrices else [],
        training=drawn,
        robustness=robust,
        protocol=recipe_table(known),
        data=[] if first is None else data_facts(first),
        runs=[(name, ", ".join(method["runs"])) for name, method in methods.items()],
    )


def record_of(run: str) -> RunRecord | None:
    """Return the run's record, `None` for a table of predictions alone."""
    return None if Path(run).is_file() else read_record(run)


def summary(comparison: Mapping[str, Any]) -> list[str]:
    """Return what was compared, in words."""
    trainings = sum(len(method["runs"]) for method in comparison["methods"].values())
    corrected = len(comparison["pairs"])
    return [
        f"{plural(len(comparison['methods']), 'method')} from {plural(trainings, 'training')}, tested on the same "
        f"{plural(comparison['images'], 'image')}. Verdicts are about {title(comparison['metric'])}"
        + (f", corrected (Holm) for {corrected} pairs." if corrected > 1 else "."),
    ]


def mcnemar_table(comparison: Mapping[str, Any]) -> TextTable:
    """Return McNemar's p-values and the p-values behind the verdicts."""
    metric = comparison["metric"]
    rows = [
        [
            f"{pair['first']} against {pair['second']}",
            probability(pair["differences"][metric]["p"]),
            probability(pair["differences"][metric]["p_holm"]),
            ", ".join(probability(value) for value in pair["mcnemar"]),
        ]
        for pair in comparison["pairs"]
    ]
    head = ["pair", f"p, {title(metric)}", "corrected (Holm)", "McNemar's p, by pair of runs"]
    return TextTable("Tests", head, rows)


def probability(value: float | None) -> str:
    """Return a p-value."""
    return "–" if value is None else f"{value:.2g}"


def confusion(run: str) -> list[list[int]]:
    """Return a run's confusion matrix on the labelled images."""
    table = read_predictions(run if Path(run).is_file() else Path(run) / "predictions.csv")
    return confusion_matrix(table.labels, table.found, len(table.classes)).tolist()


def recipe_table(records: Mapping[str, RunRecord]) -> TextTable | None:
    """Return the recipe keys in which methods differ; `None` where no recipe is known."""
    flat = {name: flattened(record.recipe.model_dump()) for name, record in records.items()}
    if not flat:
        return None
    keys = list(dict.fromkeys(key for values in flat.values() for key in values))
    odd = [key for key in keys if key != "seed" and len({str(values.get(key)) for values in flat.values()}) > 1]
    rows = [[key, *(str(values.get(key, "–")) for values in flat.values())] for key in odd]
    return TextTable("Keys of the recipe in which the methods differ", ["key", *flat], rows)
