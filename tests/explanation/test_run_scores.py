import numpy as np
import pandas as pd
import pytest
import torch

from danil.explanation import score_intervals
from danil.explanation.run_scores import seen_mask
from danil.runs import open_run


def test_a_mask_moves_with_the_image(synthetic_run):
    fitted = open_run(synthetic_run.path)
    mask = np.zeros((96, 120), dtype=bool)
    mask[10:20, 12 + 40 : 12 + 60] = True
    seen = seen_mask(fitted, mask)
    expected = torch.zeros(48, 48, dtype=torch.bool)
    expected[5:10, 20:30] = True
    assert torch.equal(seen, expected)


def test_the_interval_of_a_mean_is_the_normal_one_for_many_images():
    values = np.random.default_rng(0).normal(3, 2, 2000)
    found = score_intervals(pd.DataFrame({"name": "x", "score": values})).loc["score"]
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert found["images"] == 2000


def test_groups_are_drawn_whole():
    values = pd.DataFrame({"score": np.random.default_rng(0).normal(size=200).repeat(10)})
    alone = score_intervals(values).loc["score"]
    together = score_intervals(values, [str(place // 10) for place in range(2000)]).loc["score"]
    ratio = (together["high"] - together["low"]) / (alone["high"] - alone["low"])
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)
    assert together["mean"] == pytest.approx(alone["mean"], rel=1e-9)


def test_missing_scores_are_left_out_and_a_column_of_them_has_no_interval():
    found = score_intervals(pd.DataFrame({"some": [1.0, np.nan, 3.0], "none": [np.nan] * 3}))
    assert found.loc["some", "mean"] == 2
    assert found.loc["some", "images"] == 2
    assert found.loc["some", "low"] == 1
    assert np.isnan(found.loc["none", "low"])
    assert np.isnan(score_intervals(pd.DataFrame({"a": [1.0, 2.0]}), ["x", "x"]).loc["a", "low"])
    with pytest.raises(ValueError, match="one group for each row"):
        score_intervals(pd.DataFrame({"a": [1.0]}), ["x", "y"])
