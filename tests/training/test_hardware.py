import os
import warnings
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric.accelerators import MPSAccelerator

from danil.data import DataError
from danil.runs import RecipeError, RunError, RunFolder, open_run, read_recipe
from danil.runs.threads import fit_threads
from danil.training import run, train_run
from danil.training.hardware import check_cores, deterministic
from danil.training.run import create_fabric


@pytest.fixture
def threads(monkeypatch):
    """The number of threads that PyTorch is told to use; eight before."""
    told = [8]
    monkeypatch.setattr(torch, "get_num_threads", lambda: told[-1])
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return told


@pytest.mark.parametrize(("cores", "expected"), [(2, 2), (8, 8), (16, 8)])
def test_threads_are_lowered_to_the_cores_there_are(threads, cores, expected):
    fit_threads(cores)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_cores(0, cores)
    assert threads[-1] == expected


def test_a_number_of_threads_that_was_set_is_kept_with_a_warning(threads, monkeypatch):
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "8")
    fit_threads(2)
    with pytest.warns(UserWarning, match=r"8 threads.*2 core"):
        check_cores(0, 2)
    assert threads == [8]


def test_opening_a_run_lowers_the_threads_before_anything_is_computed(threads, monkeypatch, tmp_path):
    monkeypatch.setattr("danil.runs.threads.cores", lambda: 2)
    with pytest.raises(RunError, match="is not a run folder"):
        open_run(tmp_path)
    assert threads[-1] == 2


def test_training_lowers_the_threads_and_tells_more_workers_than_cores_before_it_reads_data(
    threads, monkeypatch, tmp_path
):
    for module in ("runs.threads", "training.hardware"):
        monkeypatch.setattr(f"danil.{module}.cores", lambda: 2)
    recipe = read_recipe("paper", [f"data.source='folder:{tmp_path / 'absent'}'", "data.workers=3"])
    with pytest.warns(UserWarning, match=r"`data.workers` is 3.*2 core"), pytest.raises(DataError, match="absent"):
        train_run(recipe, tmp_path / "run", quiet=True)
    assert threads[-1] == 2
    assert not (tmp_path / "run").exists()


def test_as_many_workers_as_cores_are_not_told(threads):
    fit_threads(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_cores(2, 2)


def test_deterministic_kernels_are_asked_for_and_the_setting_is_put_back(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_a_setting_that_only_warns_and_the_environment_are_put_back_too(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with deterministic(True):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    finally:
        torch.use_deterministic_algorithms(False)


def test_apples_gpu_is_not_chosen_by_itself_and_refused_when_named(monkeypatch):
    monkeypatch.setattr(MPSAccelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert create_fabric(read_recipe("paper")).device.type == "cpu"
    for name in ("mps", "gpu"):
        with pytest.raises(RecipeError, match=r"`train.accelerator` is .*float64.*Use `cpu`"):
            create_fabric(read_recipe("paper", [f"train.accelerator={name}"]))


def test_the_predictions_are_made_on_the_device_of_the_training(monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(run, "open_run", lambda path, *, device: told.append(device))
    run.write_predictions(RunFolder(tmp_path), SimpleNamespace(parts={"test": (), "validation": ()}), "cpu")
    assert told == ["cpu"]
