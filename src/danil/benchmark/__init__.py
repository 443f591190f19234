"""Benchmarks: suites of trainings, finished once, and tables made from their records alone (floor 4).

Modules: `suite` (TOML → cells), `cell` (one training and its digest), `inputs` (digests of what it reads), `process` (a
cell in a process of its own), `execution` (many cells on one machine), `cluster` (the same on Ray), `records`, `grid`
and `tables` (numbers to text).
"""

from danil.benchmark.cell import Cell, code_version
from danil.benchmark.cost import estimated_hours
from danil.benchmark.execution import Outcome, run_cells
from danil.benchmark.grid import Grid, grids
from danil.benchmark.records import Record, RecordError, read_records
from danil.benchmark.suite import Suite, SuiteError, cells_of, read_suite, trial_of
from danil.benchmark.tables import rendered

# fmt: off
__all__ = [
    "Cell", "Grid", "Outcome", "Record", "RecordError", "Suite", "SuiteError", "cells_of", "code_version",
    "estimated_hours", "grids", "read_records", "read_suite", "rendered", "run_cells", "trial_of",
]
