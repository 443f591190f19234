"""From predictions to the content of `metrics.json`."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from danil.evaluation.notes import marked_group, notes_on
from danil.evaluation.plain import plain
from danil.evaluation.sections import (
    calibration_section,
    decision_section,
    operating_section,
    selective_section,
    subgroup_section,
)
from danil.statistics.bootstrap import (
    FEW,
    LEVEL,
    RESAMPLES,
    Bootstrap,
    bootstrap,
    class_groups,
    group_codes,
    rarest_groups,
)
from danil.statistics.calibration_interval import calibration_interval, gap_errors
from danil.statistics.confusion import confusion_matrix, graded
from danil.statistics.decisions import Decisions
from danil.statistics.predictions import Flags, Integers, Predictions, PredictionsError
from danil.statistics.proportions import NOTHING, proportion
from danil.statistics.scorer import RANKED, Scorer

FORMAT = 2
"""Counts up when a key of `metrics.json` changes its meaning or goes."""
Document = dict[str, Any]


class Choices(TypedDict, total=False):
    """Hold what a user may choose for every evaluation; see `evaluate_predictions`."""

    resamples: int
    seed: int
    ordinal: bool | None
    columns: Sequence[str] | None
    prevalences: Mapping[str, float] | None


def evaluate_predictions(
    predictions: Predictions,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    training_counts: Mapping[str, int] | None = None,
    ordinal: bool | None = None,
    metadata: pd.DataFrame | None = None,
    columns: Sequence[str] | None = None,
    decided: Decisions | None = None,
    prevalences: Mapping[str, float] | None = None,
) -> Document:
    """Return every metric with its interval, as plain JSON values (`null` where a metric is undefined).

    Keys: `images`, `labelled`, `groups`, `grouped`, `classes`, `ordinal`, `resamples`, `seed`, `level`; `metrics` (name
    → `{value, low, high}`); `per_class` (class → `support`, `predicted`, `groups`, metrics); `confusion_matrix` (rows
    the labels); `constant` (`class`, `from`, `metrics`: name → value); `group_level` (the same four for the mean
    probability of each group, with `groups` and `conflicting`; `null` without real groups); `decided_on`
    (`"validation"`, or `null`: no temperature and no thresholds); `calibration`, `operating_points`, `decision_curves`,
    `selective`, `subgroups` (see `danil.evaluation.sections`); `notes`. Metrics are of the probabilities as given;
    operating points, decision curves and selective prediction are of those with the temperature, where there is one.

    Args:
        predictions: of images; rows without label are left out.
        resamples: draws of groups for the percentile intervals.
        seed: of the draws.
        training_counts: class → number of training images; the constant classifier answers these frequencies.
            Default: those of the labels at hand.
        ordinal: whether classes are grades (adds quadratic kappa); default: if their names are consecutive integers.
        metadata: a row per image in the same order; its columns make the subgroups.
        columns: of the metadata. Default: every suitable one.
        decided: temperature and thresholds from the validation part (`fitted_decisions`). Nothing is ever chosen on
            the labels at hand.
        prevalences: class → share where the classifier will be used, for predictive values. Default: as the labels.

    Raises:
        PredictionsError: no row has a label, or a prevalence or a metadata column that cannot be.
    """
    known = predictions.labelled()
    known.require_rows("metrics")
    grades = graded(known.classes) if ordinal is None else ordinal
    check_prevalences(known, prevalences or {})
    calibrated = known if decided is None else decided.calibrated(known)
    drawn: dict[str, Any] = {"resamples": resamples, "seed": seed, "ordinal": grades}
    options: dict[str, Any] = {**drawn, "training_counts": training_counts}
    document: Document = {
        "format": FORMAT,
        "images": len(predictions),
        "labelled": len(known),
        "groups": len(set(known.groups)),
        "grouped": known.grouped,
        "classes": list(known.classes),
        **drawn,
        "level": LEVEL,
        **measured(known, **options),
        "group_level": group_level(predictions, options) if known.grouped else None,
        "decided_on": None if decided is None else "validation",
        "calibration": calibration_section(known, decided),
        "operating_points": [] if decided is None else operating_section(calibrated, decided, prevalences),
        "decision_curves": decision_section(calibrated, prevalences),
        "selective": selective_section(calibrated, decided),
        "subgroups": [] if metadata is None else subgroup_section(predictions, metadata, columns, resamples, seed),
    }
    return {**document, "notes": [*marked_group(known.groups.tolist()), *notes_on(document)]}


def check_prevalences(known: Predictions, prevalences: Mapping[str, float]) -> None:
    """Refuse a prevalence of no class, or one that is no share."""
    for name, share in prevalences.items():
        if name not in known.classes:
            raise PredictionsError(f"prevalence of `{name}`: the classes are {', '.join(known.classes)}.")
        if not 0 < share < 1:
            raise PredictionsError(f"prevalence of `{name}` is {share:g}; it must lie in (0, 1), e.g. 0.05.")


def group_level(predictions: Predictions, options: Mapping[str, Any]) -> Document | None:
    """Return the metrics of groups: mean probability, common label; `None` where no group has one."""
    fused, conflicting = predictions.by_group()
    known = fused.labelled()
    if not len(known):
        return None
    return {"groups": len(known), "conflicting": conflicting, **measured(known, **options)}


def measured(
    known: Predictions, *, resamples: int, seed: int, ordinal: bool, training_counts: Mapping[str, int] | None
) -> Document:
    """Return `metrics`, `per_class`, `confusion_matrix` and `constant` of labelled predictions."""
    found = bootstrap(known, resamples=resamples, seed=seed, ordinal=ordinal)[0]
    codes = group_codes(known)
    matrix = confusion_matrix(known.labels, known.found, len(known.classes))
    groups = class_groups(known)
    rarest = rarest_groups(groups)
    overall = {name: entry(values, name, rarest) for name, values in found.items() if not name.startswith("class_")}
    for name, errors in gap_errors(known, resamples=resamples, seed=seed).items():
        low, high = calibration_interval(found[name], errors)
        overall[name] |= plain({"low": low, "high": high})
    overall["accuracy"] = accuracy(found["accuracy"], known, codes)
    by_class = {name.removeprefix("class_"): value for name, value in found.items() if name.startswith("class_")}
    per_class: Document = {}
    for index, name in enumerate(known.classes):
        mine = known.labels == index
        own: Document = {
            metric: entry(Bootstrap(values.point[index], values.samples[:, index]), metric, int(groups[index]))
            for metric, values in by_class.items()
        }
        counts = {"support": int(mine.sum()), "predicted": int(matrix[:, index].sum())}
        counts["groups"] = len(np.unique(codes[mine]))
        if counts["groups"] < FEW:
            own["f1"] |= {"low": None, "high": None}
        for metric, rows in (("recall", mine), ("precision", known.found == index)):
            if own[metric]["value"] is not None:
                own[metric] |= limits(known.labels[rows] == known.found[rows], codes[rows])
        per_class[name] = {**counts, **own}
    return {
        "metrics": overall,
        "per_class": per_class,
        "confusion_matrix": matrix.tolist(),
        "constant": constant(known, training_counts, ordinal),
    }


def entry(values: Bootstrap, metric: str, rarest: int = 0) -> dict[str, float | None]:
    """Return a metric's value and its interval; one that ranks needs to know of how many groups the rarest class is."""
    low, high = values.area_interval(rarest) if metric in RANKED else values.interval()
    return plain({"value": values.point, "low": low, "high": high})


