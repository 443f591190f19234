import math

import numpy as np
import pandas as pd
import pytest

from danil.data.outputs import OutputError
from danil.explanation import write_faithfulness
from danil.explanation.attributions import AttributionError
from danil.explanation.run_scores import measured_curves
from danil.explanation.score_files import area_intervals, faithfulness_figure, faithfulness_text, spanned
from explanation.conftest import untrained_run


def test_areas_are_compared_with_the_moved_map_on_the_same_image():
    table = pd.DataFrame(
        {
            "path": ["x", "y"],
            "group": ["x", "y"],
            "map": ["truth", "truth"],
            "deletion": [0.2, 0.4],
            "insertion": [0.9, 0.7],
            "deletion_moved": [0.4, 0.5],
            "insertion_moved": [0.5, 0.6],
        }
    )
    found = area_intervals(table).set_index(["map", "curve"])
    assert found.loc[("truth", "deletion"), "mean"] == pytest.approx(0.3)
    assert found.loc[("truth", "deletion"), "difference_mean"] == pytest.approx(-0.15)
    assert found.loc[("truth", "insertion"), "difference_low"] == pytest.approx(0.1)
    assert found.loc[("truth", "insertion"), "difference_high"] == pytest.approx(0.4)


def test_a_map_without_information_is_no_better_than_itself_moved(tmp_path):
    folder = untrained_run(tmp_path / "run", "synthetic:dermoscopy?images=80&size=32", 32)
    rows: list[pd.DataFrame] = []
    for part, name, found, other in measured_curves(folder.path, (), None, None, 20):
        if name == "random":
            rows.append(pd.DataFrame({"path": part.table["path"], "group": part.table["group"], "map": name}))
            for side in ("deletion", "insertion"):
                rows[-1][side] = getattr(found, f"{side}_area").numpy()
                rows[-1][f"{side}_moved"] = getattr(other, f"{side}_area").numpy()
    table = pd.concat(rows, ignore_index=True)
    for side in ("deletion", "insertion"):
        change = table[side] - table[f"{side}_moved"]
        assert abs(change.mean()) < 4 * change.std() / len(change) ** 0.5


def test_a_score_without_an_interval_is_its_mean_alone():
    assert spanned({"mean": 0.5, "low": None, "high": None}) == "0.500"
    assert spanned({"mean": 0.5, "low": math.nan, "high": math.nan}, "+") == "+0.500"
    assert spanned({"mean": None, "low": None, "high": None}) == "–"


def test_a_file_that_danil_did_not_write_stops_the_scores_before_they_are_computed(photograph_run, tmp_path):
    (tmp_path / "faithfulness.csv").write_text("years of work")
    with pytest.raises(OutputError, match=r"faithfulness\.csv"):
        write_faithfulness(photograph_run.path, out=tmp_path)
    with pytest.raises(AttributionError, match="`kind` holds `gif`"):
        write_faithfulness(photograph_run.path, out=tmp_path / "new", kind="gif")
    assert not (tmp_path / "new").exists()


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
