"""Comparing runs on the same test images: methods, seeds, verdicts."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from danil.data.atomic import write_atomically
from danil.evaluation.document import FORMAT, Document
from danil.evaluation.errors import EvaluationError
from danil.evaluation.folder import read_manifest
from danil.evaluation.notes import few_groups_notes
from danil.evaluation.plain import plain
from danil.evaluation.robust_pairs import robust_pairs
from danil.statistics.bootstrap import LEVEL, RESAMPLES
from danil.statistics.comparison import Pair, compared, verdict
from danil.statistics.predictions import Predictions
from danil.statistics.scorer import LOWER_IS_BETTER
from danil.statistics.tables import read_predictions
from danil.statistics.two_level import ENOUGH

Runs = Sequence[str | Path] | Mapping[str, Sequence[str | Path]]


def compare_runs(runs: Runs, *, metric: str = "macro_f1", resamples: int = RESAMPLES, seed: int = 0) -> Document:
    """Compare runs on their common test images, as plain JSON values.

    Runs whose recipes differ in nothing but the seed are one method. Methods trained with the same seeds are compared
    seed by seed, others as independent; with fewer than three seeds of either, no method is called better.

    Keys: `metric` (the verdicts'), `images`, `groups`, `classes`, `resamples`, `seed`, `level`; `methods` (name →
    `runs`, `seeds`, `metrics`: name → `{value, low, high}` of the mean over seeds); `pairs` (`first`, `second`,
    `seeds`: how many, `paired`, `differences`: name → `{value, low, high, p, p_holm}` of first − second, `mcnemar`:
    p-value of each pair of runs, `verdict`); `robustness` (see `robust_pairs`; `null` where not every run was
    measured); `lower_is_better`; `notes`.

    Args:
        runs: run folders (or `predictions.csv` files), or method → its runs.
        metric: which the verdicts are about.
        resamples: draws of groups.
        seed: of the draws.

    Raises:
        EvaluationError: fewer than two methods, a run twice, two trainings of a method that are one, or an unknown
            metric.
        PredictionsError: runs on different test images, labels, groups or classes.
    """
    named = methods_of(runs)
    seeds = {name: [run_seed(path) for path in paths] for name, paths in named.items()}
    order = {name: sorted(range(len(paths)), key=lambda row: seeds[name][row] or 0) for name, paths in named.items()}
    named = {name: [named[name][row] for row in rows] for name, rows in order.items()}
    seeds = {name: [seeds[name][row] for row in rows] for name, rows in order.items()}
    tables = {name: [read_predictions(predictions_file(path)) for path in paths] for name, paths in named.items()}
    for name, paths in named.items():
        check_trainings(name, paths, seeds[name], tables[name])
    means, pairs = compared(tables, seeds=seeds, resamples=resamples, seed=seed)
    known = tables[next(iter(tables))][0].labelled()
    if metric not in next(iter(means.values())):
        raise EvaluationError(f"`metric` is `{metric}`; known here: {', '.join(next(iter(means.values())))}.")
    robust, told = robust_pairs(named, seeds, resamples=resamples, seed=seed)
    document: Document = {
        "format": FORMAT,
        "metric": metric,
        "images": len(known),
        "groups": len(set(known.groups)),
        "classes": list(known.classes),
        "resamples": resamples,
        "seed": seed,
        "level": LEVEL,
        "lower_is_better": sorted(LOWER_IS_BETTER),
        "methods": {
            name: {
                "runs": [str(path) for path in named[name]],
                "seeds": seeds[name],
                "metrics": {
                    key: {"value": found.value, "low": found.low, "high": found.high} for key, found in values.items()
                },
            }
            for name, values in means.items()
        },
        "pairs": [{**asdict(pair), "verdict": verdict(pair, metric, len(pairs))} for pair in pairs],
        "robustness": robust,
        "notes": [*notes(pairs, known), *told],
    }
    return plain(document)


def write_comparison(path: str | Path, document: Document) -> Path:
    """Write a comparison as JSON, atomically, and return its path."""
    return write_atomically(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def check_trainings(
    method: str, runs: Sequence[Path], seeds: Sequence[int | None], tables: Sequence[Predictions]
) -> None:
    """Refuse two runs of a method with one seed, or with equal predictions where a seed is unknown.

    A training that is counted twice would look like one that hardly depends on its seed.

    Raises:
        EvaluationError: naming both.
    """
    for (one, first, mine), (other, second, theirs) in combinations(zip(runs, seeds, tables, strict=True), 2):
        unknown = first is None or second is None
        if first == second if not unknown else np.array_equal(mine.probabilities, theirs.probabilities):
            fault = "have equal predictions" if unknown else f"were both trained with seed {first}"
            raise EvaluationError(
                f"`{one}` and `{other}` are runs of one method, {method}, and {fault}: one training counts once. Leave "
                "one out, or train it with another `--seed`."
            )


def notes(pairs: Sequence[Pair], known: Predictions) -> list[str]:
    """Return what a reader of the comparison must know."""
    told = few_groups_notes(len(set(known.groups)))
    if any(min(pair.seeds) < 2 for pair in pairs):
        told.append(
            "With one seed for a method its interval holds the chance of drawing test images only; train with other "
            f"seeds (at least {ENOUGH}) to know whether the method, not the training's luck, makes the difference."
        )
    apart = [f"{pair.first} and {pair.second}" for pair in pairs if min(pair.seeds) > 1 and not pair.paired]
    if apart:
        told.append(f"Trained with different seeds and so compared as independent: {'; '.join(apart)}.")
    if known.grouped:
        told.append(
            "McNemar's test takes images as independent, which they are not within a group; trust the intervals."
        )
    return told


def methods_of(runs: Runs) -> dict[str, list[Path]]:
    """Return method → runs.

    Raises:
        EvaluationError: fewer than two methods, or a run twice.
    """
    if isinstance(runs, Mapping):
        named = {name: [Path(path) for path in paths] for name, paths in runs.items()}
    else:
        named = grouped_by_recipe([Path(path) for path in runs])
    everything = [path.resolve() for paths in named.values() for path in paths]
    twice = next((path for path in everything if everything.count(path) > 1), None)
    if twice is not None:
        raise EvaluationError(f"`{twice}` is given twice. Name each run once.")
    if len(named) < 2 or not all(named.values()):
        raise EvaluationError(
            f"{len(everything)} run(s) of {len(named)} method(s) given ({', '.join(named)}); a comparison needs two "
            "methods. Runs whose recipes differ only in the seed count as one."
        )
    return named


def grouped_by_recipe(runs: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the runs by recipe without seed, named after the objective, then the backbone, else the first run."""
    alike: dict[str, list[Path]] = {}
    for run in runs:
        recipe = read_settings(run)
        recipe.pop("seed", None)
        alike.setdefault(json.dumps(recipe, sort_keys=True) if recipe else str(run), []).append(run)
    groups = list(alike.values())
    for namer in (objective_name, lambda run: f"{objective_name(run)} {backbone_name(run)}"):
        names = [namer(paths[0]) for paths in groups]
        if len(set(names)) == len(names):
            return dict(zip(names, groups, strict=True))
    names = [str(paths[0]) if len({p[0].name for p in groups}) < len(groups) else paths[0].name for paths in groups]
    return dict(zip(names, groups, strict=True))


