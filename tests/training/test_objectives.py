"""Every objective a recipe can name trains, and what does not fit is refused."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from danil.data import squared
from danil.data.fake import write_fake
from danil.objectives import LayerError
from danil.runs import RecipeError, open_run, run_manifest
from danil.training import train_run
from training.conftest import outcome


@pytest.mark.parametrize("name", ["base", "danil", "ohem", "batch_selection", "canet_single"])
def test_every_single_task_objective_trains_and_predicts(tiny, tmp_path, name):
    folder = train_run(tiny(f"objective.name={name}", "train.epochs=1"), tmp_path / name, quiet=True)
    assert pd.read_csv(folder.log)["loss"].notna().all()
    maps = open_run(folder.path).response_maps(np.full((40, 40, 3), 128, dtype=np.uint8))
    assert maps.truth.shape == (1, 3, 32, 32)


def test_multitask_on_ham10000_takes_the_site_as_second_task(tiny, tmp_path):
    source = write_fake("ham10000", tmp_path / "ham")
    settings = (f"data.source='ham10000:{source}'", "objective.name=multitask", "train.epochs=1", "train.batch_size=4")
    folder = train_run(tiny(*settings), tmp_path / "run", quiet=True)
    tables = {path.name for path in folder.path.glob("predictions*.csv")}
    assert tables == {"predictions.csv", "predictions_localization.csv"}
    moved = shutil.move(source, tmp_path / "moved")
    assert list(run_manifest(folder, f"ham10000:{moved}").tasks) == ["dx", "localization"]


def test_a_fundus_run_prepares_every_image_alike(tiny, tmp_path):
    settings = ("data.source='synthetic:fundus?images=30&size=64'", "objective.name=dil", "train.epochs=1")
    folder = train_run(tiny(*settings, "augment.crop=0"), tmp_path / "run", quiet=True)
    fitted = open_run(folder.path)
    manifest = run_manifest(folder).part("test")
    image = manifest.store.read(manifest.table["path"][0])
    shown = squared(image, 32, preprocess="fundus")
    assert torch.equal(fitted.display(image)[0], shown)
    assert torch.equal(fitted.images(manifest).batch(np.arange(1)).images[0], shown)
    row = pd.read_csv(folder.predictions).filter(like="probability_").iloc[0]
    np.testing.assert_allclose(fitted.predict(image).filter(like="probability_").iloc[0], row, atol=1e-6)


def test_canet_single_grades_one_disease(tiny, tmp_path):
    source = write_fake("idrid", tmp_path / "idrid")
    with pytest.raises(RecipeError, match=r"tasks DR, DME.*task=DR"):
        train_run(tiny(f"data.source='{source}'", "objective.name=canet_single"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["multitask", "danil", "canet"])
def test_several_tasks_give_one_predictions_table_each(tiny, tmp_path, name):
    source = write_fake("idrid", tmp_path / "idrid")
    recipe = tiny(f"data.source='{source}'", f"objective.name={name}", "train.epochs=1", "train.batch_size=4")
    folder = train_run(recipe, tmp_path / "run", quiet=True)
    tables = sorted(path.name for path in folder.path.glob("predictions*.csv"))
    assert len(tables) == 2
    assert "predictions.csv" in tables


def test_multitask_needs_several_tasks(tiny, tmp_path):
    with pytest.raises(RecipeError, match=r"one task.*tasks=dx,localization"):
        train_run(tiny("objective.name=multitask"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_danil_refuses_label_smoothing(tiny, tmp_path):
    with pytest.raises(RecipeError, match="label_smoothing"):
        tiny("objective.label_smoothing=0.1")


def test_views_are_fused_into_probabilities(tiny, tmp_path):
    folder = train_run(tiny("data.views=8", "train.epochs=1"), tmp_path / "run", quiet=True)
    fitted = open_run(folder.path)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    straight, turned = fitted.predict(image), fitted.predict(np.rot90(image).copy())
    columns = [column for column in straight if column.startswith("probability_")]
    np.testing.assert_allclose(straight[columns], turned[columns], atol=1e-6)


def test_an_unknown_layer_offers_the_nearest_before_anything_is_written(tiny, tmp_path):
    with pytest.raises(LayerError, match=r"`layer` is 'backbone.layer9'.*Near it: backbone.layer"):
        train_run(tiny("objective.layer=backbone.layer9"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_layer_and_measuring_reach_the_objective(tiny, tmp_path):
    log = {}
    for layer in ("none", "backbone.layer2"):
        settings = (f"objective.layer={layer}", "train.measure_every=1", "train.epochs=1")
        log[layer] = pd.read_csv(train_run(tiny(*settings), tmp_path / layer, quiet=True).log).iloc[0]
        assert log[layer]["gradient_ratio"] > 0
    assert log["none"]["distance_median"] != log["backbone.layer2"]["distance_median"]


def test_a_detached_run_has_the_weights_of_a_base_run_to_the_last_bit(tiny, tmp_path):
    settings = ("objective.name=base",), ("objective.name=danil", "objective.detach=true", "objective.weight=1.0")
    runs = [train_run(tiny(*each, "train.epochs=1"), tmp_path / each[-1], quiet=True) for each in settings]
    base, detached = (outcome(run)[0] for run in runs)
    assert all(torch.equal(base[name], detached[name]) for name in base)
    attached = train_run(
        tiny("objective.name=danil", "objective.weight=1.0", "train.epochs=1"), tmp_path / "a", quiet=True
    )
    assert not all(torch.equal(base[name], weights) for name, weights in outcome(attached)[0].items())
