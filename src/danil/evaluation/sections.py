"""The further sections of `metrics.json`: calibration, operating points, selective prediction, subgroups."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from danil.evaluation.plain import plain
from danil.statistics.bootstrap import group_codes
from danil.statistics.calibration import fitted_temperature, reliability, tempered
from danil.statistics.operating_points import (
    decision_curve,
    operating_point,
    sensitivity_threshold,
    specificity_threshold,
)
from danil.statistics.predictions import Predictions
from danil.statistics.scorer import Scorer
from danil.statistics.selective import risk_coverage, risk_threshold, selection
from danil.statistics.subgroups import subgroup_results

Section = dict[str, Any]
POINTS = 200
"""How many points of a curve are kept."""


def calibration_section(known: Predictions, validation: Predictions | None) -> Section:
    """Return `reliability`, `reliability_equal_mass` (bins) and `temperature` (`null` without a validation part).

    The temperature is fitted on the validation part; `nll`, `brier`, `ece`, `ece_equal_mass` are those of the test part
    with it.
    """
    section: Section = {
        "reliability": [plain(asdict(bar)) for bar in reliability(known)],
        "reliability_equal_mass": [plain(asdict(bar)) for bar in reliability(known, equal_mass=True)],
        "temperature": None,
    }
    if validation is not None:
        fitted = fitted_temperature(validation)
        mended = tempered(known, fitted.value)
        scores = Scorer(mended, np.zeros(len(known), dtype=np.int64), 1, families=("probability",)).point()
        section["temperature"] = {"fitted_on": "validation", **asdict(fitted), **plain(scores)}
    return section


def operating_section(
    known: Predictions,
    validation: Predictions | None,
    *,
    sensitivities: Sequence[float] = (0.9,),
    specificities: Sequence[float] = (0.9,),
    prevalences: Mapping[str, float] | None = None,
) -> list[Section]:
    """Return, for each class against the rest, what the thresholds for a wanted sensitivity or specificity give.

    Thresholds are chosen on the validation part where there is one, else on these labels, which flatters them:
    `chosen_on` says which.
    """
    chosen_on = known if validation is None else validation.labelled()
    codes = group_codes(known)
    wanted = [("sensitivity", value, sensitivity_threshold) for value in sensitivities]
    wanted += [("specificity", value, specificity_threshold) for value in specificities]
    points: list[Section] = []
    for index, name in enumerate(known.classes):
        positive, basis = known.labels == index, chosen_on.labels == index
        if not (0 < positive.sum() < len(known) and 0 < basis.sum() < len(basis)):
            continue
        for kind, value, threshold in wanted:
            cut = threshold(basis, chosen_on.probabilities[:, index], value)
            point = operating_point(positive, known.probabilities[:, index], cut, codes, (prevalences or {}).get(name))
            source = "these labels" if validation is None else "validation"
            points.append(
                {"class": name, "wanted": kind, "at_least": value, "chosen_on": source, **plain(asdict(point))}
            )
    return points


def decision_section(known: Predictions) -> Section:
    """Return each class's decision curve: `thresholds`, net benefit of the `model` and of acting on `everyone`."""
    return {
        name: {
            key: np.round(values, 6).tolist()
            for key, values in vars(decision_curve(known.labels == index, known.probabilities[:, index])).items()
        }
        for index, name in enumerate(known.classes)
        if (known.labels == index).any()
    }


def selective_section(
    known: Predictions, validation: Predictions | None, risks: Sequence[float] = (0.01, 0.05, 0.1)
) -> Section:
    """Return `aurc`, the `curve` (`coverage`, `risk`), and `points`: what answering only above a confidence gives.

    A point's `threshold` is `null` where no confidence reaches the wanted risk.
    """
    curve = risk_coverage(known)
    kept = np.unique(np.linspace(0, len(curve.risk) - 1, POINTS).round().astype(np.int64))
    points: list[Section] = []
    for wanted in risks:
        threshold = risk_threshold(known if validation is None else validation, wanted)
        source = "these labels" if validation is None else "validation"
        empty: Section = {"threshold": None, "coverage": None, "risk": None}
        found = empty if threshold is None else plain(asdict(selection(known, threshold)))
        points.append({"wanted_risk": wanted, "chosen_on": source, **found})
    return {
        "aurc": curve.area,
        "curve": {"coverage": curve.coverage[kept].tolist(), "risk": curve.risk[kept].tolist()},
        "points": points,
    }


def subgroup_section(predictions: Predictions, metadata: pd.DataFrame, resamples: int, seed: int) -> list[Section]:
    """Return the subgroups of every suitable metadata column; `gap` is in accuracy, against all other images."""
    found = subgroup_results(predictions, metadata, resamples=resamples, seed=seed)
    return [plain(asdict(subgroup)) for subgroup in found]
