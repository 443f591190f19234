"""Runs: the recipe, the run folder, checkpoints, the fitted classifier, prediction (floor 2)."""
