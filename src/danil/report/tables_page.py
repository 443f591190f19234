"""The page of a benchmark's tables."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from danil.report.difference_chart import difference_chart
from danil.report.page import write_page


def write_tables_report(tables: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Write one page with every table, suite by suite, and return its path.

    Args:
        tables: each with `suite`, `name`, `caption`, `sentences`, `head`, and `rows` of text, of which the first
            `names` columns name a row. Those with `differences` (`danil.benchmark.tables.Table`) are drawn as well.
        path: of the page.
    """
    suites = [
        (title, [(table, difference_chart(table)) for table in members])
        for title, members in groupby(tables, key=lambda table: table["suite"])
    ]
    return write_page(
        path,
        "tables.html.j2",
        title="Benchmark tables",
        contents=[(f"suite-{number}", title) for number, (title, _) in enumerate(suites, 1)],
        suites=suites,
    )
