"""The page of the demonstration: Base and DANIL on the same synthetic images, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from danil.data.manifest import plural
from danil.evaluation import compare_runs
from danil.explanation import localization_run, score_intervals
from danil.report.card import TextTable, cautions, protocol, provenance
from danil.report.charts import compared_training
from danil.report.differences import difference_table
from danil.report.drawing import photo_uri
from danil.report.gallery import Case, Tile, gallery_cases, gallery_rows
from danil.report.page import interval, number, signed, write_page
from danil.report.record import RunRecord, read_record
from danil.runs import FittedClassifier, RunError, open_run, run_manifest
from danil.statistics.confusion import confusion_matrix
from danil.statistics.predictions import Predictions

PAIRS = 6
SCORED = 120
"""Test images whose maps are scored against the masks."""

SCORES = (
    ("truth", "in_evidence", "evidence_area", "share of |A⁺| on the evidence"),
    ("rival", "in_distractors", "distractor_area", "share of |A⁻| on the distractors"),
    ("truth", "pointing", "evidence_area", "images whose largest |A⁺| lies on the evidence"),
)
"""Map, its score, what a map that knows nothing scores, and the score in words."""

CONTENTS = (
    ("summary", "Summary"),
    ("images", "The images"),
    ("metrics", "Metrics"),
    ("classes", "Confusion matrices"),
    ("training", "Training"),
    ("maps", "Response maps"),
    ("evidence", "Maps and evidence"),
    ("next", "On your own images"),
    ("protocol", "Protocol"),
)


def write_demo_report(base: str | Path, danil: str | Path, path: str | Path) -> Path:
    """Write one page that shows two finished runs on the same synthetic images side by side and return its path.

    Raises:
        RunError: a run is not finished, or was not made on synthetic images.
        PredictionsError: the runs were not tested on the same images.
    """
    names = ("Base", "DANIL")
    records = [read_record(run) for run in (base, danil)]
    tables = [predictions_of(record) for record in records]
    comparison = compare_runs({"DANIL": [danil], "Base": [base]})
    differences = difference_table(comparison, comparison["pairs"][0])
    fitted = [open_run(record.folder.path) for record in records]
    return write_page(
        path,
        "demo.html.j2",
        title="Base and DANIL side by side",
        subtitle="Two networks that differ in the training objective alone, on synthetic dermoscopy",
        contents=CONTENTS,
        names=names,
        classes=records[0].classes,
        summary=summary(records, tables),
        cautions=cautions(records[0]),
        samples=samples(fitted[0], records[0]),
        differences=differences,
        confusions=confusions(names, tables),
        training=compared_training({name: record.log for name, record in zip(names, records, strict=True)}),
        pairs=map_pairs(fitted, records, tables),
        evidence=evidence(records),
        folders=[record.folder.path.as_posix() for record in records],
        protocol=protocol(records[1].recipe),
        provenance=provenance(records[1]),
    )


def predictions_of(record: RunRecord) -> Predictions:
    """Return the run's test predictions."""
    if record.predictions is None:
        raise RunError(f"`{record.folder.path}` has no predictions. Train it to the end: `danil train … --resume`.")
    return record.predictions


def summary(records: Sequence[RunRecord], tables: Sequence[Predictions]) -> list[str]:
    """Return what was done and found, in plain words."""
    known = tables[0].labelled()
    right = [100 * float((table.labelled().found == known.labels).mean()) for table in tables]
    recipe, classes = records[0].recipe, records[0].classes
    images = plural(sum(int(count) for count in records[0].data["images"].values()), "image")
    tested = plural(len(known), "test image")
    return [
        f"Base was right on {right[0]:.1f} % of {tested}, DANIL on {right[1]:.1f} %.",
        f"Both networks ({recipe.model.backbone}) learned to tell {len(classes)} classes of drawn skin lesions "
        f"({', '.join(classes)}) on the same {images}, in the same order, for {recipe.train.epochs} epochs.",
        "Base minimises cross-entropy. DANIL adds a term that, on every image the network gets wrong, pushes the "
        "response map of the right class away from that of the wrong one.",
        "One training of each is one throw of the dice: whether DANIL helps takes several seeds and real images.",
    ]


def samples(fitted: FittedClassifier, record: RunRecord) -> list[Tile]:
    """Return a test image of each class."""
    manifest = run_manifest(record.folder).part("test")
    labels = manifest.labels()
    tiles: list[Tile] = []
    for place, name in enumerate(record.classes):
        rows = np.flatnonzero(labels == place)[:1]
        for row in rows:
            shown = fitted.display(manifest.store.read(str(manifest.table["path"][row])))[0]
            tiles.append(Tile(photo_uri(shown.permute(1, 2, 0).numpy()), f"Synthetic lesion of class {name}", name, ()))
    return tiles


def confusions(names: Sequence[str], tables: Sequence[Predictions]) -> list[tuple[str, list[list[int]]]]:
    """Return each network's confusion matrix."""
    return [
        (name, confusion_matrix(table.labels, table.found, len(table.classes)).tolist())
        for name, table in zip(names, tables, strict=True)
    ]


def map_pairs(
    fitted: Sequence[FittedClassifier], records: Sequence[RunRecord], tables: Sequence[Predictions]
) -> list[tuple[Case, Case]]:
    """Return cases of both networks for the same test images, those first that one of them got confidently wrong."""
    places = {path: row for row, path in enumerate(tables[1].paths)}
    others = [int(places[path]) for path in tables[0].paths]
    back = {row: place for place, row in enumerate(others)}
    rows = gallery_rows(tables[0], PAIRS // 2)
    rows += [place for row in gallery_rows(tables[1], PAIRS) if (place := back[row]) not in rows]
    rows = rows[:PAIRS]
    store = run_manifest(records[0].folder).store
    images = [store.read(str(tables[0].paths[row])) for row in rows]
    first = gallery_cases(fitted[0], tables[0], rows, images)
    second = gallery_cases(fitted[1], tables[1], [others[row] for row in rows], images)
    return list(zip(first, second, strict=True))


def evidence(records: Sequence[RunRecord]) -> TextTable:
    """Return how much of each network's maps lies on the masks, and the paired difference."""
    tables = [localization_run(record.folder.path, limit=SCORED, seeds=0)[0] for record in records]
    rows: list[list[str]] = []
    for kind, score, area, name in SCORES:
        maps = [table[table["map"] == kind].reset_index(drop=True) for table in tables]
        groups = maps[0]["group"].tolist()
        found = [score_intervals(one[[score, area]], groups) for one in maps]
        change = score_intervals(maps[1][[score]] - maps[0][[score]], groups)
        texts = [*(spanned(one.loc[score]) for one in found), spanned(change.loc[score], sign=True)]
        rows.append([name, *texts, number(float(found[0]["mean"][area]))])
    images = plural(tables[0]["path"].nunique(), "test image")
    caption = f"Scores on {images}, with 95 % intervals over patients"
    return TextTable(caption, ["score", "Base", "DANIL", "difference", "mask's share of the image"], rows)


def spanned(row: Any, sign: bool = False) -> str:
    """Return a mean with its interval."""
    show = signed if sign else number
    return f"{show(float(row['mean']))} {interval(float(row['low']), float(row['high']), sign=sign)}"
