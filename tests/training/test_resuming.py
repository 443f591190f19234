"""Runs that are stopped, damaged and resumed, in one process; `benchmarks/faults.py` does worse to real ones."""

import gc
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from danil.runs import CheckpointError, RunError, read_checkpoint
from danil.runs.checkpoint import previous
from danil.runs.lock import only_writer
from danil.training import Interrupted, TrainingError, loop, train_run
from danil.training.log import Log
from danil.training.saving import Saver
from training.conftest import assert_bit_equal, outcome
from training.test_training import stop_at

pytestmark = pytest.mark.slow


def test_a_loss_that_is_not_finite_leaves_the_last_sound_save(tiny, tmp_path):
    with pytest.raises(TrainingError) as caught:
        train_run(tiny("train.lr=1e30", "train.save_every=1"), tmp_path / "run", quiet=True)
    assert "--overwrite" in str(caught.value)
    assert "--resume" not in caught.value.__notes__[0]
    for file in tmp_path.rglob("*.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in read_checkpoint(file).state["model"].values())


def test_weights_that_are_not_finite_do_not_become_the_best(tiny, tmp_path):
    settings = ("train.select=best", "split.validation=0.2", "train.batch_size=30", "train.lr=3e38")
    settings += ("train.weight_decay=1e6", "train.recompute_statistics=0", "objective.name=base")
    with pytest.raises(TrainingError, match=r"is not finite after step 1 \(epoch 1\); it is not saved"):
        train_run(tiny(*settings), tmp_path / "run", quiet=True)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_error_says_where_the_run_stands_and_how_to_go_on(tiny, tmp_path, monkeypatch):
    def broken(*_):
        raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "epoch_row", broken)
        with pytest.raises(MemoryError) as caught:
            train_run(tiny("train.save_every=2"), tmp_path / "run", quiet=True)
    (note,) = caught.value.__notes__
    for words in ("stopped after step 5 (epoch 1)", "step 4 is saved", "no epoch is in the log yet", "--resume"):
        assert words in note


@pytest.mark.parametrize("call", [0, 1], ids=["statistics", "validation"])
def test_a_signal_during_an_evaluation_is_heeded_and_nothing_changes(tiny, tmp_path, monkeypatch, call):
    recipe = tiny("split.validation=0.2", "train.select=best", "train.ema=0.9", "train.recompute_statistics=16")
    whole = train_run(recipe, tmp_path / "whole", quiet=True)
    heeding, calls = loop.heeding, []

    def signalled(*arguments):
        calls.append(arguments)
        if len(calls) == call + 1:
            signal.raise_signal(signal.SIGTERM)
        return heeding(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "heeding", signalled)
        with pytest.raises(Interrupted) as caught:
            train_run(recipe, tmp_path / "broken", quiet=True)
    assert "step 3 is saved" in caught.value.__notes__[0]
    assert_bit_equal(whole, train_run(recipe, tmp_path / "broken", resume=True, quiet=True))


