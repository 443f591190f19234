import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.conftest import scores
from danil.benchmark import cells_of, estimated_hours, read_records, read_suite, run_cells
from danil.benchmark.execution import is_finished
from danil.benchmark.progress import cell_list, closing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The tiny suite, run once: its cells, the folder of records, and the folder of runs."""
    from benchmark.conftest import SUITE

    folder = tmp_path_factory.mktemp("suite")
    (folder / "tiny.toml").write_text(SUITE)
    cells = cells_of(read_suite(folder / "tiny.toml"))
    outcomes = run_cells(cells, results=folder / "results", work=folder / "work", workers=2)
    assert [one.status for one in outcomes] == ["finished", "finished"], outcomes
    return cells, folder / "results", folder / "work"


def test_a_finished_cell_is_skipped_and_a_deleted_record_comes_back_the_same(finished, tmp_path):
    cells, results, _ = finished
    path = cells[0].record_path(results)
    before = scores(path)
    path.unlink()
    outcomes = run_cells(cells, results=results, work=tmp_path, workers=1)
    assert [one.status for one in outcomes] == ["finished", "skipped"]
    assert scores(path) == before
    assert closing(outcomes) == ("1 finished, 1 skipped", 0)


def test_a_record_is_small_and_tells_what_it_was_made_of(finished):
    cells, results, _ = finished
    path = cells[0].record_path(results)
    content = json.loads(path.read_text())
    assert path.stat().st_size < 8000
    assert content["digest"] == cells[0].digest
    assert content["recipe"]["train"]["lr"] == 0.05
    assert len(content["log"]["loss"]) == 2
    assert len(content["predictions"]) == len(content["labels"]) == content["parts"]["test"]


def test_hours_are_estimated_from_records_and_finished_cells_cost_nothing(finished):
    cells, results, _ = finished
    hours, source = estimated_hours(cells[0], read_records(results))
    seconds = [record.cpu_seconds for record in read_records(results)]
    assert min(seconds) <= hours * 3600 <= max(seconds)
    assert "this backbone and method" in source
    assert "0 of 2 cells to train" in cell_list(cells, results)


def test_hours_of_a_new_method_are_estimated_from_records_of_its_objective(finished):
    cells, results, _ = finished
    cell = replace(cells[0], method=("base_again", "Base again"))
    assert "this backbone and objective" in estimated_hours(cell, read_records(results))[1]
    objective = cell.recipe.objective.model_copy(update={"name": "danil"})
    cell = replace(cell, recipe=cell.recipe.model_copy(update={"objective": objective}))
    assert "this backbone, other methods" in estimated_hours(cell, read_records(results))[1]


def test_a_record_of_other_code_is_finished_only_where_that_is_allowed(finished, tmp_path):
    cells, results, _ = finished
    path = cells[0].record_path(tmp_path)
    content = json.loads(cells[0].record_path(results).read_text())
    path.parent.mkdir(parents=True)
    other = type(cells[0])(**{**vars(cells[0]), "code": "old"})
    path.write_text(json.dumps({**content, "code": "old", "digest": other.digest}))
    assert not is_finished(cells[0], tmp_path)
    assert is_finished(cells[0], tmp_path, any_code=True)


def test_a_cell_planned_with_other_code_fails_and_leaves_no_record(finished, tmp_path):
    cell = replace(finished[0][0], code="of this morning")
    (outcome,) = run_cells([cell], results=tmp_path / "results", work=tmp_path / "work")
    assert outcome.status == "failed"
    assert "the code changed since the suite was planned" in outcome.reason
    assert not cell.record_path(tmp_path / "results").exists()


def test_a_failed_cell_is_told_at_the_end_and_the_others_finish(suite_file, tmp_path):
    text = suite_file.read_text().replace("seeds = [0, 1]", "seeds = [0]")
    suite_file.write_text(text + '\n[[methods]]\nname = "wrong"\nsettings = ["train.accelerator=nothing"]\n')
    outcomes = run_cells(cells_of(read_suite(suite_file)), results=tmp_path / "r", work=tmp_path / "w", workers=2)
    assert [one.status for one in outcomes] == ["finished", "failed"]
    text, code = closing(outcomes)
    assert code == 1
    assert "dermoscopy-test_resnet-wrong-0 failed: `train.accelerator` is `nothing`" in text


def test_a_suite_killed_and_started_again_ends_with_the_same_records(finished, suite_file, tmp_path):
    cells, results, _ = finished
    command = [sys.executable, "-m", "danil.cli.main", "benchmark", str(suite_file), "--results", "r", "--work", "w"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    run = tmp_path / "w" / cells[0].digest / "run" / "log.csv"
    while not run.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not cells[0].record_path(tmp_path / "r").exists()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    for cell in cells:
        assert scores(cell.record_path(tmp_path / "r"))[1] == scores(cell.record_path(results))[1]
