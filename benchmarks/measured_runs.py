"""What the scripts here share that measure finished runs: their arguments, their record and their table on a page."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from marked import write_between

from danil.data import write_atomically

ROOT = Path(__file__).parents[1]

Records = list[dict[str, object]]


def write_measured(
    description: str | None,
    measured: Callable[[Path, int], Records],
    table: Callable[[Records], str],
    record: str,
    page: str,
    marks: tuple[str, str],
) -> None:
    """Measure the runs of the command line; write results/`record` and, between the marks of docs/`page`, the table."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--batches", type=int, default=6)
    arguments = parser.parse_args()
    records = [one for run in arguments.runs for one in measured(run, arguments.batches)]
    write_atomically(ROOT / "results" / record, json.dumps(records, indent=1) + "\n")
    write_between(ROOT / "docs" / page, marks, table(records))
