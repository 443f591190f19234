"""Processes that prepare batches: what they do when an image is bad, and what happens when they die."""

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import get_worker_info

from danil.data import loading, read_source
from danil.data.dataset import Images
from danil.data.fake import write_fake
from danil.data.files import FileImages, UnreadableImages
from danil.data.loading import loader


@dataclass(frozen=True)
class Deadly(FileImages):
    """Kill the worker that reads an image, as often as there are files in a folder."""

    lives: Path = Path()

    def read(self, path, shorter=None):
        if get_worker_info() is not None:
            for life in self.lives.iterdir():
                life.unlink(missing_ok=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().read(path, shorter)


@dataclass(frozen=True)
class Counting(FileImages):
    """Write down PyTorch's threads in each worker."""

    notes: Path = Path()

    def read(self, path, shorter=None):
        assert get_worker_info() is not None
        (self.notes / str(os.getpid())).write_text(str(torch.get_num_threads()))
        return super().read(path, shorter)


@pytest.fixture
def manifest(tmp_path):
    return read_source(f"folder:{write_fake('folder', tmp_path / 'data', images=8)}")


def batches(manifest, workers):
    """Return all batches of two images."""
    return list(loader(Images(manifest, 24, cache="none"), batch_size=2, workers=workers))


@pytest.mark.parametrize("deaths", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_batches_are_the_same_when_workers_die_once_or_always(manifest, tmp_path, deaths, recwarn):
    expected = batches(manifest, 1)
    lives = tmp_path / "lives"
    lives.mkdir()
    for number in range(deaths):
        (lives / str(number)).touch()
    before = signal.getsignal(signal.SIGCHLD)
    found = batches(replace(manifest, store=Deadly(manifest.store.root, lives=lives)), 2)
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.indices, other.indices)
    told = [str(warning.message) for warning in recwarn if "prepares batches died" in str(warning.message)]
    assert 1 <= len(told) <= 4
    assert "data.workers" in told[0]
    assert signal.getsignal(signal.SIGCHLD) is before


def test_an_image_that_vanishes_is_named_through_a_worker_as_without_one(manifest):
    path = manifest.table["path"][5]
    manifest.store.file(path).unlink()
    texts = []
    for workers in (0, 1):
        with pytest.raises(UnreadableImages) as caught:
            batches(manifest, workers)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert path in texts[0]


def test_each_worker_computes_with_one_thread(manifest, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    batches(replace(manifest, store=Counting(manifest.store.root, notes=notes)), 2)
    assert {file.read_text() for file in notes.iterdir()} == {"1"}
    assert len(np.unique([file.name for file in notes.iterdir()])) == 2


@pytest.mark.parametrize("fault", [ConnectionResetError, EOFError, FileNotFoundError])
def test_a_worker_that_dies_while_it_hands_over_a_batch_loses_nothing(manifest, monkeypatch, fault):
    expected = batches(manifest, 1)
    original, calls = loading.from_workers, []

    @contextmanager
    def dying(found, numbers, workers):
        calls.append(numbers)
        if len(calls) > 1:
            with original(found, numbers, workers) as whole:
                yield whole
            return

        def one_batch():
            yield found[numbers[0]]
            raise fault

        yield one_batch()

    monkeypatch.setattr(loading, "from_workers", dying)
    with pytest.warns(UserWarning, match="prepares batches died"):
        found = batches(manifest, 2)
    assert [list(numbers) for numbers in calls] == [[0, 1, 2, 3], [1, 2, 3]]
    assert all(torch.equal(one.images, other.images) for one, other in zip(found, expected, strict=True))
