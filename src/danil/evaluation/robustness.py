"""Robustness: a run's accuracy and macro-F1 when its test images are blurred, noisy, compressed or attacked."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from danil.data import Images, loader, write_atomically
from danil.data.manifest import Manifest
from danil.evaluation.attack import Attack, pgd_images
from danil.evaluation.corruptions import CONDITIONS, UNITS, Condition, corrupted
from danil.evaluation.document import FORMAT, Document, accuracy, entry
from danil.evaluation.folder import EvaluationError
from danil.evaluation.plain import plain
from danil.runs import FittedClassifier, RunFolder, kept_memory, open_run, predictions_table
from danil.runs.images import scored_part
from danil.runs.prediction import frozen, symmetries, tasked
from danil.statistics.bootstrap import LEVEL, RESAMPLES, bootstrap, group_codes
from danil.statistics.predictions import Predictions
from danil.statistics.tables import predictions_from_table
from danil.statistics.two_level import difference

FOLDER, FILE = "robustness", "robustness.json"
METRICS = ("accuracy", "macro_f1")
BATCH = 32


@kept_memory()
def robustness_run(
    run: str | Path,
    *,
    limit: int | None = None,
    conditions: Sequence[Condition] = CONDITIONS,
    attack: Attack | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    notice: Callable[[str], None] = lambda text: None,
) -> Document:
    """Predict a run's labelled test images under each condition; write `robustness.json` and a table per condition.

    The tables, `robustness/<condition>.csv`, have the columns of `predictions.csv`; `compare_runs` pairs them. Images
    are corrupted at the size the network sees. PGD maximises the cross-entropy of the label through everything that
    predicts (all views); its images stay in floating point.

    Args:
        run: the run folder.
        limit: at most so many test images, evenly spaced, the same for every run on the same data.
        conditions: what is done to the images; the first must be `clean`.
        attack: how PGD searches.
        seed: of noise and of PGD's random starts.
        resamples: draws of groups for the intervals.
        notice: told each condition when it is done.

    Raises:
        EvaluationError: the first condition is not `clean`.
        RunError: the run or its images cannot be used, or the test part has no labelled image.
    """
    if not conditions or conditions[0].kind != "clean":
        raise EvaluationError("`conditions` must begin with `Condition('clean')`: all others are compared with it.")
    search = Attack() if attack is None else attack
    folder, fitted = RunFolder(Path(run)), open_run(run)
    manifest = scored_part(folder, limit=limit)
    images = fitted.images(manifest, cache="memory")
    texts: dict[str, str] = {}
    tables: list[Predictions] = []
    for condition in conditions:
        probabilities = predicted(fitted, manifest, images, condition, search, seed)
        table = predictions_table(manifest, {fitted.task: probabilities}, fitted.task)
        texts[condition.name] = table.to_csv(index=False)
        tables.append(predictions_from_table(table, f"{run}, {condition.name}"))
        notice(f"{condition.name:<10} accuracy {float((tables[-1].found == tables[-1].labels).mean()):.3f}")
    document: Document = {
        "format": FORMAT,
        "images": len(manifest),
        "groups": len(set(tables[0].groups)),
        "size": fitted.recipe.data.size,
        "settings": {"limit": limit, "seed": seed, "attack": asdict(search)},
        "level": LEVEL,
        "conditions": measured(conditions, tables, resamples),
    }
    (folder.path / FILE).unlink(missing_ok=True)  # of an earlier measurement: not of the tables that follow
    for name, text in texts.items():
        write_atomically(folder.path / FOLDER / f"{name}.csv", text)
    content = json.dumps(plain(document), indent=1, allow_nan=False) + "\n"
    write_atomically(folder.path / FILE, content)
    return plain(document)


def predicted(
    fitted: FittedClassifier, manifest: Manifest, images: Images, condition: Condition, attack: Attack, seed: int
) -> Any:
    """Return the class probabilities `(N, K)` of the main task under one condition."""
    names: list[str] = manifest.table["path"].tolist()
    labels = torch.from_numpy(manifest.labels())
    parts: list[Any] = []
    for batch in loader(images, None, batch_size=BATCH):
        rows = batch.indices.tolist()
        paths = [names[row] for row in rows]
        if condition.kind == "pgd":
            with frozen(fitted.model):
                loss = label_loss(fitted, labels[batch.indices].to(fitted.normalize.device))
                centre = batch.images.to(fitted.normalize.device)
                worse = pgd_images(loss, centre, condition.strength, paths, attack, seed)
        else:
            worse = corrupted(batch.images, condition, paths, seed)
        parts.append(fitted.probabilities([worse])[fitted.task])
    return np.concatenate(parts)


def label_loss(fitted: FittedClassifier, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what PGD maximises: pixels → −log of the label's probability, `(B,)`, fused over the run's views.

    In float64 from the logits on, so that a confident network's gradient does not vanish in rounding.
    """
    normalize, views = fitted.normalize, fitted.recipe.data.views

    def loss(pixels: Tensor) -> Tensor:
        prepared = (pixels * normalize.scale - normalize.shift).contiguous(memory_format=normalize.layout)
        logs = [
            tasked(fitted.model(view), fitted.task)[fitted.task].double().log_softmax(1)
            for view in symmetries(prepared, views)
        ]
        fused = torch.stack(logs).logsumexp(0) - math.log(views)
        return -fused.gather(1, labels[:, None])[:, 0]

    return loss


