"""What keeps a run from being evaluated."""

import pandas as pd

from danil.data.manifest import counted
from danil.statistics.predictions import Predictions, PredictionsError


class EvaluationError(ValueError):
    """Say which run cannot be evaluated, why, and what to do."""


def check_part(predictions: Predictions, manifest: pd.DataFrame, part: str) -> None:
    """Refuse predictions that are not, row for row, those of the manifest's part (`test` or `validation`).

    Raises:
        PredictionsError: naming an image that is missing or too many.
    """
    wanted = set(manifest.loc[manifest["split"] == part, "path"])
    there = set(predictions.paths)
    missing, extra = sorted(wanted - there), sorted(there - wanted)
    if missing or extra:
        fault = (
            f"misses {counted(missing, 'image')} of the {part} part"
            if missing
            else f"has {counted(extra, 'image')} that the {part} part has not"
        )
        raise PredictionsError(
            f"`{predictions.source}` {fault}. Predict the {part} part again: `danil train … --resume`."
        )