def test_a_signal_after_the_last_step_stops_before_the_predictions(tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Log, "add", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted):
            train_run(tiny("train.epochs=1"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "predictions.csv").exists()


def test_a_run_stopped_at_its_last_step_does_no_further_one(tiny, tmp_path, monkeypatch):
    recipe = tiny("train.max_steps=3")
    whole = train_run(recipe, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Interrupted):
            train_run(recipe, tmp_path / "broken", quiet=True)
    assert_bit_equal(whole, train_run(recipe, tmp_path / "broken", resume=True, quiet=True))


def test_a_wild_clock_changes_nothing(tiny, trained, tmp_path, monkeypatch):
    draw = random.Random(0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + draw.uniform(-1e8, 1e8))
    assert_bit_equal(trained, train_run(tiny(), tmp_path / "wild", quiet=True))


def test_a_damaged_last_save_is_replaced_by_the_one_before(tiny, trained):
    last = trained.checkpoint("last")
    before = outcome(trained)
    last.write_bytes(last.read_bytes()[:-5])
    earlier = read_checkpoint(previous(last)).state["position"]["steps"]
    with pytest.warns(UserWarning, match=r"last\.safetensors` is damaged"):
        train_run(tiny(), trained.path, resume=True, quiet=True)
    for one, other in zip(before[0].values(), outcome(trained)[0].values(), strict=True):
        assert torch.equal(one, other)
    assert read_checkpoint(previous(last)).state["position"]["steps"] == earlier


def test_settings_without_effect_on_the_result_may_change_when_resumed(tiny, trained):
    before = outcome(trained)[1]
    train_run(tiny("data.cache=none", "train.save_every=7"), trained.path, resume=True, quiet=True)
    assert outcome(trained)[1] == before


def test_going_on_with_other_libraries_or_threads_is_told(tiny, trained):
    record = json.loads(trained.environment.read_text())
    record["versions"]["torch"], record["threads"] = "1.0", 64
    trained.environment.write_text(json.dumps(record))
    with pytest.warns(UserWarning, match=r"started elsewhere \(torch 1\.0 → .*threads 64 → 1"):
        train_run(tiny(), trained.path, resume=True, quiet=True)


@pytest.mark.parametrize("missing", ["data.json", "manifest.csv"])
def test_a_run_whose_making_was_cut_short_is_made_anew(tiny, trained, tmp_path, missing):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.toml").write_bytes(trained.recipe.read_bytes())
    (folder / ".manifest.csv.0123abcd.part").touch()
    if missing == "manifest.csv":
        (folder / "recipe.toml").unlink()
    made = train_run(tiny(), folder, resume=True, quiet=True)
    assert_bit_equal(trained, made)
    assert not list(folder.rglob("*.part"))


def test_two_processes_do_not_write_into_one_run(tiny, trained, monkeypatch):
    from danil.runs import lock

    def held(*_):
        raise BlockingIOError

    before = outcome(trained)[1]
    monkeypatch.setattr(lock.fcntl, "lockf", held)
    for how in ("resume", "overwrite"):
        with pytest.raises(RunError, match="another process is writing"):
            train_run(tiny(), trained.path, quiet=True, **{how: True})
    assert outcome(trained)[1] == before


HOLDING = """
import sys
from pathlib import Path
from danil.runs.lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_that_another_process_holds_is_respected_until_that_process_ends(tmp_path):
    words = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process is writing"), only_writer(tmp_path):
            pytest.fail("two writers")
        child.kill()
    with only_writer(tmp_path):
        pass


def test_weights_without_the_state_of_a_training_are_refused_in_words(tiny, tmp_path):
    recipe = tiny("train.select=best", "split.validation=0.2", "train.epochs=1")
    folder = train_run(recipe, tmp_path / "run", quiet=True)
    folder.checkpoint("best").replace(folder.checkpoint("last"))
    with pytest.raises(CheckpointError, match=r"last\.safetensors` is sound, but .*`objective`.*--overwrite"):
        train_run(recipe, folder.path, resume=True, quiet=True)


def test_no_tensor_and_hardly_an_object_is_kept_from_step_to_step(tiny, tmp_path, monkeypatch):
    counted = {}
    after_step = Saver.after_step

    def counting(self, training):
        if training.position.steps in (12, 37):  # the second step of an epoch, both times
            gc.collect()
            objects = gc.get_objects()
            counted[training.position.steps] = len(objects), sum(issubclass(type(one), torch.Tensor) for one in objects)
        after_step(self, training)

    monkeypatch.setattr(Saver, "after_step", counting)
    recipe = tiny("objective.name=danil", "objective.strength=0.1", "train.ema=0.9", "train.epochs=8")
    train_run(recipe, tmp_path / "run", quiet=True)
    (early, tensors), (late, same_tensors) = counted[12], counted[37]
    assert same_tensors == tensors
    assert late < early * 1.002


def test_real_runs_killed_at_random_moments_lose_nothing(tmp_path):
    script, record = Path(__file__).parents[2] / "benchmarks" / "faults.py", tmp_path / "faults.json"
    words = ["--only", "kill", "--times", "3", "--out", str(record), "--no-document"]
    answer = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert [one["survived"] for one in json.loads(record.read_text())["faults"]["kill"]] == [True, True, True]
