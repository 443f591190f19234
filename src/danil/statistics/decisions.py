"""What held-out labels decide once and for all: a temperature, and thresholds for a wanted sensitivity or risk."""

from dataclasses import dataclass

from danil.statistics.calibration import Temperature, fitted_temperature, tempered
from danil.statistics.operating_points import sensitivity_threshold, specificity_threshold
from danil.statistics.predictions import Predictions, PredictionsError
from danil.statistics.selective import risk_threshold


@dataclass(frozen=True)
class Wanted:
    """Say what thresholds are chosen for: least sensitivities and specificities of each class, largest error rates."""

    sensitivities: tuple[float, ...] = (0.9,)
    specificities: tuple[float, ...] = (0.9,)
    risks: tuple[float, ...] = (0.01, 0.05, 0.1)

    def __post_init__(self) -> None:
        for name, values in (("sensitivity", self.sensitivities), ("specificity", self.specificities)):
            for value in values:
                if not 0 < value <= 1:
                    raise PredictionsError(f"wanted {name} is {value:g}; it must lie in (0, 1], e.g. 0.9.")
        for value in self.risks:
            if not 0 <= value < 1:
                raise PredictionsError(f"wanted risk is {value:g}; it must lie in [0, 1), e.g. 0.05.")


@dataclass(frozen=True)
class ClassThreshold:
    """Hold the threshold on the calibrated probability of class `name` that gave `wanted` of `at_least`.

    `groups`: of how many groups the images were whose scores chose it (of the class, or for a specificity of all
    others); `None` where a file of an earlier version does not say.
    """

    name: str
    wanted: str
    at_least: float
    threshold: float
    groups: int | None = None


@dataclass(frozen=True)
class ConfidenceThreshold:
    """Hold the calibrated confidence from which on the error rate was at most `risk`; `None`: there is none."""

    risk: float
    threshold: float | None


@dataclass(frozen=True)
class Decisions:
    """Hold what one task's held-out labels decided; every threshold is on probabilities with the temperature."""

    temperature: Temperature
    classes: tuple[ClassThreshold, ...]
    confidences: tuple[ConfidenceThreshold, ...]

    def wanted(self) -> Wanted:
        """Return what these thresholds were chosen for."""
        kinds = {
            kind: tuple(dict.fromkeys(one.at_least for one in self.classes if one.wanted == kind))
            for kind in ("sensitivity", "specificity")
        }
        return Wanted(
            kinds["sensitivity"] or Wanted.sensitivities,
            kinds["specificity"] or Wanted.specificities,
            tuple(one.risk for one in self.confidences),
        )

    def calibrated(self, predictions: Predictions) -> Predictions:
        """Return the predictions with the temperature."""
        return tempered(predictions, self.temperature.value)


def fitted_decisions(validation: Predictions, wanted: Wanted | None = None) -> Decisions:
    """Return temperature and thresholds of held-out predictions, never those they are judged on.

    A class that all or none of the labels are has no threshold.

    Raises:
        PredictionsError: no row has a label.
    """
    aims = Wanted() if wanted is None else wanted
    temperature = fitted_temperature(validation)
    known = tempered(validation.labelled(), temperature.value)
    kinds = [("sensitivity", value, sensitivity_threshold) for value in aims.sensitivities]
    kinds += [("specificity", value, specificity_threshold) for value in aims.specificities]
    classes: list[ClassThreshold] = []
    for index, name in enumerate(known.classes):
        positive, scores = known.labels == index, known.probabilities[:, index]
        if 0 < positive.sum() < len(known):
            groups = {"sensitivity": set(known.groups[positive]), "specificity": set(known.groups[~positive])}
            classes += [
                ClassThreshold(name, kind, value, threshold(positive, scores, value), len(groups[kind]))
                for kind, value, threshold in kinds
            ]
    confidences = [ConfidenceThreshold(value, risk_threshold(known, value)) for value in aims.risks]
    return Decisions(temperature, tuple(classes), tuple(confidences))
