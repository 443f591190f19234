"""Statistics: pure functions of arrays, no torch (floor 1).

Modules: `predictions` and `tables` (checked input), `confusion`, `ranking` and `scorer` (metrics), `bootstrap`,
`two_level` and `comparison` (chance in images and seeds), `calibration`, `operating_points`, `selective`, `subgroups`.
"""

from danil.statistics.bootstrap import Bootstrap, bootstrap
from danil.statistics.confusion import confusion_matrix, macro_f1
from danil.statistics.predictions import Predictions, PredictionsError
from danil.statistics.scorer import LOWER_IS_BETTER, Scorer
from danil.statistics.tables import predictions_from_table, read_predictions

__all__ = [
    "LOWER_IS_BETTER",
    "Bootstrap",
    "Predictions",
    "PredictionsError",
    "Scorer",
    "bootstrap",
    "confusion_matrix",
    "macro_f1",
    "predictions_from_table",
    "read_predictions",
]
