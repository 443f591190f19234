import platform
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from danil.runs import memory
from danil.runs.memory import VARIABLES, kept_memory

PAGE, BYTES = resource.getpagesize(), 256 << 20  # more than glibc ever keeps by itself
PAGES = BYTES // PAGE


def pages_cleared() -> int:
    """Return how many pages the system clears for a large tensor that is made, written and let go of five times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.empty(BYTES, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.fixture
def glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("glibc")
def test_pages_are_cleared_each_time_outside_and_not_again_inside():
    outside = pages_cleared()
    with kept_memory():
        first, second = pages_cleared(), pages_cleared()
    assert outside > 4 * PAGES
    assert first < 3 * PAGES  # the heap grows, once more for another alignment
    assert second < PAGES / 10
    assert pages_cleared() > PAGES / 2


@pytest.mark.usefixtures("glibc")
def test_what_is_free_at_the_end_goes_back_to_the_system():
    with kept_memory():
        torch.empty(BYTES, dtype=torch.uint8).fill_(1)
        kept = resident()
    assert kept - resident() > 0.9 * BYTES


@pytest.mark.usefixtures("glibc")
def test_nested_and_in_threads_the_last_one_out_ends_it():
    entered, leave = threading.Event(), threading.Event()

    @kept_memory()
    def other() -> None:
        entered.set()
        leave.wait(60)

    with ThreadPoolExecutor(1) as pool:
        with kept_memory():
            with kept_memory():
                done = pool.submit(other)
                assert entered.wait(60)
            pages_cleared()
        again = pages_cleared()
        leave.set()
        done.result()
    assert again < PAGES / 10
    assert memory._inside == 0


def test_an_error_ends_it_too():
    with pytest.raises(KeyError), kept_memory():
        raise KeyError
    assert memory._inside == 0


@pytest.mark.usefixtures("glibc")
def test_a_choice_of_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    with kept_memory():
        assert memory._inside == 0


def test_nothing_happens_with_another_c_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("it must not be opened"))
    with kept_memory():
        pass


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
