"""The command line: one file per verb (floor 5)."""
