"""The page of a benchmark's tables, and the chart of differences on it."""

import numpy as np

from danil.report import write_tables_report
from danil.report.difference_chart import difference_chart
from danil.statistics.two_level import Difference

HEAD = ("data", "backbone", "method", "paper", "ours [95 % interval]", "p", "p (Holm)", "verdict")


def table(suite="Suite", low=0.01, verdict="better"):
    row = ("HAM10000", "ResNet50", "Base+DANIL", "+0.016", "+0.020 [+0.010, +0.030]", "0.01", "0.02", verdict)
    return {
        "suite": suite, "name": "Differences to Base in accuracy", "caption": "Caption", "sentences": ("A sentence.",),
        "head": HEAD, "rows": (row,), "names": 3, "differences": ((Difference(0.02, low, 0.03, 0.01, 0.02), 0.016),),
    }  # fmt: skip


def test_a_page_has_a_section_for_each_suite_with_its_tables_and_charts(tmp_path):
    plain = table() | {"name": "Accuracy", "differences": ()}
    text = write_tables_report([plain, table(), table("Other")], tmp_path / "page.html").read_text()
    assert text.count("<h2 id=") == 2
    assert text.count("<h3>") == 3
    assert text.count('role="img"') == 2
    assert "A sentence." in text


def test_a_chart_tells_every_difference_and_verdict_in_words():
    drawn = difference_chart(table())
    assert "HAM10000, ResNet50, Base+DANIL: +0.020 [+0.010, +0.030], better" in drawn.svg
    assert "the paper&#x27;s" in drawn.svg or "the paper's" in drawn.svg


def test_a_point_is_filled_where_a_difference_is_shown():
    shown, hidden = (difference_chart(table(verdict=word)).svg for word in ("worse", "no difference shown"))
    assert shown.count("var(--card") < hidden.count("var(--card")


def test_a_difference_without_an_interval_or_a_claim_is_drawn():
    one = table(low=np.nan) | {"differences": ((Difference(0.02, np.nan, np.nan, np.nan), None),)}
    assert "the paper" not in difference_chart(one).svg.split("aria-label")[1].split(">", 1)[1]


def test_a_table_of_values_has_no_chart():
    assert difference_chart(table() | {"differences": ()}) is None
