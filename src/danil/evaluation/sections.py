"""The further sections of `metrics.json`: calibration, operating points, selective prediction, subgroups."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from danil.evaluation.plain import plain
from danil.statistics.bootstrap import group_codes
from danil.statistics.calibration import reliability
from danil.statistics.decisions import Decisions
from danil.statistics.operating_points import decision_curve, operating_point
from danil.statistics.predictions import Predictions
from danil.statistics.scorer import Scorer
from danil.statistics.selective import risk_coverage, selection
from danil.statistics.subgroups import subgroup_results

Section = dict[str, Any]
POINTS = 200
"""How many points of a curve are kept."""


def calibration_section(known: Predictions, decided: Decisions | None) -> Section:
    """Return `reliability`, `reliability_equal_mass` (bins) and `temperature` (`null` without a validation part).

    The temperature comes from the validation part; `nll`, `brier`, `ece`, `ece_equal_mass` and `reliability` under it
    are those of the test part with it.
    """
    section: Section = {
        "reliability": [plain(asdict(bar)) for bar in reliability(known)],
        "reliability_equal_mass": [plain(asdict(bar)) for bar in reliability(known, equal_mass=True)],
        "temperature": None,
    }
    if decided is not None:
        mended = decided.calibrated(known)
        scores = Scorer(mended, np.zeros(len(known), dtype=np.int64), 1, families=("probability",)).point()
        section["temperature"] = {
            "fitted_on": "validation",
            **plain(asdict(decided.temperature)),
            **plain(scores),
            "reliability": [plain(asdict(bar)) for bar in reliability(mended)],
        }
    return section


def operating_section(
    calibrated: Predictions, decided: Decisions, prevalences: Mapping[str, float] | None = None
) -> list[Section]:
    """Return what each threshold, chosen on the validation part, gives on these labels, that class against the rest.

    A class that all or none of the labels are is left out. `chosen_on`: of how many groups its choice is.
    """
    codes = group_codes(calibrated)
    points: list[Section] = []
    for chosen in decided.classes:
        index = calibrated.classes.index(chosen.name)
        positive, scores = calibrated.labels == index, calibrated.probabilities[:, index]
        if not 0 < positive.sum() < len(calibrated):
            continue
        share = (prevalences or {}).get(chosen.name)
        point = operating_point(positive, scores, chosen.threshold, codes, share)
        points.append(
            {
                "class": chosen.name,
                "wanted": chosen.wanted,
                "at_least": chosen.at_least,
                "chosen_on": chosen.groups,
                **plain(asdict(point)),
            }
        )
    return points


def decision_section(known: Predictions, prevalences: Mapping[str, float] | None = None) -> Section:
    """Return each class's decision curve: `thresholds`, net benefit of the `model` and of acting on `everyone`.

    At the `prevalence` stated, else that of these labels.
    """
    section: Section = {}
    for index, name in enumerate(known.classes):
        positive = known.labels == index
        if positive.any():
            share = (prevalences or {}).get(name)
            curve = decision_curve(positive, known.probabilities[:, index], prevalence=share)
            rounded = {key: np.round(values, 6).tolist() for key, values in vars(curve).items()}
            section[name] = {"prevalence": float(positive.mean()) if share is None else share, **rounded}
    return section


def selective_section(calibrated: Predictions, decided: Decisions | None) -> Section:
    """Return `aurc`, the `curve` (`coverage`, `risk`), and `points`: what answering only above a confidence gives.

    Confidences were chosen on the validation part; without one there are no points. A point's `threshold` is `null`
    where no confidence reached the wanted risk.
    """
    curve = risk_coverage(calibrated)
    kept = np.unique(np.linspace(0, len(curve.risk) - 1, POINTS).round().astype(np.int64))
    points: list[Section] = []
    for chosen in () if decided is None else decided.confidences:
        empty: Section = {"threshold": None, "coverage": None, "risk": None}
        found = empty if chosen.threshold is None else plain(asdict(selection(calibrated, chosen.threshold)))
        points.append({"wanted_risk": chosen.risk, **found})
    return {
        "aurc": curve.area,
        "curve": {"coverage": curve.coverage[kept].tolist(), "risk": curve.risk[kept].tolist()},
        "points": points,
    }


def subgroup_section(
    predictions: Predictions, metadata: pd.DataFrame, columns: Sequence[str] | None, resamples: int, seed: int
) -> list[Section]:
    """Return the subgroups of these metadata columns (default: every suitable one).

    `gap` is in accuracy, against all other images.
    """
    found = subgroup_results(predictions, metadata, columns=columns, resamples=resamples, seed=seed)
    return [plain(asdict(subgroup)) for subgroup in found]
