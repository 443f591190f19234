"""Explanation: response maps as pictures (floor 3)."""
