"""The page of a benchmark's tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from danil.report.page import write_page


def write_tables_report(tables: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Write one page with every table and return its path.

    Args:
        tables: each with `name`, `caption`, `sentences`, `head`, `rows` of text; the first `names` columns name a row.
        path: of the page.
    """
    return write_page(
        path,
        "tables.html.j2",
        title="Benchmark tables",
        contents=[(f"table-{number}", table["name"]) for number, table in enumerate(tables, 1)],
        tables=tables,
    )
