import math

import numpy as np
import pytest

from danil.benchmark import RecordError, grids, read_records, rendered
from danil.benchmark.grid import Entry, paper_table, paper_value
from danil.benchmark.records import packed, unpacked
from danil.benchmark.tables import explained
from danil.statistics.two_level import Difference

DANIL = {"method": ["danil", "Base+DANIL"]}


def noisy(labels, share, seed):
    """Labels of which a share is replaced at random."""
    rng = np.random.default_rng(seed)
    labels = np.array(labels)
    return np.where(rng.random(len(labels)) < share, rng.integers(0, labels.max() + 1, len(labels)), labels).tolist()


def test_packed_indices_come_back():
    for values in ([0, 3, 9], [0, 12, 7], [4], [11]):
        assert unpacked(packed(np.array(values))).tolist() == values


def test_a_cell_is_the_mean_over_its_seeds(tmp_path, add_record):
    labels = [0, 0, 1, 1] * 10
    add_record(labels, labels)
    add_record(labels, [0, 0, 1, 0] * 10, seed=1)
    (grid,) = grids(read_records(tmp_path / "results"), "accuracy")
    entry = grid.entries["ham10000", "resnet50", "base"]
    assert entry.seeds == (0, 1)
    assert entry.mean.value == pytest.approx((1 + 0.75) / 2)
    assert entry.mean.low < entry.mean.value < entry.mean.high
    assert grid.constants["ham10000"] == 0.5


def test_the_difference_to_base_is_taken_over_the_seeds_that_both_have(tmp_path, add_record):
    labels = [0, 0, 1, 1] * 10
    add_record(labels, [0, 0, 0, 0] * 10)  # accuracy 0.5
    add_record(labels, [0, 0, 1, 0] * 10, seed=1)  # 0.75
    add_record(labels, labels, seed=1, **DANIL)  # 1
    (grid,) = grids(read_records(tmp_path / "results"), "accuracy")
    assert grid.entries["ham10000", "resnet50", "danil"].to_base.value == pytest.approx(0.25)


def test_p_values_are_corrected_after_holm_over_all_differences_of_a_suite(tmp_path, add_record):
    labels = [0, 1, 2] * 60
    for seed in range(3):
        add_record(labels, noisy(labels, 0.5, seed), seed=seed)
        for name, share in (("danil", 0.35), ("ohem", 0.45)):
            add_record(labels, noisy(labels, share, seed + 10), seed=seed, method=[name, name])
    (grid,) = grids(read_records(tmp_path / "results"), "accuracy")
    found = sorted((entry.to_base for entry in grid.compared().values()), key=lambda one: one.p)
    assert [one.p_holm for one in found] == pytest.approx([2 * found[0].p, max(2 * found[0].p, found[1].p)])


def test_a_clear_gain_is_told_better_and_its_reverse_worse(tmp_path, add_record):
    labels = [0, 1, 2] * 100
    for seed in range(4):
        add_record(labels, noisy(labels, 0.6, seed), seed=seed)
        add_record(labels, noisy(labels, 0.1, seed + 10), seed=seed, **DANIL)
        add_record(labels, noisy(labels, 0.95, seed + 20), seed=seed, method=["ohem", "Base+OHEM"])
    text = rendered(grids(read_records(tmp_path / "results")))
    assert (
        "(macro-F1, Holm over 2 differences): better: Base+DANIL (1 of 1); worse: Base+OHEM (1 of 1). "
        "The paper prints a higher number than Base's in 2 of its 2 cells."
    ) in text
    assert "Table 1 of the paper, macro-F1" in text
    assert "Table 3 of the paper, macro-F1" in text
    assert "| HAM10000 | Base+DANIL | 0.674 / " in text
    assert "| +0.016 | +" in text  # the paper's difference, then ours


def test_a_number_of_the_paper_is_counted_once_however_many_methods_stand_for_it(tmp_path, add_record):
    labels = [0, 1, 2] * 100
    for seed in range(3):
        add_record(labels, noisy(labels, 0.6, seed), seed=seed)
        for form in range(3):
            name = f"danil_{form}"
            add_record(labels, noisy(labels, 0.5, seed + 10 * form), seed=seed, method=[name, name], paper="danil")
    assert "higher number than Base's in 1 of its 1 cells." in rendered(grids(read_records(tmp_path / "results")))


@pytest.mark.parametrize("low", [0.01, math.nan])
def test_a_difference_without_an_interval_is_not_explained_by_holm(low):
    found = Difference(0.1, low, 0.2, math.nan, math.nan)
    assert ("Holm" in explained(Entry("danil", (0, 1, 2), found, None, to_base=found, shared=(0, 1, 2)))) == (low > 0)


