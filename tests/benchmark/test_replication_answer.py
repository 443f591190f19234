"""What docs/replication.md and the README say of DANIL, from records made by hand."""

from pathlib import Path

import numpy as np
import pytest

from danil.benchmark import grids, read_records

LABELS = [0, 1, 2] * 40
PLACE = {"dataset": ["aptos2019", "APTOS2019"], "backbone": ["efficientnet_b0", "EfficientNet-b0"]}
OBJECTIVES = {"base": {"name": "base"}, "log_1": {"name": "danil", "form": "log"}, "danil": {"name": "danil"}}


@pytest.fixture
def answered(tmp_path, add_record, monkeypatch):
    """Add records of right answers per method, in one suite of each part; then return the summary of `asked` cells."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import replication_answer

    def add(suite, part, method, right, paper=None, seeds=3):
        for seed in range(seeds):
            wrong = np.random.default_rng(seed).permutation(len(LABELS))[: len(LABELS) - right - seed]
            found = np.array(LABELS)
            found[wrong] = (found[wrong] + 1) % 3
            add_record(
                LABELS, found.tolist(), **PLACE, suite=suite, title=suite.title(), part=part, seed=seed, paper=paper,
                method=[method, method], recipe={"objective": OBJECTIVES[method.removesuffix("_again")]},
            )  # fmt: skip

    def summary(asked):
        monkeypatch.setattr(replication_answer, "trainings", asked.__getitem__)
        records = read_records(tmp_path / "results")
        found = [grids(records, metric, resamples=200) for metric in ("macro_f1", "accuracy")]
        return replication_answer.summary(replication_answer.compared_suites(*found, records))

    return add, summary


def test_nothing_is_chosen_before_all_trainings_are_finished(answered):
    add, summary = answered
    for method, right in (("base", 60), ("log_1", 100)):
        add("search", "validation", method, right)
    assert "No setting is chosen before all of them are finished." in summary({"search": 7})
    assert "No form of DANIL has 3 seeds in common with Base yet." in summary({"search": 7})


def test_a_choice_is_told_with_what_the_same_objective_does_on_the_test_part(answered):
    add, summary = answered
    for method, right in (("base", 60), ("log_1", 100), ("danil", 90)):
        add("search", "validation", method, right)
    chosen = summary({"search": 9})
    assert "Highest of 3 means of macro-F1 on the validation part, APTOS2019, EfficientNet-b0: **log_1**" in chosen
    assert "Not confirmed on a test part yet." in chosen
    add("final", "test", "base", 70)
    add("final", "test", "danil", 30, paper="danil")
    assert "Not confirmed on a test part yet." in summary({"search": 9, "final": 6})
    add("final", "test", "log_1_again", 110, paper="danil")
    told = summary({"search": 9, "final": 9})
    assert "**DANIL is better than Base in 1 of 2 comparisons, worse in 1**" in told
    assert "On the test part (Final, 3 seeds): macro-F1 less Base's +0.3" in told
    assert "better" in told.partition("On the test part")[2]


def test_where_base_is_highest_there_is_nothing_to_confirm(answered):
    add, summary = answered
    for method, right in (("base", 100), ("log_1", 60)):
        add("search", "validation", method, right)
    assert "**base**, 0.8" in summary({"search": 6})
    assert "No setting of DANIL is above it, so that there is none to confirm." in summary({"search": 6})
