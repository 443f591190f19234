import os
import warnings

import pytest
import torch

from danil.training.hardware import deterministic, fit_threads


@pytest.fixture
def threads(monkeypatch):
    """The numbers of threads that PyTorch is told to use; it claims to have eight."""
    told = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return told


@pytest.mark.parametrize(("cores", "expected"), [(2, [2]), (8, []), (16, [])])
def test_threads_are_lowered_to_the_cores_there_are(threads, cores, expected):
    fit_threads(0, cores)
    assert threads == expected


def test_a_number_of_threads_that_was_set_is_kept_with_a_warning(threads, monkeypatch):
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "8")
    with pytest.warns(UserWarning, match=r"8 threads.*2 core"):
        fit_threads(0, 2)
    assert threads == []


def test_more_workers_than_cores_are_told(threads):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_threads(2, 2)
    with pytest.warns(UserWarning, match=r"`data.workers` is 3.*2 core"):
        fit_threads(3, 2)


def test_deterministic_kernels_are_asked_for_and_the_setting_is_put_back(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
