"""Training in several processes, as a user starts it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from danil.runs import RunFolder, read_checkpoint
from training.conftest import TINY, assert_bit_equal


def command(out: Path, *settings: str) -> list[str]:
    """Return the command of a tiny run."""
    words = [word for setting in (*TINY[1:], *settings) for word in ("--set", setting)]
    source = "synthetic:dermoscopy?images=60&size=32"
    return [sys.executable, "-m", "danil.cli.main", "train", source, "--recipe", "paper", *words, "--out", str(out)]


def run(words: list[str]) -> None:
    """Run to the end, within a time that only a hang exceeds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(words, check=True, timeout=300, env=environment, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("base", ["base", "batch_selection"])
def test_two_processes_train_as_one_does_on_the_whole_batch(tmp_path, base):
    settings = ("model.backbone=test_vit", "objective.name=danil", "objective.weight=0.01", "data.size=160")
    settings += (f"objective.base={base}",)
    settings += ("train.max_steps=3", "data.limit=16", "train.channels_last=false")
    run(command(tmp_path / "one", *settings))
    run(command(tmp_path / "two", *settings, "train.devices=2", "train.accelerator=cpu"))
    one, two = (
        read_checkpoint(RunFolder(tmp_path / name).checkpoint("last")).state["model"] for name in ("one", "two")
    )
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=1e-4, atol=1e-5)
    logs = [pd.read_csv(RunFolder(tmp_path / name).log)[["loss", "share_wrong"]] for name in ("one", "two")]
    pd.testing.assert_frame_equal(*logs, rtol=1e-3)


@pytest.mark.slow
def test_a_refusal_by_the_first_process_ends_the_other_in_one_line(tmp_path):
    (tmp_path / "mine.txt").touch()
    words = command(tmp_path, "train.devices=2", "train.accelerator=cpu")
    answer = subprocess.run(words, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
    assert answer.returncode == 2
    told = answer.stderr.decode()
    assert f"danil: `{tmp_path}` exists" in told
    assert "Traceback" not in told
    assert "--resume` (in Python" not in told, "there is nothing to go on with"


@pytest.mark.slow
def test_a_run_of_two_processes_killed_in_mid_epoch_and_resumed_ends_bit_equal(tmp_path):
    settings = ("train.save_every=2", "train.epochs=4", "data.workers=2", "objective.name=danil")
    settings += ("train.devices=2", "train.accelerator=cpu", "model.dropout=0.2")
    run(command(tmp_path / "whole", *settings))
    words = command(tmp_path / "broken", *settings)
    saved = RunFolder(tmp_path / "broken").checkpoint("last")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 200
    while not saved.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run([*words, "--resume"])
    assert_bit_equal(tmp_path / "whole", tmp_path / "broken")
