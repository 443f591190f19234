import re

import pytest

from danil.evaluation import compare_runs
from danil.report import write_comparison_report
from danil.report.comparison_page import flattened
from danil.report.differences import difference_table, method_table


@pytest.fixture(scope="module")
def comparison(make_run):
    runs = [
        make_run(
            f"{name}-{seed}", settings=(f"objective.name={name}", f"seed={seed}"), skill=skill, seed=seed, weights=False
        )
        for name, skill in (("danil", 3.0), ("base", 0.3))
        for seed in (0, 1)
    ]
    return compare_runs([run.path for run in runs], resamples=200)


def test_the_page_says_each_verdict_and_every_difference(comparison, tmp_path):
    text = write_comparison_report(comparison, tmp_path / "comparison.html").read_text()
    pair = comparison["pairs"][0]
    assert f"danil against base: {pair['verdict']}." in text
    assert f"<strong>{pair['differences']['accuracy']['value']:+.3f}</strong>" in text
    assert len(re.findall('<table class="matrix">', text)) == 2
    assert text.count("<svg role=") == 3


def test_the_page_lists_the_keys_in_which_recipes_differ_and_no_others(comparison, tmp_path):
    text = write_comparison_report(comparison, tmp_path / "comparison.html").read_text()
    table = re.search(r"<caption><span>Keys of the recipe.*?</table>", text, flags=re.DOTALL)[0]
    assert re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td>', table) == [
        ("objective.name", "danil", "base")
    ]


@pytest.mark.parametrize("metric", ["macro_recall", "ece_equal_mass"])
def test_a_verdict_about_a_metric_that_the_page_does_not_show_by_itself_shows_it(comparison, tmp_path, metric):
    text = write_comparison_report({**comparison, "metric": metric}, tmp_path / "comparison.html").read_text()
    name = metric.replace("_", " ").capitalize()
    assert f"Verdicts are about {name}" in text
    assert text.count(f">{name}") == 2  # a column of the methods' table, a row of the differences


def test_methods_are_listed_best_first(comparison):
    rows = method_table(comparison).rows
    assert [(row[0], row[1]) for row in rows] == [("danil", "0, 1"), ("base", "0, 1")]


def test_a_difference_is_shown_as_first_less_second_with_the_second_in_front(comparison):
    pair = comparison["pairs"][0]
    table = difference_table(comparison, pair)
    assert table.names == [pair["second"], pair["first"]]
    row = table.rows[0]
    means = [comparison["methods"][name]["metrics"]["accuracy"]["value"] for name in table.names]
    assert row.name == "Accuracy"
    assert row.difference == pytest.approx(means[1] - means[0])
    assert all(text.startswith(f"{mean:.3f} ") for text, mean in zip(row.texts, means, strict=True))
    assert row.most >= max(abs(row.low), abs(row.high))


def test_a_nested_recipe_becomes_dotted_keys():
    assert flattened({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}
