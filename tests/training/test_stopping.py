"""What stops a run in the middle: what it says, what it leaves, and that resuming loses nothing."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from danil.data.fake import write_fake
from danil.data.files import UnreadableImages
from danil.objectives import Terms
from danil.runs import RunFolder
from danil.training import Interrupted, TrainingError, loop, run, train_run
from danil.training.failures import standing
from danil.training.interruption import stop_requests
from danil.training.log import Log
from danil.training.state import Position
from training.conftest import assert_bit_equal


@contextmanager
def full_disk(size=50):
    """Let no file grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def full_while(patch, owner, name):
    """Let the disk be full while this function runs."""
    original = getattr(owner, name)

    def hindered(*arguments):
        with full_disk():
            return original(*arguments)

    patch.setattr(owner, name, hindered)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "file", "logged"),
    [
        (Log, "add", "log.csv", "no epoch is in the log yet"),
        (run, "write_predictions", "predictions.csv", "ends with epoch 2"),
    ],
    ids=["log", "predictions"],
)
def test_a_full_disk_names_the_file_and_costs_nothing(tiny, trained, tmp_path, monkeypatch, owner, name, file, logged):
    with monkeypatch.context() as patch:
        full_while(patch, owner, name)
        with pytest.raises(OSError, match="could not write") as caught:
            train_run(tiny(), tmp_path / "run", quiet=True)
    assert caught.value.filename == str(tmp_path / "run" / file)
    assert logged in caught.value.__notes__[0]
    assert "--resume" in caught.value.__notes__[0]
    assert not (tmp_path / "run" / file).exists()
    assert not list((tmp_path / "run").rglob("*.part"))
    assert_bit_equal(trained, train_run(tiny(), tmp_path / "run", resume=True, quiet=True))


def test_a_row_that_cannot_be_written_is_not_said_to_be_in_the_log(tmp_path, monkeypatch):
    kept = Log(tmp_path / "log.csv", [])
    full_while(monkeypatch, Log, "add")
    with pytest.raises(OSError, match="could not write"):
        kept.add({"epoch": 1, "loss": 0.123456789, "cross_entropy": 0.123456789, "share_wrong": 0.5})
    assert kept.rows == []


def test_a_run_that_stops_after_its_last_epoch_stands_in_that_epoch(tmp_path):
    done = SimpleNamespace(position=Position(epoch=1, steps=5), rows=[{"epoch": 1}], saved=5)
    assert "after step 5 (epoch 1); step 5 is saved" in standing(RunFolder(tmp_path), done, epochs=1)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["vanishes", "changes"])
def test_an_image_lost_in_training_is_named_and_put_back_costs_nothing(tiny, tmp_path, monkeypatch, way):
    data = write_fake("folder", tmp_path / "data", images=16)
    recipe = tiny(f"data.source='folder:{data}'", "data.cache=none", "data.workers=1", "train.batch_size=4")
    whole = train_run(recipe, tmp_path / "whole", quiet=True)
    table = pd.read_csv(whole.manifest)
    file = data / table["path"][table["split"] == "train"].iloc[0]
    content, times, add = file.read_bytes(), file.stat(), Log.add

    def losing(self, row):
        add(self, row)
        file.unlink() if way == "vanishes" else file.write_bytes(content[:-9])

    with monkeypatch.context() as patch:
        patch.setattr(Log, "add", losing)
        with pytest.raises(UnreadableImages, match=rf"{file.name}` has ") as caught:
            train_run(recipe, tmp_path / "run", quiet=True)
    assert f"`{tmp_path / 'run' / 'log.csv'}` ends with epoch 1" in caught.value.__notes__[0]
    assert len(pd.read_csv(tmp_path / "run" / "log.csv")) == 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert_bit_equal(whole, train_run(recipe, tmp_path / "run", resume=True, quiet=True))


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_at_once_and_says_where_the_run_stands(tiny, trained, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "epoch_row", lambda *_: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
        with pytest.raises(Interrupted) as caught:
            train_run(tiny("train.save_every=2"), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 130
    for words in ("stopped after step 5", "step 4 is saved", "no epoch is in the log yet", "--resume"):
        assert words in caught.value.__notes__[0]
    assert_bit_equal(trained, train_run(tiny("train.save_every=2"), tmp_path / "run", resume=True, quiet=True))


def test_a_signal_handled_outside_of_python_is_left_to_its_handler(monkeypatch):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    getsignal = signal.getsignal
    monkeypatch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGTERM else getsignal(number))
    with stop_requests() as requests:
        signal.raise_signal(signal.SIGINT)
        assert getsignal(signal.SIGTERM) == before[1]
    assert requests.number == signal.SIGINT
    assert (getsignal(signal.SIGINT), getsignal(signal.SIGTERM)) == before


LOST_TERMINAL = """
import fcntl, signal, sys, termios
from danil.training.interruption import stop_requests
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under `nohup`
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
with stop_requests() as requests:
    print("ready", flush=True)
    while requests.number is None:
        signal.sigtimedwait([], 0.05)
    print("saved", flush=True)  # would fail: the terminal is gone
sys.exit(128 + requests.number)
"""


def test_a_lost_terminal_asks_to_stop_and_takes_what_is_printed_to_it():
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", LOST_TERMINAL], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    said = b""
    while not said.endswith(b"\n"):  # a terminal lost in the middle of a line would fail that line
        said += os.read(ours, 100)
    os.close(ours)
    assert child.wait(120) == 128 + signal.SIGHUP


def test_a_hangup_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what `nohup` does
    try:
        with stop_requests() as requests:
            signal.raise_signal(signal.SIGHUP)
        assert requests.number is None
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("loss", "words"), [(0.5, "another process is not finite at step 7"), (float("nan"), "a.png")])
def test_a_loss_that_is_not_finite_in_one_process_stops_all(loss, words):
    held = SimpleNamespace(
        saver=SimpleNamespace(agreed=lambda *_: [1]),
        images=SimpleNamespace(manifest=SimpleNamespace(table=pd.DataFrame({"path": ["a.png"]}))),
    )
    terms = Terms(torch.tensor(loss), torch.zeros(1, 2), {"loss": torch.tensor(loss)})
    with pytest.raises(TrainingError, match=words):
        loop.check(terms, SimpleNamespace(position=SimpleNamespace(steps=7, epoch=0)), held, torch.tensor([0]))
