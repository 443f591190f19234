import numpy as np
import pandas as pd
import pytest

from danil.explanation import write_faithfulness
from danil.explanation.score_files import area_intervals, faithfulness_figure, faithfulness_text


def test_areas_are_compared_with_the_random_ranking_of_the_same_image():
    table = pd.DataFrame(
        {
            "path": ["x", "y", "y", "x"],
            "group": ["x", "y", "y", "x"],
            "map": ["truth", "truth", "random", "random"],
            "deletion": [0.2, 0.4, 0.5, 0.4],
            "insertion": [0.9, 0.7, 0.6, 0.5],
        }
    )
    found = area_intervals(table).set_index(["map", "curve"])
    assert found.loc[("truth", "deletion"), "mean"] == pytest.approx(0.3)
    assert found.loc[("truth", "deletion"), "difference_mean"] == pytest.approx(-0.15)
    assert found.loc[("truth", "insertion"), "difference_low"] == pytest.approx(0.1)
    assert found.loc[("truth", "insertion"), "difference_high"] == pytest.approx(0.4)
    assert found.loc[("random", "insertion"), "difference_mean"] == 0


def test_the_text_says_what_the_tables_call_the_response_maps():
    areas = pd.DataFrame([{"map": name, "curve": "deletion", "mean": 0.5} for name in ("truth", "grad_cam", "random")])
    for side in ("low", "high", "difference_mean", "difference_low", "difference_high"):
        areas[side] = 0.1
    assert faithfulness_text(areas).splitlines()[-1] == "(in the tables: truth = |A⁺|)"


def test_the_figure_draws_the_mean_curve_of_each_map():
    fractions = np.array([0.0, 0.5, 1.0])
    curves = {"truth": {"deletion": np.array([[1, 0.5, 0.0], [0.8, 0.1, 0.0]]), "insertion": np.ones((2, 3))}}
    figure = faithfulness_figure(fractions, curves)
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [0.9, 0.3, 0.0])
    assert line.get_label() == "|A⁺| (0.375)"
    assert "2 images" in figure.axes[0].get_ylabel()


def test_every_map_of_an_image_is_scored_and_so_is_chance(photograph_run, tmp_path):
    written = []
    for folder in (tmp_path / "first", tmp_path / "again"):
        areas, files = write_faithfulness(photograph_run.path, methods=("grad_cam",), limit=4, steps=3, out=folder)
        assert sorted(path.name for path in files) == ["faithfulness.csv", "faithfulness.png"]
        written.append((folder / "faithfulness.csv").read_bytes())
    assert written[0] == written[1]
    scores = pd.read_csv(files[0])
    assert scores.groupby("map").size().to_dict() == {"difference": 4, "grad_cam": 4, "random": 4, "truth": 4}
    assert scores[["deletion", "insertion"]].to_numpy().min() > 0
    assert scores[["deletion", "insertion"]].to_numpy().max() < 1
    mean = scores[scores["map"] == "truth"]["deletion"].mean()
    assert areas.set_index(["map", "curve"]).loc[("truth", "deletion"), "mean"] == pytest.approx(mean)
    assert len(areas) == 8
    with pytest.raises(ValueError, match="`methods` holds `lime`"):
        write_faithfulness(photograph_run.path, methods=("lime",), out=tmp_path)
