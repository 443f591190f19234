"""Measure how long the intervals of a large test set take.

    python benchmarks/evaluation_speed.py

100,000 images of 7 classes (67 % of them in one), each image its own group: the hardest case, since nothing can be
summed beforehand. 2,000 resamples, on all cores. Writes results/evaluation_speed.json and the table in
docs/evaluation.md.
"""

import json
import os
import platform
import time
from pathlib import Path

import numpy as np
from marked import write_between

from danil.data.atomic import write_atomically
from danil.statistics import Predictions, bootstrap

ROOT = Path(__file__).parents[1]
MARKS = ("<!-- speed: made by `python benchmarks/evaluation_speed.py` -->", "<!-- end of speed -->")
IMAGES, CLASSES, RESAMPLES = 100_000, 7, 2000
SHARES = (0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02)
METRICS = {
    "confusion": "accuracy, F1 scores, balanced accuracy, MCC, quadratic kappa",
    "probability": "Brier score, NLL, both ECE",
    "ranking": "one-vs-rest ROC-AUC and average precision of all classes",
}


def predictions() -> Predictions:
    """Return drawn predictions, right for most images."""
    random = np.random.default_rng(0)
    labels = random.choice(CLASSES, IMAGES, p=SHARES)
    logits = random.normal(size=(IMAGES, CLASSES))
    logits[np.arange(IMAGES), labels] += 2
    powers = np.exp(logits)
    return Predictions.of(labels, powers / powers.sum(1, keepdims=True))


def measured(table: Predictions, family: str) -> dict[str, object]:
    """Return wall and processor time of one family's intervals."""
    wall, spent = time.perf_counter(), time.process_time()
    found = bootstrap(table, resamples=RESAMPLES, families=[family], ordinal=True)[0]
    for values in found.values():
        values.interval()
    return {
        "family": family,
        "metrics": METRICS[family],
        "images": IMAGES,
        "classes": CLASSES,
        "resamples": RESAMPLES,
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - spent, 2),
    }


def text(record: dict[str, object]) -> str:
    """Return the Markdown table."""
    lines = ["| metrics | wall, s | processor, s |", "|---|---|---|"]
    lines += [f"| {row['metrics']} | {row['wall_seconds']} | {row['cpu_seconds']} |" for row in record["cells"]]
    where = f"Python {record['python']}, NumPy {record['numpy']}, {record['cores']} cores"
    load = f"load {record['load_average']} (above {record['cores']}: others were at work too)"
    return "\n".join([f"{where}, {load}.", "", *lines])


if __name__ == "__main__":
    table = predictions()
    record: dict[str, object] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "cells": [measured(table, family) for family in METRICS],
    }
    write_atomically(ROOT / "results" / "evaluation_speed.json", json.dumps(record, indent=1) + "\n")
    write_between(ROOT / "docs" / "evaluation.md", MARKS, text(record))
