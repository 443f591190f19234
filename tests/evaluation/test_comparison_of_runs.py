"""Comparing run folders."""

import json

import numpy as np
import pytest

from danil.evaluation import EvaluationError, compare_runs, write_comparison
from danil.statistics import PredictionsError


def test_runs_whose_recipes_differ_in_the_seed_only_are_one_method(run_folder):
    runs = [run_folder(f"{name}{seed}", seed=seed, objective=name) for name in ("base", "danil") for seed in (2, 0, 1)]
    document = compare_runs(runs, resamples=200)
    assert {name: method["seeds"] for name, method in document["methods"].items()} == {
        "base": [0, 1, 2],
        "danil": [0, 1, 2],
    }
    pair = document["pairs"][0]
    assert (pair["first"], pair["second"], pair["seeds"], pair["paired"]) == ("base", "danil", [3, 3], True)
    # the fixture's predictions depend on the seed alone
    assert pair["differences"]["macro_f1"]["value"] == 0
    assert pair["verdict"].startswith("no difference shown: Δ macro-F1 +0.000")
    assert pair["mcnemar"] == [1, 1, 1]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_method_is_the_mean_over_its_seeds(run_folder, made):
    methods = {
        "weak": [run_folder(f"w{seed}", seed=seed, skill=0.3) for seed in range(2)],
        "strong": [run_folder(f"s{seed}", seed=seed, skill=3.0) for seed in range(2)],
    }
    document = compare_runs(methods, metric="accuracy", resamples=200)
    tables = [made(seed=seed, skill=0.3) for seed in range(2)]
    expected = np.mean([(table.found == table.labels).mean() for table in tables])
    assert document["methods"]["weak"]["metrics"]["accuracy"]["value"] == pytest.approx(expected)
    assert document["pairs"][0]["differences"]["accuracy"]["value"] < -0.2


def test_methods_with_other_seeds_are_compared_as_independent(run_folder):
    methods = {
        "a": [run_folder(f"a{seed}", seed=seed) for seed in (0, 1)],
        "b": [run_folder(f"b{seed}", seed=seed) for seed in (5, 6)],
    }
    document = compare_runs(methods, resamples=50)
    assert document["pairs"][0]["paired"] is False
    assert "Trained with different seeds and so compared as independent: a and b." in document["notes"]


def test_one_seed_is_said_not_to_include_chance_in_training(run_folder):
    document = compare_runs([run_folder("a", objective="base"), run_folder("b")], resamples=50)
    assert any("With one seed" in note for note in document["notes"])


def test_methods_of_one_objective_are_named_after_the_backbone_else_the_folder(run_folder):
    runs = [run_folder("a"), run_folder("b")]
    for run, backbone in zip(runs, ("vgg11", "resnet50"), strict=True):
        (run / "recipe.toml").write_text(f'seed = 0\n[objective]\nname = "base"\n[model]\nbackbone = "{backbone}"\n')
    assert list(compare_runs(runs, resamples=20)["methods"]) == ["base vgg11", "base resnet50"]
    for run, rate in zip(runs, ("0.1", "0.2"), strict=True):
        (run / "recipe.toml").write_text(f'seed = 0\n[objective]\nname = "base"\n[train]\nlr = {rate}\n')
    assert list(compare_runs(runs, resamples=20)["methods"]) == ["a", "b"]


def test_tables_of_predictions_alone_can_be_compared(made, tmp_path):
    files = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for seed, file in enumerate(files):
        made(seed=seed).table().to_csv(file, index=False)
    assert list(compare_runs(files, resamples=20)["methods"]) == ["one", "two"]


def test_a_written_comparison_reads_back(run_folder, tmp_path):
    document = compare_runs([run_folder("a", objective="base"), run_folder("b")], resamples=20)
    path = write_comparison(tmp_path / "comparison.json", document)
    assert json.loads(path.read_text(encoding="utf-8")) == document


def test_runs_on_other_test_images_are_refused(run_folder, made):
    with pytest.raises(PredictionsError, match="not on the same test images"):
        compare_runs([run_folder("a", objective="base"), run_folder("b", n=60)], resamples=20)


def test_a_run_twice_one_method_alone_or_an_unknown_metric_are_refused(run_folder):
    run, other = run_folder("a"), run_folder("b", objective="base")
    with pytest.raises(EvaluationError, match="given twice"):
        compare_runs([run, other, run])
    with pytest.raises(EvaluationError, match="a comparison needs two methods"):
        compare_runs([run])
    with pytest.raises(EvaluationError, match="`metric` is `f1`; known here: accuracy"):
        compare_runs([run, other], metric="f1", resamples=20)


def test_a_run_without_a_test_part_says_so(run_folder):
    runs = [run_folder("base", objective="base"), run_folder("danil")]
    (runs[1] / "predictions.csv").unlink()
    with pytest.raises(PredictionsError, match="finish an interrupted one"):
        compare_runs(runs)
    manifest = runs[1] / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",test,", ",train,"))
    with pytest.raises(EvaluationError, match=r"danil` has no test part \(`split.test=0`\), so there is nothing to"):
        compare_runs(runs)


def test_one_training_never_counts_as_two(run_folder, made, tmp_path):
    base, one, again = run_folder("base", objective="base"), run_folder("a", seed=0), run_folder("b", seed=0)
    with pytest.raises(EvaluationError, match=r"a` and `.*b` are runs of one method, danil, .* with seed 0: one train"):
        compare_runs([base, one, again], resamples=20)
    files = [tmp_path / f"{name}.csv" for name in ("one", "copy", "other")]
    for seed, file in zip((1, 1, 2), files, strict=True):
        made(seed=seed).table().to_csv(file, index=False)
    with pytest.raises(EvaluationError, match=r"one\.csv` and `.*copy\.csv` are runs of one method, x, and have equal"):
        compare_runs({"x": files[:2], "y": files[2:]}, resamples=20)


def test_a_section_that_is_none_is_named_as_damage(run_folder):
    run = run_folder("a")
    (run / "recipe.toml").write_text('seed = 0\nobjective = "base"\n')
    with pytest.raises(EvaluationError, match=r"recipe\.toml` is damaged: `objective` is no section"):
        compare_runs([run, run_folder("b")], resamples=20)


def test_few_groups_are_told_and_calibration_errors_have_no_interval_of_resamples(run_folder):
    runs = [run_folder(name, objective=name, per_group=10) for name in ("base", "danil")]
    document = compare_runs(runs, resamples=50)
    assert "Only 9 groups were drawn from: intervals are rough." in document["notes"]
    assert document["methods"]["base"]["metrics"]["ece"]["value"] > 0
    assert document["methods"]["base"]["metrics"]["ece"]["low"] is None


def test_ranks_of_a_rare_class_carry_no_verdict(run_folder):
    labels = [0] * 60 + [1] * 25 + [2] * 5
    runs = [run_folder(name, objective=name, labels=labels, seed=seed) for seed, name in enumerate(("base", "danil"))]
    document = compare_runs(runs, metric="roc_auc", resamples=50)
    found = document["pairs"][0]["differences"]
    assert (found["roc_auc"]["low"], found["roc_auc"]["p_holm"]) == (None, None)
    assert found["macro_f1"]["low"] is not None
    assert (
        "no verdict: the difference in roc auc has no interval (a class of few groups"
        in document["pairs"][0]["verdict"]
    )
