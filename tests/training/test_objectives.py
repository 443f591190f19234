"""Every objective a recipe can name trains, and what does not fit is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from danil.data.fake import write_fake
from danil.objectives import LayerError
from danil.runs import RecipeError, open_run
from danil.training import train_run
from training.conftest import outcome


@pytest.mark.parametrize("name", ["base", "danil", "ohem", "batch_selection", "canet_single"])
def test_every_single_task_objective_trains_and_predicts(tiny, tmp_path, name):
    folder = train_run(tiny(f"objective.name={name}", "train.epochs=1"), tmp_path / name, quiet=True)
    assert pd.read_csv(folder.log)["loss"].notna().all()
    maps = open_run(folder.path).response_maps(np.full((40, 40, 3), 128, dtype=np.uint8))
    assert maps.truth.shape == (1, 3, 32, 32)


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
        train_run(tiny("objective.label_smoothing=0.1"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


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
