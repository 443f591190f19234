"""The report of one run: a single HTML file in the run folder."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from danil.data.decoding import ImageError
from danil.data.manifest import DataError
from danil.evaluation.robustness import FILE as ROBUSTNESS
from danil.evaluation.robustness_file import read_robustness
from danil.report.card import cautions, class_table, data_facts, protocol, provenance
from danil.report.charts import reliability_chart, risk_coverage_chart, training_charts
from danil.report.class_charts import MATRIX, precision_recall_chart, roc_chart
from danil.report.drawing import Chart
from danil.report.gallery import Case, gallery_cases, gallery_rows
from danil.report.measures import measure_groups, per_class
from danil.report.page import write_page
from danil.report.record import RunRecord, read_record
from danil.report.robustness import robustness_section
from danil.report.sections import Section, calibration_section, operating_section, subgroup_section
from danil.report.story import limits, summary, tiles
from danil.runs import CheckpointError, RunError, open_run, run_manifest
from danil.runs.unfinished import unfinished
from danil.statistics.calibration import tempered
from danil.statistics.confusion import confusion_matrix
from danil.statistics.predictions import Predictions

LOGGER = logging.getLogger(__name__)
GALLERY = 8
BUDGET = 3_500_000
"""Bytes that the gallery may take, so that a page stays below 5 MB."""


def write_run_report(run: str | Path, *, data: str | None = None) -> Path:
    """Write `RUN/report.html` from what the run folder holds and return its path.

    What the folder lacks is listed on the page and its sections are left out. The gallery needs the run's images: where
    they have moved, `data` says where they are now; without them the page says so.

    Raises:
        RunError: the folder is no run, or one of its files is damaged.
    """
    record = read_record(run)
    told = unfinished(record.folder)
    if told is not None:
        LOGGER.warning(told)
    cases, note = gallery(record, data)
    return write_page(record.folder.report, "run.html.j2", **run_context(record, cases, note))


def run_context(record: RunRecord, cases: list[Case], note: str | None) -> dict[str, Any]:
    """Return all that the template shows."""
    warned = cautions(record)
    labelled = None if record.predictions is None else record.predictions.labelled()
    usable = labelled if labelled is not None and len(labelled) else None
    groups = measure_groups(record.metrics)
    context: dict[str, Any] = {
        "title": f"Run {record.name}: {record.recipe.objective.name} on {record.recipe.model.backbone}",
        "subtitle": f"{record.task}, {len(record.classes)} classes, data {record.data['source']}",
        "summary": summary(record, groups),
        "tiles": tiles(record, groups),
        "cautions": warned,
        "missing": record.missing,
        "data_facts": data_facts(record),
        "class_table": class_table(record),
        "training": [] if record.log is None or record.log.empty else training_charts(record.log),
        "measures": groups,
        "classes": record.classes,
        "per_class": per_class(record.metrics),
        "confusion": None if usable is None else confusion(usable),
        "curves": [] if usable is None else curve_charts(usable),
        "calibration": calibration(record, usable),
        "operating": operating_section(record.metrics),
        "subgroups": subgroup_section(record.metrics),
        "robustness": robustness_section(read_robustness(record.folder.path / ROBUSTNESS)),
        "cases": cases,
        "gallery_note": note,
        "protocol": protocol(record.recipe),
        "recipe_toml": record.recipe.toml(),
        "provenance": provenance(record),
        "limits": limits(record, warned),
    }
    return context | {"contents": contents(context)}


def contents(context: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the anchors of the sections that are there."""
    wanted = (
        ("summary", "Summary", True),
        ("data", "Data", True),
        ("training", "Training", context["training"]),
        ("metrics", "Metrics", context["measures"]),
        ("classes", "Class by class", context["per_class"] or context["confusion"] is not None),
        ("curves", "ROC and precision–recall", context["curves"]),
        ("calibration", "Calibration", context["calibration"].charts or context["calibration"].texts),
        ("operating", "Operating points", context["operating"]),
        ("subgroups", "Subgroups", context["subgroups"]),
        ("robustness", "Robustness", context["robustness"]),
        ("gallery", "Response maps", context["cases"] or context["gallery_note"]),
        ("protocol", "Protocol", True),
        ("provenance", "Provenance", True),
        ("card", "Model card", True),
    )
    return [(anchor, name) for anchor, name, there in wanted if there]


def confusion(predictions: Predictions) -> list[list[int]] | None:
    """Return the counts, rows labels, columns predictions; `None` for more classes than a page can show."""
    classes = len(predictions.classes)
    return confusion_matrix(predictions.labels, predictions.found, classes).tolist() if classes <= MATRIX else None


def curve_charts(predictions: Predictions) -> list[Chart]:
    """Return ROC and precision–recall, where a class can be told from the rest."""
    return [item for item in (roc_chart(predictions), precision_recall_chart(predictions)) if item is not None]


def calibration(record: RunRecord, usable: Predictions | None) -> Section:
    """Return reliability and risk–coverage of the predictions, and what `metrics.json` says of them."""
    fitted = ((record.metrics or {}).get("calibration") or {}).get("temperature")
    drawn: list[Chart] = []
    if usable is not None:
        mended = tempered(usable, fitted["value"]) if fitted else None
        drawn = [reliability_chart(usable, mended), risk_coverage_chart(mended or usable)]
    return replace(calibration_section(record.metrics), charts=drawn)


def gallery(record: RunRecord, data: str | None) -> tuple[list[Case], str | None]:
    """Return the cases, and in words why there are none where there should be some."""
    if record.predictions is None:
        return [], None
    rows = gallery_rows(record.predictions, GALLERY)
    if not rows:
        return [], None
    try:
        fitted = open_run(record.folder.path)
        store = run_manifest(record.folder, data).store
        images = [store.read(record.predictions.paths[row]) for row in rows]
    except (RunError, CheckpointError, DataError, ImageError, OSError) as error:
        return [], f"No response maps: {error}"
    return within_budget(gallery_cases(fitted, record.predictions, rows, images)), None


def within_budget(cases: list[Case]) -> list[Case]:
    """Return the first cases whose pictures fit the budget, at least one."""
    sizes = np.cumsum([sum(len(tile.uri) for tile in case.tiles) for case in cases])
    return cases[: max(1, int((sizes <= BUDGET).sum()))]