def test_no_verdict_is_given_on_fewer_than_three_seeds(tmp_path, add_record):
    labels = [0, 1, 2] * 100
    for seed in range(2):
        add_record(labels, noisy(labels, 0.6, seed), seed=seed)
        add_record(labels, noisy(labels, 0.1, seed + 10), seed=seed, **DANIL)
    add_record(labels, noisy(labels, 0.1, 12), seed=2, **DANIL)  # a third seed that Base does not have
    text = rendered(grids(read_records(tmp_path / "results")))
    assert "| fewer than 3 seeds |" in text
    assert "Holm over 1 difference): fewer than 3 seeds: Base+DANIL (1 of 1). The paper" in text


def test_suites_are_told_apart(tmp_path, add_record):
    labels = [0, 1] * 20
    add_record(labels, labels)
    add_record(labels, labels, suite="other", title="Another", test_digest="u")
    assert [grid.suite for grid in grids(read_records(tmp_path / "results"))] == ["other", "s"]


def test_the_paper_table_has_96_numbers_and_no_other_row():
    assert len(paper_table()) == 96
    assert paper_value("aptos2019", "accuracy", "danil", "inception_v4") == 0.838
    assert paper_value("aptos2019", "accuracy", "multitask", "inception_v4") is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("latex", [r"\begin{tabular}", r"95 \% interval", r"\midrule"]),
        ("csv", ["data,method,ResNet50", "HAM10000,Base"]),
    ],
)
def test_tables_are_written_for_papers_and_for_spreadsheets(tmp_path, add_record, form, words):
    labels = [0, 1] * 20
    add_record(labels, labels)
    text = rendered(grids(read_records(tmp_path / "results")), form)
    assert all(word in text for word in words)


def test_records_on_other_images_are_refused(tmp_path, add_record):
    labels = [0, 1] * 20
    add_record(labels, labels)
    add_record(labels, labels, seed=1, test_digest="u")
    with pytest.raises(RecordError, match="not on the same test images"):
        grids(read_records(tmp_path / "results"))


def test_records_trained_on_other_images_are_refused(tmp_path, add_record):
    labels = [0, 1] * 20
    add_record(labels, labels)
    add_record(labels, labels, data="other", **DANIL)
    with pytest.raises(RecordError, match="not on the same training images"):
        grids(read_records(tmp_path / "results"))


def test_seeds_of_one_method_with_other_recipes_are_refused_and_the_keys_named(tmp_path, add_record):
    labels = [0, 1] * 20
    recipe = {"seed": 0, "data": {"size": 64, "source": "here"}, "train": {"epochs": 10}}
    add_record(labels, labels, recipe=recipe)
    add_record(labels, labels, seed=1, recipe={**recipe, "seed": 1, "data": {"size": 64, "source": "there"}})
    grids(read_records(tmp_path / "results"), resamples=10)
    add_record(labels, labels, seed=2, recipe={**recipe, "train": {"epochs": 30, "lr": 1}})
    with pytest.raises(RecordError, match=r"differ in `train.epochs`, `train.lr`\."):
        grids(read_records(tmp_path / "results"))


def test_seeds_of_one_method_that_began_with_other_weights_are_refused(tmp_path, add_record):
    labels = [0, 1] * 20
    add_record(labels, labels, further={"weights": "one"})
    add_record(labels, labels, seed=1, further={"weights": "other"})
    with pytest.raises(RecordError, match=r"seeds of one method, but they differ in `weights`\."):
        grids(read_records(tmp_path / "results"))


@pytest.mark.parametrize(
    ("low", "p_holm", "words"),
    [
        (0.001, 0.24, "no difference shown (p = 0.05 or more after Holm)"),
        (-0.001, 0.24, "no difference shown"),
        (0.001, 0.04, "better"),
    ],
)
def test_an_interval_without_0_that_is_not_significant_after_holm_is_explained(low, p_holm, words):
    found = Difference(0.008, low, 0.015, 0.03, p_holm)
    assert explained(Entry("danil", (0, 1, 2), found, None, to_base=found, shared=(0, 1, 2))) == words


def test_an_unknown_metric_and_a_damaged_or_absent_record_are_told(tmp_path, add_record):
    with pytest.raises(RecordError, match="is not a folder"):
        read_records(tmp_path / "results")
    path = add_record([0, 1] * 5, [0, 1] * 5)
    with pytest.raises(RecordError, match="Choose one of accuracy"):
        grids(read_records(tmp_path / "results"), "roc_auc")
    path.write_text(path.read_text()[:40])
    with pytest.raises(RecordError, match="cannot be read as JSON"):
        read_records(tmp_path / "results")
    path.write_text('{"kind": "something else"}')
    with pytest.raises(RecordError, match="holds no benchmark records"):
        read_records(tmp_path / "results")