def accuracy(values: Bootstrap, known: Predictions, codes: Integers) -> Document:
    """Return the accuracy with its interval: Wilson's where it is 0 or 1, which every resample repeats."""
    found = entry(values, "accuracy")
    return found | limits(known.found == known.labels, codes) if found["value"] in (0, 1) else found


def limits(hits: Flags, codes: Integers) -> Document:
    """Return the limits of a share's Wilson interval; none of several images of one group."""
    found = proportion(hits, codes) if len(np.unique(codes)) > 1 or len(codes) == 1 else NOTHING
    return plain({"low": found.low, "high": found.high})


def constant(known: Predictions, training_counts: Mapping[str, int] | None, ordinal: bool) -> Document:
    """Return what always answering the class frequencies of the training labels (else of these labels) scores."""
    counts = np.array([(training_counts or {}).get(name, 0) for name in known.classes], dtype=np.float64)
    trained = counts.sum() > 0
    if not trained:
        counts = np.bincount(known.labels, minlength=len(known.classes)).astype(np.float64)
    shares = np.tile(counts / counts.sum(), (len(known), 1))
    answer = Predictions.of(known.labels, shares, classes=known.classes, source=known.source)
    scores = Scorer(answer, np.zeros(len(known), dtype=np.int64), 1, ordinal=ordinal).point()
    return {
        "class": known.classes[int(counts.argmax())],
        "from": "training labels" if trained else "these labels",
        "metrics": plain({name: value for name, value in scores.items() if not name.startswith("class_")}),
    }
