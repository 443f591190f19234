"""A run folder of a stranger: whatever stands in its files, one message says which is damaged."""

import json

import pytest

from danil.evaluation import EvaluationError, evaluate_run
from danil.report import write_run_report
from danil.runs import RecipeError, RunError, RunFolder, read_recipe
from danil.runs.calibration import read_calibration
from danil.statistics.predictions import PredictionsError

ODD = {
    "nothing": b"",
    "no text": b"\0\xff",
    "a list": b"[]",
    "no columns": b"{}",
    "a depth": b"[" * 20_000,
    "digits": b"9" * 5000,
    "other columns": b"a,a\n1,2\n",
}
TEST = "path,label,group,probability_a,probability_b\n1,a,1,0.8,0.2\n2,b,2,0.4,0.6\n"


@pytest.fixture
def run(tmp_path):
    record = {"tasks": {"label": ["a", "b"]}, "source": "folder:x", "root": None, "digest": "0"}
    (tmp_path / "data.json").write_text(json.dumps(record))
    (tmp_path / "manifest.csv").write_text("path,label,group,split\n1,a,1,test\n2,b,2,test\n3,a,3,train\n")
    (tmp_path / "predictions.csv").write_text(TEST)
    (tmp_path / "recipe.toml").write_text(read_recipe("paper").toml())
    return tmp_path


@pytest.mark.parametrize("name", ["data.json", "manifest.csv", "predictions.csv"])
@pytest.mark.parametrize("kind", ODD)
def test_evaluation_names_the_damaged_file(run, name, kind):
    (run / name).write_bytes(ODD[kind])
    with pytest.raises((RunError, EvaluationError, PredictionsError), match=name.replace(".", r"\.")):
        evaluate_run(run)


@pytest.mark.parametrize("name", ["data.json", "manifest.csv", "predictions.csv", "metrics.json", "recipe.toml"])
@pytest.mark.parametrize("kind", ODD)
def test_a_report_names_the_damaged_file(run, name, kind):
    if (name, kind) == ("recipe.toml", "nothing"):
        pytest.skip("an empty recipe is the standard one")
    (run / name).write_bytes(ODD[kind])
    with pytest.raises((RunError, RecipeError, PredictionsError), match=name.replace(".", r"\.")):
        write_run_report(run)


@pytest.mark.parametrize("kind", ODD)
def test_a_damaged_calibration_is_named_and_a_damaged_environment_is_none(run, kind):
    for name in ("calibration.json", "environment.json"):
        (run / name).write_bytes(ODD[kind])
    with pytest.raises(RunError, match=r"calibration\.json` is damaged"):
        read_calibration(run)
    assert RunFolder(run).read_environment() == {}


@pytest.mark.parametrize("record", ["{}", '{"tasks": {}}', '{"tasks": {"label": [1]}}', '{"tasks": [], "digest": 1}'])
def test_a_record_without_what_runs_write_is_damaged(run, record):
    (run / "data.json").write_text(record)
    with pytest.raises(RunError, match=r"data\.json"):
        RunFolder(run).record()
