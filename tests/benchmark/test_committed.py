"""The committed records alone give the tables that docs/replication.md and the README show."""

from pathlib import Path

import pytest

from danil.benchmark import grids, read_records
from danil.benchmark.tables import markdown, tables_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "replication.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["macro_f1", "accuracy"])
def test_every_table_of_the_page_comes_from_the_records(metric):
    found = grids(read_records(ROOT / "results" / "benchmark"), metric)
    tables = [table for grid in found for table in tables_of(grid)]
    assert tables
    for table in tables:
        assert markdown(table) in PAGE, f"run `python benchmarks/replication.py`: {table.caption}"


def test_the_readme_shows_the_answer_of_the_page():
    answer = PAGE.split("## The answer so far\n\n")[1].split("\n\n![")[0]
    assert answer in (ROOT / "README.md").read_text(encoding="utf-8"), "run `python benchmarks/replication.py`"