def read_settings(run: Path) -> dict[str, Any]:
    """Return the run's recipe as plain values; empty where there is none (a table of predictions alone).

    Raises:
        EvaluationError: the recipe is damaged.
    """
    path = run / "recipe.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise EvaluationError(f"`{path}` is damaged: {error}. Restore it, or train the run again.") from error


def objective_name(run: Path) -> str:
    """Return the objective's name, the file's or folder's where no recipe is."""
    return str(section(run, "objective").get("name", run.stem))


def backbone_name(run: Path) -> str:
    """Return the backbone's name."""
    return str(section(run, "model").get("backbone", ""))


def section(run: Path, name: str) -> dict[str, Any]:
    """Return a section of a run's recipe; empty where there is none.

    Raises:
        EvaluationError: the recipe is damaged.
    """
    found = read_settings(run).get(name, {})
    if not isinstance(found, dict):
        raise EvaluationError(f"`{run / 'recipe.toml'}` is damaged: `{name}` is no section. Restore it.")
    return found


def run_seed(run: Path) -> int | None:
    """Return the seed of a run's training, `None` where unknown."""
    return read_settings(run).get("seed")


def predictions_file(run: Path) -> Path:
    """Return the table of predictions of a run folder; a file is taken as it is.

    Raises:
        EvaluationError: the run has no test part.
    """
    if run.is_file():
        return run
    file = run / "predictions.csv"
    if not file.is_file() and (run / "manifest.csv").is_file() and "test" not in set(read_manifest(run)["split"]):
        raise EvaluationError(
            f"`{run}` has no test part (`split.test=0`), so there is nothing to compare it on. Compare its predictions "
            f"on other images: `danil evaluate {run} --data DATA`, then `danil compare` of both `predictions.csv`."
        )
    return file
