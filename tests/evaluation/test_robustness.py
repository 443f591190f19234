"""Robustness of a run: what is written, that PGD sees the network whole, and that runs are paired by image."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from danil.evaluation import EvaluationError, compare_runs, robustness_run, robustness_summary
from danil.evaluation.attack import Attack, pgd_images
from danil.evaluation.corruptions import Condition
from danil.evaluation.robustness import label_loss
from danil.runs import open_run, run_manifest
from danil.statistics import read_predictions
from explanation.conftest import untrained_run

FEW = (Condition("clean"), Condition("noise", 32), Condition("pgd", 8))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    source = "synthetic:dermoscopy?images=40&size=32"
    return untrained_run(tmp_path_factory.mktemp("robustness") / "base", source, 32).path


@pytest.fixture(scope="module")
def document(run):
    return robustness_run(run, conditions=FEW, attack=Attack(steps=4), resamples=200)


def test_every_condition_has_metrics_changes_and_a_table_of_predictions(run, document):
    assert json.loads((run / "robustness.json").read_text()) == document
    assert [row["name"] for row in document["conditions"]] == ["clean", "noise-32", "pgd-8"]
    for row in document["conditions"]:
        table = read_predictions(run / "robustness" / f"{row['name']}.csv")
        assert row["metrics"]["accuracy"]["value"] == pytest.approx((table.found == table.labels).mean())
        low, high = row["metrics"]["accuracy"]["low"], row["metrics"]["accuracy"]["high"]
        assert low <= row["metrics"]["accuracy"]["value"] <= high
    clean, _, attacked = document["conditions"]
    assert clean["change"]["accuracy"] == {"value": 0, "low": 0, "high": 0}
    expected = attacked["metrics"]["accuracy"]["value"] - clean["metrics"]["accuracy"]["value"]
    assert attacked["change"]["accuracy"]["value"] == pytest.approx(expected)
    text = robustness_summary(document)
    assert "4 steps of 0.25 of the radius" in text
    assert "noise-32" in text


def test_clean_predictions_are_those_of_the_run(run, document):
    mine = pd.read_csv(run / "robustness" / "clean.csv")
    theirs = pd.read_csv(run / "predictions.csv")
    assert list(mine["path"]) == list(theirs["path"])
    np.testing.assert_allclose(mine.filter(like="probability_"), theirs.filter(like="probability_"), atol=1e-5)


def test_photographs_of_a_retina_are_prepared_and_viewed_as_in_training(tmp_path):
    run = untrained_run(tmp_path / "dil", "synthetic:fundus?images=8&size=96", 48, objective="dil").path
    data = open_run(run).recipe.data
    assert (data.preprocess, data.views) == ("fundus", 8)
    robustness_run(run, conditions=FEW[:1], resamples=100)
    mine, theirs = (pd.read_csv(run / name) for name in ("robustness/clean.csv", "predictions.csv"))
    assert list(mine["path"]) == list(theirs["path"])
    np.testing.assert_allclose(mine.filter(like="probability_"), theirs.filter(like="probability_"), atol=1e-5)


def test_the_label_is_never_likelier_under_attack(run, document):
    tables = [read_predictions(run / "robustness" / f"{name}.csv") for name in ("clean", "pgd-8")]
    clean, attacked = (table.probabilities[np.arange(len(table)), table.labels] for table in tables)
    assert (attacked <= clean + 1e-6).all()
    assert (attacked < clean - 1e-3).mean() > 0.9


def test_the_same_settings_give_the_same_files(run, document):
    before = (run / "robustness" / "pgd-8.csv").read_bytes()
    robustness_run(run, conditions=FEW, attack=Attack(steps=4), resamples=200)
    assert (run / "robustness" / "pgd-8.csv").read_bytes() == before


@pytest.mark.parametrize("views", [1, 4])
def test_the_loss_is_the_cross_entropy_of_the_fused_probabilities(run, views):
    fitted = open_run(run)
    data = fitted.recipe.data.model_copy(update={"views": views})
    fitted.recipe = fitted.recipe.model_copy(update={"data": data})
    manifest = run_manifest(fitted.folder).part("test")
    images = fitted.display([manifest.store.read(path) for path in manifest.table["path"][:3]])
    labels = torch.tensor([0, 1, 2])
    found = label_loss(fitted, labels)(images.float()).detach()
    expected = -np.log(fitted.probabilities([images])[fitted.task][np.arange(3), labels])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_confident_network_has_a_gradient_and_is_found_out(run):
    """With logits times 200 a float32 softmax is exactly 1 and its gradient 0; ours is not masked."""
    fitted = open_run(run)
    manifest = run_manifest(fitted.folder).part("test")
    images = fitted.display([manifest.store.read(path) for path in manifest.table["path"][:4]])
    last = fitted.model.head.layers[0]
    with torch.no_grad():
        logits = fitted.model(fitted.normalize(images))
        gap = logits.topk(2, dim=1).values.diff(dim=1).abs().min()
        last.weight.mul_(30 / gap)
        last.bias.mul_(30 / gap)
        labels = logits.argmax(1)
    pixels = images.float().requires_grad_()
    (slope,) = torch.autograd.grad(label_loss(fitted, labels)(pixels).sum(), pixels)
    assert (slope.abs().flatten(1).amax(1) > 0).all()
    worse = pgd_images(label_loss(fitted, labels), images, 24.0, ["a", "b", "c", "d"])
    with torch.no_grad():
        losses = [cross_entropy(fitted.model(fitted.normalize(x.clone())), labels) for x in (images, worse)]
    assert losses[1] > losses[0] + 1


def test_limits_take_the_same_images_for_every_run_and_bad_settings_are_refused(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    document = robustness_run(copy, conditions=FEW[:2], limit=7, resamples=100)
    assert document["images"] == 7
    with pytest.raises(EvaluationError, match="must begin with"):
        robustness_run(copy, conditions=FEW[1:])


def test_runs_are_paired_condition_by_condition(run, document, tmp_path):
    other = tmp_path / "danil"
    shutil.copytree(run, other)
    text = (other / "recipe.toml").read_text().replace('name = "base"', 'name = "danil"')
    (other / "recipe.toml").write_text(text)
    table = pd.read_csv(other / "robustness" / "pgd-8.csv")
    columns = [name for name in table if name.startswith("probability_")]
    answers = [table["prediction"][0], *table["label"][1:]]  # the other method resists the attack nearly everywhere
    for row, answer in enumerate(answers):
        table.loc[row, columns] = [float(name == f"probability_{answer}") for name in columns]
    table["prediction"] = answers
    table.to_csv(other / "robustness" / "pgd-8.csv", index=False)
    found = compare_runs([run, other], resamples=200)["robustness"]
    rows = {row["name"]: row["pairs"][0]["differences"] for row in found["conditions"]}
    assert rows["clean"]["accuracy"]["value"] == 0
    attacked = document["conditions"][2]["metrics"]["accuracy"]["value"]
    assert rows["pgd-8"]["accuracy"]["value"] == pytest.approx(
        attacked - (table["prediction"] == table["label"]).mean()
    )
    assert rows["pgd-8"]["accuracy"]["high"] < 0
    settings = json.loads((other / "robustness.json").read_text())
    settings["settings"]["seed"] = 5
    (other / "robustness.json").write_text(json.dumps(settings))
    mixed = compare_runs([run, other], resamples=200)
    assert mixed["robustness"] is None
    assert any("Robustness" in note and "settings" in note for note in mixed["notes"])
