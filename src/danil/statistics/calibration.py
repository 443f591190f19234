"""Calibration: does a confidence of 0.8 mean right in 80 of 100 cases, and the temperature that mends it."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from danil.statistics.predictions import Floats, Predictions
from danil.statistics.scorer import BINS, bin_of, equal_mass_edges, equal_width_edges

RANGE = (0.02, 50.0)
"""Temperatures that are looked at."""
CERTAIN = 1e-6
"""A mean negative log-likelihood below which every smaller temperature is as good."""


@dataclass(frozen=True)
class Bin:
    """Hold one bar of a reliability diagram: edges (open, closed), images, mean confidence, share right."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


def reliability(predictions: Predictions, bins: int = BINS, *, equal_mass: bool = False) -> list[Bin]:
    """Return the bins of the largest probability that hold labelled images, lowest first."""
    known = predictions.labelled()
    confidence = known.probabilities.max(1)
    right = known.found == known.labels
    edges = equal_mass_edges(confidence, bins) if equal_mass else equal_width_edges(bins)
    places = bin_of(confidence, edges)
    return [
        Bin(
            float(edges[place]),
            float(edges[place + 1]),
            int((places == place).sum()),
            float(confidence[places == place].mean()),
            float(right[places == place].mean()),
        )
        for place in np.unique(places)
    ]


@dataclass(frozen=True)
class Temperature:
    """Hold a fitted temperature and the negative log-likelihood without and with it, on the images it was fitted on."""

    value: float
    nll_before: float
    nll_after: float
    images: int

    def __post_init__(self) -> None:
        if not 0 < self.value < np.inf:
            raise ValueError(f"a temperature is {self.value}; it must be positive and finite")


def unfitted(temperature: float, nll_after: float) -> bool:
    """Tell whether no temperature was best: it lies at an end of `RANGE`, or the likelihood is one well before it."""
    return not 1.01 * RANGE[0] < temperature < RANGE[1] / 1.01 or nll_after < CERTAIN


def fitted_temperature(validation: Predictions) -> Temperature:
    """Return the temperature T of smallest negative log-likelihood of softmax(log p / T).

    Give the validation part, never the test part: a temperature that saw the test labels makes its calibration look
    better than it is. T is 1 where nothing better is found, so the likelihood is never worse.

    Raises:
        PredictionsError: no row has a label.
    """
    known = validation.labelled()
    known.require_rows("a temperature")
    logs = safe_logs(known.probabilities)

    def surprise(log_temperature: float) -> float:
        scaled = log_softmax(logs / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(known)), known.labels].mean())

    before = surprise(0.0)
    found = minimize_scalar(surprise, bounds=tuple(np.log(RANGE)), method="bounded", options={"xatol": 1e-6})
    value, after = (float(np.exp(found.x)), float(found.fun)) if found.fun < before else (1.0, before)
    return Temperature(value, before, after, len(known))


def tempered(predictions: Predictions, temperature: float) -> Predictions:
    """Return the predictions with probabilities softmax(log p / T); the predicted classes stay the same.

    Raises:
        ValueError: the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` is {temperature}; it must be positive. 1 changes nothing.")
    scaled = np.exp(log_softmax(safe_logs(predictions.probabilities) / temperature, axis=1))
    return predictions.with_probabilities(scaled)


def safe_logs(probabilities: Floats) -> Floats:
    """Return logarithms, zeros taken as the float64 epsilon."""
    return np.log(np.clip(probabilities, np.finfo(np.float64).eps, 1))
