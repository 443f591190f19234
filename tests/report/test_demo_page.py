import re

import pytest

from danil.report import write_demo_report
from danil.report.demo_page import map_pairs
from danil.report.record import read_record
from danil.runs import RunError, open_run


@pytest.fixture(scope="module")
def runs(make_run):
    base = make_run("base", settings=("objective.name=base",), skill=1.0)
    return base, make_run("danil", skill=2.0, seed=1)


def test_the_page_shows_both_networks_on_the_same_images(runs, tmp_path):
    text = write_demo_report(runs[0].path, runs[1].path, tmp_path / "report.html").read_text()
    assert len(re.findall('<table class="matrix">', text)) == 2
    assert re.search(r"<strong>Finding.</strong> [A-Z].*Δ macro-F1", text)
    assert text.count("Base: Response map") == text.count("DANIL: Response map") == 18
    assert "share of |A⁺| on the evidence" in text
    assert text.count("Synthetic lesion of class") == 4


def test_a_pair_shows_the_same_image_with_each_networks_own_prediction(runs):
    records = [read_record(run.path) for run in runs]
    tables = [record.predictions for record in records]
    for first, second in map_pairs([open_run(run.path) for run in runs], records, tables):
        assert first.note == second.note
        assert first.label == second.label
        for case, table in zip((first, second), tables, strict=True):
            row = list(table.paths).index(case.note)
            assert case.found == table.classes[table.probabilities[row].argmax()]
            assert case.share == table.probabilities[row].max()


def test_an_unfinished_run_is_named(make_run, runs, tmp_path):
    half = make_run("half", weights=False)
    half.predictions.unlink()
    with pytest.raises(RunError, match=r"half.*no predictions"):
        write_demo_report(runs[0].path, half.path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
