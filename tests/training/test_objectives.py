"""Every objective a recipe can name trains, and what does not fit is refused."""

import numpy as np
import pandas as pd
import pytest

from danil.data.fake import write_fake
from danil.runs import RecipeError, open_run
from danil.training import train_run


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
