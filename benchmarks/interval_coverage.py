"""Simulate how often 95 % intervals hold the truth, and how often `compare` claims a difference where there is none.

    python benchmarks/interval_coverage.py          # about 8 minutes on one core; a share of 500 is known to ± 0.02

Cohorts of 200 patients with 3 images each, of one label and with a shared part in the score; the truth is a cohort of
200,000. Three networks: scores as drawn, × 0.7, × 2. Beside them 1,200 images of 7 classes as rare as in HAM10000's
test part, each of its own patient. Null: two methods of equal skill with 5 seeds each on the same 300 images.
Writes results/interval_coverage.json and the tables in docs/evaluation.md.
"""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from marked import write_between

from danil.data.atomic import write_atomically
from danil.evaluation.document import entry
from danil.statistics import Bootstrap, Predictions, bootstrap
from danil.statistics.bootstrap import class_groups, rarest_groups
from danil.statistics.calibration_interval import calibration_interval, gap_errors
from danil.statistics.comparison import compared

ROOT = Path(__file__).parents[1]
MARKS = ("<!-- coverage: made by `python benchmarks/interval_coverage.py` -->", "<!-- end of coverage -->")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "roc_auc", "average_precision", "brier", "nll", "ece")
PERCENTILE = ("roc_auc", "average_precision", "ece")
SHARPNESS = {"underconfident": 0.7, "as drawn": 1.0, "overconfident": 2.0}
RARE = (867, 117, 98, 53, 37, 16, 12)
NULLS = {  # spreads of: seeds, images, seed × image
    "seeds alike": (0.0, 1.0, 1.0),
    "seeds differ little": (0.1, 1.0, 0.5),
    "seeds differ much": (0.5, 1.0, 0.5),
}
TRIALS, NULL_TRIALS, RESAMPLES = 500, 300, 300


def cohort(random: np.random.Generator, patients: int, sharpness: float) -> Predictions:
    """Return predictions of 3 images per patient."""
    label = random.integers(0, 3, patients)
    patient = random.normal(size=(patients, 3)) * 0.8
    patient[np.arange(patients), label] += 1.2
    logits = sharpness * (np.repeat(patient, 3, axis=0) + random.normal(size=(3 * patients, 3)) * 0.6)
    powers = np.exp(logits)
    groups = [f"p{row // 3}" for row in range(3 * patients)]
    return Predictions.of(np.repeat(label, 3), powers / powers.sum(1, keepdims=True), groups=groups)


def network(sharpness: float, random: np.random.Generator, truth: bool) -> Predictions:
    """Return a cohort of a network's predictions; of 200,000 patients for the truth."""
    return cohort(random, 200_000 if truth else 200, sharpness)


def unequal(random: np.random.Generator, times: int) -> Predictions:
    """Return predictions of `RARE` × times images, of as many patients."""
    labels = np.repeat(np.arange(len(RARE)), np.array(RARE) * times)
    logits = random.normal(size=(len(labels), len(RARE)))
    logits[np.arange(len(labels)), labels] += 1.5
    powers = np.exp(1.5 * logits)
    return Predictions.of(labels, powers / powers.sum(1, keepdims=True))


def coverage(draw: Callable[[np.random.Generator, bool], Predictions]) -> dict[str, float]:
    """Return metric → share of cohorts whose interval holds the truth; for `PERCENTILE` also that interval's.

    `draw` returns a cohort, with True one so large that it stands for the truth.
    """
    random = np.random.default_rng(2)
    truth = {
        name: float(found.point)
        for name, found in bootstrap(draw(random, True), resamples=1)[0].items()
        if name in METRICS
    }
    held = dict.fromkeys([*METRICS, *(f"{name}, percentile" for name in PERCENTILE)], 0)
    for trial in range(TRIALS):
        table = draw(random, False)
        found = bootstrap(table, resamples=RESAMPLES, seed=trial)[0]
        errors = gap_errors(table, resamples=RESAMPLES, seed=trial)["ece"]
        rarest = rarest_groups(class_groups(table))
        intervals = {name: interval(name, found[name], rarest) for name in METRICS if name != "ece"}
        intervals |= {f"{name}, percentile": found[name].interval() for name in PERCENTILE}
        intervals["ece"] = calibration_interval(found["ece"], errors)
        for name, (low, high) in intervals.items():
            held[name] += bool(low <= truth[name.split(",")[0]] <= high)
    return {name: count / TRIALS for name, count in held.items()}


def interval(metric: str, found: Bootstrap, rarest: int) -> tuple[float, float]:
    """Return the interval that an evaluation gives a metric."""
    given = entry(found, metric, rarest)
    return tuple(math.nan if given[key] is None else given[key] for key in ("low", "high"))


def false_positives(spreads: tuple[float, float, float]) -> float:
    """Return the share of null comparisons with p < 0.05 in macro-F1."""
    seed_spread, image_spread, residual = spreads
    random = np.random.default_rng(11)
    labels, false = np.arange(300) % 3, 0
    for trial in range(NULL_TRIALS):
        hardness = random.normal(size=300) * image_spread
        methods: dict[str, list[Predictions]] = {}
        for name in "ab":
            skill = 1 + hardness + random.normal(size=(5, 1)) * seed_spread + random.normal(size=(5, 300)) * residual
            logits = random.normal(size=(5, 300, 3)) * 0.3
            logits[:, np.arange(300), labels] += skill
            powers = np.exp(logits)
            methods[name] = [Predictions.of(labels, one) for one in powers / powers.sum(2, keepdims=True)]
        _, pairs = compared(methods, resamples=200, seed=trial, families=["confusion"])
        false += pairs[0].differences["macro_f1"].p < 0.05
    return false / NULL_TRIALS


def text(record: dict[str, dict[str, float] | dict[str, dict[str, float]]]) -> str:
    """Return the Markdown tables."""
    held, null = record["coverage"], record["false_positives"]
    lines = [f"| interval of | {' | '.join(held)} |", f"|---|{'---|' * len(held)}"]
    names = next(iter(held.values()))
    lines += [f"| {name} | {' | '.join(f'{held[key][name]:.3f}' for key in held)} |" for name in names]
    lines += ["", "| null, 5 seeds per method | difference claimed (p < 0.05) |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {share:.3f} |" for name, share in null.items())])


if __name__ == "__main__":
    record = {
        "trials": TRIALS,
        "null_trials": NULL_TRIALS,
        "coverage": {
            **{name: coverage(partial(network, sharpness)) for name, sharpness in SHARPNESS.items()},
            "7 unequal classes": coverage(lambda random, truth: unequal(random, 150 if truth else 1)),
        },
        "false_positives": {name: false_positives(spreads) for name, spreads in NULLS.items()},
    }
    write_atomically(ROOT / "results" / "interval_coverage.json", json.dumps(record, indent=1) + "\n")
    write_between(ROOT / "docs" / "evaluation.md", MARKS, text(record))
