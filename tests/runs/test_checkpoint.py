import errno
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from danil.runs.checkpoint import CheckpointError, latest_checkpoint, previous, read_checkpoint, write_checkpoint

TREE = {
    "model": {"weight": torch.randn(3, 4), "count": torch.tensor(7), "empty": torch.zeros(0)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    "losses": np.array([0.5, np.inf], dtype=np.float64),
    "numbers": [1, 2.5, None, True, "text", float("inf")],
}


def test_a_tree_of_tensors_and_plain_values_comes_back_equal(tmp_path):
    path = write_checkpoint(tmp_path / "last.safetensors", TREE)
    state = read_checkpoint(path).state
    assert state["losses"].dtype == np.float64
    assert list(state["losses"]) == [0.5, np.inf]
    assert state["numbers"] == TREE["numbers"]
    assert state["optimizer"]["param_groups"] == TREE["optimizer"]["param_groups"]
    assert state["optimizer"]["state"][0]["step"] == 3
    for name, tensor in TREE["model"].items():
        assert_close(state["model"][name], tensor, rtol=0, atol=0)


def test_tuples_and_types_of_numbers_come_back_as_such(tmp_path):
    tree = {"betas": (0.9, (None, [1, 2])), "dtype": torch.bfloat16}
    assert read_checkpoint(write_checkpoint(tmp_path / "a.safetensors", tree)).state == tree


def test_an_unknown_type_of_numbers_is_damage(tmp_path, monkeypatch):
    monkeypatch.setattr("danil.runs.checkpoint.packed", lambda *_: {"items": [["dtype", {"dtype": "load"}]]})
    path = write_checkpoint(tmp_path / "a.safetensors", {})
    with pytest.raises(CheckpointError, match=r"a\.safetensors.*`load` is no type"):
        read_checkpoint(path)


def test_tied_and_strided_tensors_are_kept_by_value(tmp_path):
    tensor = torch.arange(12.0).reshape(3, 4)
    path = write_checkpoint(tmp_path / "a.safetensors", {"a": tensor, "b": tensor.t(), "c": tensor})
    state = read_checkpoint(path).state
    assert_close(state["b"], tensor.t())
    assert_close(state["c"], tensor)


def test_no_prefix_of_a_checkpoint_is_taken_for_one(tmp_path):
    path = write_checkpoint(tmp_path / "last.safetensors", TREE)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"last\.safetensors"):
            read_checkpoint(path)


def test_no_changed_byte_goes_unnoticed(tmp_path):
    path = write_checkpoint(tmp_path / "last.safetensors", TREE)
    whole = path.read_bytes()
    draw = random.Random(0)
    for _ in range(150):
        place = draw.randrange(len(whole))
        changed = bytearray(whole)
        changed[place] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        try:
            state = read_checkpoint(path).state
        except CheckpointError:
            continue
        assert_close(state["model"]["weight"], TREE["model"]["weight"], rtol=0, atol=0)


def test_a_damaged_last_save_falls_back_to_the_one_before_with_a_warning(tmp_path):
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, {"step": 1})
    write_checkpoint(path, {"step": 2})
    assert latest_checkpoint(path).state == {"step": 2}
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    with pytest.warns(UserWarning, match="damaged"):
        assert latest_checkpoint(path).state == {"step": 1}


def test_a_missing_last_save_falls_back_to_the_one_before_with_a_warning(tmp_path):
    path = tmp_path / "last.safetensors"
    for step in (1, 2):
        write_checkpoint(path, {"step": step})
    path.unlink()
    with pytest.warns(UserWarning, match=r"last\.safetensors` does not exist\. Going on from .*last\.previous"):
        assert latest_checkpoint(path).state == {"step": 1}


DAMAGES = {
    "flipped": lambda content: content[:-9] + bytes([content[-9] ^ 4]) + content[-8:],
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "foreign": lambda content: b"not a checkpoint",
}


@pytest.mark.parametrize("way", DAMAGES)
def test_two_damaged_saves_are_an_error_that_names_both(tmp_path, way):
    path = tmp_path / "last.safetensors"
    for step in (1, 2):
        write_checkpoint(path, {"step": step, "weight": torch.ones(8)})
    path.write_bytes(DAMAGES[way](path.read_bytes()))
    with pytest.warns(UserWarning, match=r"last\.safetensors` is damaged.*last\.previous\.safetensors"):
        assert latest_checkpoint(path).state["step"] == 1
    previous(path).write_bytes(DAMAGES[way](previous(path).read_bytes()))
    with pytest.raises(CheckpointError, match=r"last\.safetensors` is damaged.*last\.previous.*--overwrite"):
        latest_checkpoint(path)


def test_without_any_save_there_is_none(tmp_path):
    assert latest_checkpoint(tmp_path / "last.safetensors") is None


def test_a_full_disk_leaves_both_saves(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    for step in (1, 2):
        write_checkpoint(path, {"step": step})

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"last\.safetensors.*No space"):
        write_checkpoint(path, {"step": 3})
    assert [read_checkpoint(file).state["step"] for file in (path, previous(path))] == [2, 1]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_kill_at_any_line_of_the_writing_code_leaves_the_old_save_or_the_new_one(tmp_path):
    script = Path(__file__).with_name("kill_at_every_line.py")
    answer = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    left = [json.loads(line) for line in answer.stdout.splitlines()]
    steps = [one["step"] for one in left]
    assert len(left) > 20
    assert steps == sorted(steps)
    assert set(steps) == {2, 3}
    assert any(any(name.endswith(".part") for name in one["files"]) for one in left)
    for one in left:
        assert "last.safetensors" in one["files"]
        assert one["next"] == 4
        assert one["left"] == ["last.previous.safetensors", "last.safetensors"]


def test_a_value_that_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(TypeError, match="object"):
        write_checkpoint(tmp_path / "x.safetensors", {"a": object()})
    assert not list(tmp_path.iterdir())


def test_a_reader_beside_a_writer_always_gets_one_whole_save(tmp_path):
    path = write_checkpoint(tmp_path / "last.safetensors", {"size": 0, "data": torch.zeros(0)})
    sizes = [1, 5000, 100, 20000]

    def write() -> None:
        for number in range(60):
            size = sizes[number % len(sizes)]
            write_checkpoint(path, {"size": size, "data": torch.zeros(size)})

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        state = read_checkpoint(path).state
        assert len(state["data"]) == state["size"]
    writer.join()
