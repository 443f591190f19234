import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from benchmark.conftest import scores
from danil.benchmark import cells_of, estimated_hours, process, read_records, read_suite, run_cells
from danil.benchmark.execution import is_finished
from danil.benchmark.progress import cell_list, closing
from danil.cli.benchmark import benchmark

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


def test_a_trial_names_what_would_fail_and_keeps_no_record(suite_file, tmp_path, capsys):
    results, work = tmp_path / "results", tmp_path / "work"
    mine = work / "trial" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.touch()
    good = suite_file.read_text()
    suite_file.write_text(good + '\n[[methods]]\nname = "wrong"\nsettings = ["objective.name=multitask"]\n')
    with pytest.raises(typer.Exit) as stop:
        benchmark(suite_file, results, work, trial=True)
    assert stop.value.exit_code == 1
    told = capsys.readouterr().err
    assert "dermoscopy-test_resnet-base-0: finished" in told
    assert "dermoscopy-test_resnet-wrong-0 failed: the objective is `multitask`" in told
    suite_file.write_text(good)
    with pytest.raises(typer.Exit) as stop:
        benchmark(suite_file, results, work, trial=True)
    assert stop.value.exit_code == 0
    assert not list(results.rglob("*.json"))
    assert [path for path in work.rglob("*") if path.is_file()] == [mine]


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


def test_a_cell_of_two_processes_trains(suite_file, tmp_path):
    settings = 'settings = ["train.devices=2", "train.accelerator=cpu", "data.size=32"'
    suite_file.write_text(suite_file.read_text().replace('settings = ["data.size=32"', settings))
    cells = cells_of(read_suite(suite_file))[:1]
    (outcome,) = run_cells(cells, results=tmp_path / "r", work=tmp_path / "w")
    assert outcome.status == "finished", outcome.reason
    assert cells[0].record_path(tmp_path / "r").is_file()


def test_a_cell_trained_again_in_its_folder_counts_from_0_and_says_what_it_ran_on(finished, tmp_path):
    cells, _, _ = finished
    options = {"results": tmp_path / "r", "work": tmp_path / "w"}
    path, folder = cells[0].record_path(tmp_path / "r"), tmp_path / "w" / cells[0].digest
    run_cells(cells[:1], **options)
    environment = folder / "run" / "environment.json"
    environment.write_text(environment.read_text().replace('"torch": "', '"torch": "of last year '))
    (folder / "spent.json").write_text("[1e6, 1e6]")
    path.unlink()
    assert [one.status for one in run_cells(cells[:1], **options)] == ["finished"]
    again = json.loads(path.read_text())
    assert "last year" not in again["versions"]["torch"]
    assert again["cpu_seconds"] < 1e6


def test_a_record_that_could_not_be_written_is_told_and_costs_no_training(finished, tmp_path, monkeypatch):
    cells, _, _ = finished
    options = {"results": tmp_path / "r", "work": tmp_path / "w", "workers": 2}
    (tmp_path / "r" / cells[0].suite).mkdir(parents=True)
    cells[0].record_path(tmp_path / "r").mkdir()
    outcomes = run_cells(cells, **options)
    assert [one.status for one in outcomes] == ["failed", "finished"]
    assert cells[0].record_path(tmp_path / "r").name in outcomes[0].reason
    cells[0].record_path(tmp_path / "r").rmdir()
    log = tmp_path / "w" / cells[0].digest / "run" / "log.csv"
    before = log.stat().st_mtime_ns
    assert [one.status for one in run_cells(cells, **options)] == ["finished", "skipped"]
    assert log.stat().st_mtime_ns == before


def test_cells_of_one_name_in_two_suites_have_outcomes_of_their_own(finished, tmp_path):
    cells, results, _ = finished
    other = replace(cells[0], suite="other", code="of this morning")
    outcomes = run_cells([cells[0], other], results=results, work=tmp_path)
    assert [(one.cell.suite, one.status) for one in outcomes] == [("tiny", "skipped"), ("other", "failed")]


def test_a_cell_whose_starter_is_gone_before_it_looks_stops(finished, tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "cell.json").write_text(json.dumps(finished[0][0].description()))
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    command = [sys.executable, "-m", "danil.benchmark.process", str(folder), gone.stdout.decode().strip()]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    assert subprocess.run(command, env=environment, capture_output=True).returncode in (143, -signal.SIGTERM)
    assert not (folder / "record.json").exists()


def test_a_further_process_of_a_cell_leaves_its_folder_alone(finished, tmp_path, monkeypatch):
    (tmp_path / "cell.json").write_text(json.dumps(finished[0][0].description()))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").touch()
    (tmp_path / "spent.json").write_text("[1, 2]")
    monkeypatch.setattr(process, "train_run", lambda *_, **__: None)
    process.run_cell(tmp_path, first=False)
    assert (tmp_path / "run" / "recipe.toml").exists()
    assert (tmp_path / "spent.json").read_text() == "[1, 2]"
