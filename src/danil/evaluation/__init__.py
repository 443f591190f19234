"""Evaluation: a run or a predictions table to metrics (floor 3)."""
