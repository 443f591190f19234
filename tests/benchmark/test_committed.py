"""The committed records alone give the tables that docs/replication.md and the README show, and belong to `suites/`."""

from pathlib import Path

import pytest

from danil.benchmark import cells_of, grids, read_records, read_suite
from danil.benchmark.execution import same_but_code
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
    answer = PAGE.split("## The answer so far\n\n")[1].split("\n\nA difference")[0]
    assert answer in (ROOT / "README.md").read_text(encoding="utf-8"), "run `python benchmarks/replication.py`"


@pytest.mark.slow
def test_every_record_was_made_by_its_suite_as_it_is_now_but_for_the_code(shared, monkeypatch):
    monkeypatch.chdir(ROOT)
    records = read_records(ROOT / "results" / "benchmark")
    cells = [cell for path in (ROOT / "suites").glob("*.toml") for cell in cells_of(read_suite(path))]
    known = {(cell.suite, cell.name): cell for cell in cells}
    for record in records:
        cell = known[record.suite, record.path.stem]
        assert same_but_code(cell, record.code) == record.digest, f"{record.path} is not of its suite: recipe or data"
