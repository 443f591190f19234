"""Robustness on the pages of a run and of a comparison."""

import json

import pytest

from danil.report import write_run_report
from danil.report.robustness import compared_section, robustness_section


def span(value, low=None, high=None):
    return {"value": value, "low": value if low is None else low, "high": value if high is None else high}


@pytest.fixture
def document():
    rows = [
        {
            "name": name,
            "kind": name.split("-")[0],
            "unit": unit,
            "metrics": {"accuracy": span(value, value - 0.1, value + 0.1), "macro_f1": span(0.5)},
            "change": {"accuracy": span(value - 0.9, -0.6, 0.1), "macro_f1": span(0.0)},
        }
        for name, unit, value in (("clean", "", 0.9), ("pgd-0.5", "L∞ radius in grey levels of 255", 0.4))
    ]
    attack = {"steps": 7, "step": 0.25}
    return {"images": 1234, "size": 96, "settings": {"attack": attack}, "conditions": rows}


def test_a_run_s_page_has_the_section_where_it_was_measured(make_run, document):
    folder = make_run(weights=False)
    assert 'id="robustness"' not in write_run_report(folder.path).read_text()
    (folder.path / "robustness.json").write_text(json.dumps(document))
    text = write_run_report(folder.path).read_text()
    assert 'id="robustness"' in text
    assert "7 steps of 0.25 of the radius" in text
    assert "1,234 test images, corrupted at the 96 pixels" in text
    assert "Accuracy by condition: clean 0.900, pgd-0.5 0.400." in text


def test_the_table_has_values_and_changes_with_intervals(document):
    (table,) = robustness_section(document).tables
    name, unit, accuracy, change, *_ = table.rows[1]
    assert (name, unit) == ("pgd-0.5", "L∞ radius in grey levels of 255")
    assert accuracy.replace("\N{NO-BREAK SPACE}", " ") == "0.400 [0.300, 0.500]"
    assert change.replace("\N{NO-BREAK SPACE}", " ") == "−0.500 [−0.600, +0.100]"
    assert robustness_section(None) is None


def test_methods_stand_side_by_side_under_each_condition(document):
    pair = {"first": "base", "second": "danil", "differences": {"accuracy": span(0.1, 0.05, 0.2), "macro_f1": span(0)}}
    for row in document["conditions"]:
        row["pairs"] = [pair]
    (table,) = compared_section(document).tables
    assert [row[:2] for row in table.rows] == [["clean", "base less danil"], ["pgd-0.5", "base less danil"]]
    assert table.rows[0][2].startswith("+0.100 [+0.050,")
    assert compared_section(None) is None


def test_an_interval_that_leaves_its_value_out_and_a_value_without_one_are_drawn(document):
    clean, attacked = (row["metrics"] for row in document["conditions"])
    clean["macro_f1"] = {"value": 0.49, "low": 0.45, "high": 0.48}
    attacked |= {"macro_f1": {"value": 0.0, "low": None, "high": None}}
    attacked |= {"accuracy": {"value": None, "low": None, "high": None}}
    assert "Accuracy by condition: clean 0.900, pgd-0.5 –." in robustness_section(document).charts[0].svg