def measured(conditions: Sequence[Condition], tables: Sequence[Predictions], resamples: int) -> list[Document]:
    """Return each condition's metrics with intervals, and its paired change against the clean images."""
    found = bootstrap(list(tables), resamples=resamples, families=("confusion",))
    codes = group_codes(tables[0])
    groups = int(codes.max()) + 1
    rows: list[Document] = []
    for condition, table, values in zip(conditions, tables, found, strict=True):
        metrics = {name: entry(values[name], name) for name in METRICS}
        metrics["accuracy"] = accuracy(values["accuracy"], table, codes)
        changes: dict[str, Any] = {}
        for name in METRICS:
            one, clean = (
                type(values[name])(each[name].point.reshape(1), each[name].samples.reshape(-1, 1))
                for each in (values, found[0])
            )
            change = difference(one, clean, groups, True)
            changes[name] = {"value": change.value, "low": change.low, "high": change.high}
        rows.append(
            {
                "name": condition.name,
                "kind": condition.kind,
                "strength": condition.strength,
                "unit": UNITS[condition.kind],
                "metrics": metrics,
                "change": changes,
            }
        )
    return rows


def robustness_summary(document: Mapping[str, Any]) -> str:
    """Return a line per condition for a terminal."""
    attack = document["settings"]["attack"]
    lines = [
        f"{document['images']} test images at {document['size']} px; {document['level']:.0%} intervals; PGD: "
        f"{attack['steps']} steps of {attack['step']:g} of the radius, random start",
        "",
        f"{'condition':<11}{'accuracy':<24}{'change':<26}{'macro-F1':<24}change",
    ]
    for row in document["conditions"]:
        cells = [f"{row['name']:<11}"]
        for name in METRICS:
            cells += [f"{spanned(row['metrics'][name]):<24}", f"{spanned(row['change'][name], '+'):<26}"]
        lines.append("".join(cells).rstrip())
    return "\n".join(lines)


def spanned(value: Mapping[str, float | None], sign: str = "") -> str:
    """Return `0.812 [0.750, 0.870]`; a dash where undefined."""
    if value["value"] is None or value["low"] is None:
        return "–" if value["value"] is None else f"{value['value']:{sign}.3f}"
    return f"{value['value']:{sign}.3f} [{value['low']:{sign}.3f}, {value['high']:{sign}.3f}]"
