"""Evaluation: a run or a predictions table to metrics (floor 3)."""

from danil.evaluation.choices import chosen
from danil.evaluation.cohort import evaluate_cohort
from danil.evaluation.comparison import compare_runs, write_comparison
from danil.evaluation.document import evaluate_predictions
from danil.evaluation.errors import EvaluationError
from danil.evaluation.folder import evaluate_run, write_metrics
from danil.evaluation.outcome import evaluated_outcome
from danil.evaluation.robust_pairs import robust_lines
from danil.evaluation.robustness import robustness_run, robustness_summary
from danil.evaluation.summary import summary
from danil.evaluation.table import evaluate_table

__all__ = [
    "EvaluationError", "chosen", "compare_runs", "evaluate_cohort", "evaluate_predictions", "evaluate_run",
    "evaluate_table", "evaluated_outcome", "robust_lines", "robustness_run", "robustness_summary", "summary",
    "write_comparison", "write_metrics",
]  # fmt: skip
