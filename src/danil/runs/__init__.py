"""Runs: the recipe, the run folder, checkpoints, the fitted classifier, prediction (floor 2)."""

from danil.runs.checkpoint import Checkpoint, CheckpointError, latest_checkpoint, read_checkpoint, write_checkpoint
from danil.runs.classifier import FittedClassifier, open_run
from danil.runs.folder import RunError, RunFolder
from danil.runs.images import predict_files, run_manifest
from danil.runs.memory import kept_memory
from danil.runs.prediction import Probabilities, predicted_probabilities, predictions_table
from danil.runs.recipe import Recipe, RecipeError, read_recipe

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "FittedClassifier",
    "Probabilities",
    "Recipe",
    "RecipeError",
    "RunError",
    "RunFolder",
    "kept_memory",
    "latest_checkpoint",
    "open_run",
    "predict_files",
    "predicted_probabilities",
    "predictions_table",
    "read_checkpoint",
    "read_recipe",
    "run_manifest",
    "write_checkpoint",
]
