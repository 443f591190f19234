"""Explanations: response maps as pictures, standard maps beside them, and how far to believe them (floor 3)."""

# fmt: off
from danil.explanation.attributions import (
    AttributionError,
    contribution_map,
    grad_cam,
    integrated_gradients,
    occlusion,
)
from danil.explanation.evidence import score_intervals
from danil.explanation.faithfulness import FaithfulnessCurves, faithfulness_curves
from danil.explanation.figures import MapStyle, figure_bytes, response_figure, write_figure
from danil.explanation.localization import localization_run, map_scores
from danil.explanation.look_alikes import Pair, look_alikes, look_alikes_figure
from danil.explanation.run_figures import explain_run, look_alikes_run
from danil.explanation.run_scores import CURVES
from danil.explanation.score_files import evidence_text, faithfulness_text, write_evidence, write_faithfulness
from danil.explanation.selection import confidently_wrong, least_certain

__all__ = [
    "CURVES", "AttributionError", "FaithfulnessCurves", "MapStyle", "Pair", "confidently_wrong", "contribution_map",
    "evidence_text", "explain_run", "faithfulness_curves", "faithfulness_text", "figure_bytes", "grad_cam",
    "integrated_gradients", "least_certain", "localization_run", "look_alikes", "look_alikes_figure", "look_alikes_run",
    "map_scores", "occlusion", "response_figure", "score_intervals", "write_evidence", "write_faithfulness",
    "write_figure",
]
