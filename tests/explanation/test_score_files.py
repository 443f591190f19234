import numpy as np
import pandas as pd
import pytest

from danil.explanation import faithfulness_run, write_faithfulness
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


def test_the_written_table_is_that_of_faithfulness_run(photograph_run, tmp_path):
    areas, files = write_faithfulness(photograph_run.path, methods=("grad_cam",), limit=3, steps=2, out=tmp_path)
    assert sorted(path.name for path in files) == ["faithfulness.csv", "faithfulness.png"]
    expected = faithfulness_run(photograph_run.path, methods=("grad_cam",), limit=3, steps=2)
    written = pd.read_csv(tmp_path / "faithfulness.csv")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
    assert len(areas) == 8
