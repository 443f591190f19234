"""From what a user types to the choices of an evaluation."""

from collections.abc import Sequence

from danil.evaluation.document import Choices
from danil.evaluation.errors import EvaluationError
from danil.statistics.decisions import Wanted


def chosen(
    sensitivities: Sequence[float] | None = None,
    specificities: Sequence[float] | None = None,
    risks: Sequence[float] | None = None,
    prevalences: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    resamples: int = 2000,
) -> tuple[Wanted | None, Choices]:
    """Return what thresholds are wanted (`None`: nothing said) and the other choices.

    Raises:
        EvaluationError: a prevalence is not CLASS=SHARE.
        PredictionsError: a wanted rate is none.
    """
    said = {"sensitivities": sensitivities, "specificities": specificities, "risks": risks}
    given = {name: tuple(dict.fromkeys(values)) for name, values in said.items() if values}
    choices: Choices = {"resamples": resamples}
    if columns:
        choices["columns"] = list(dict.fromkeys(columns))
    if prevalences:
        choices["prevalences"] = dict(map(class_share, prevalences))
    return (Wanted(**given) if given else None), choices


def class_share(item: str) -> tuple[str, float]:
    """Return class and share of `CLASS=SHARE`."""
    name, _, share = item.rpartition("=")
    try:
        return name, float(share)
    except ValueError as error:
        raise EvaluationError(
            f"`--prevalence {item}` is not CLASS=SHARE. Write e.g. `--prevalence {name or 'mel'}=0.05`."
        ) from error
