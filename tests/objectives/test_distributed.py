"""Two processes over gloo equal one on the whole batch, whatever images each of them has."""

import time

import pytest
import torch
from torch import multiprocessing

from danil.objectives import DistractorAware
from objectives import ranks
from objectives.networks import gradients, made, plain

SECONDS = 540

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each stage gave on both ranks; processes that do not end in time wait for each other, which is a failure."""
    folder = tmp_path_factory.mktemp("ranks")
    context = multiprocessing.spawn(ranks.work, (str(folder),), nprocs=2, join=False)
    end = time.monotonic() + SECONDS
    try:
        while not context.join(timeout=max(end - time.monotonic(), 0.01)):
            if time.monotonic() >= end:
                done = sorted(path.name for path in folder.glob("*.pt"))
                pytest.fail(f"the processes still ran after {SECONDS} s; they finished {done} of {list(ranks.STAGES)}")
    finally:
        for process in context.processes:
            process.kill()
    return {
        name: [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)] for name in ranks.STAGES
    }


@pytest.mark.parametrize("wrong_ranks", ["both", "first"])
@pytest.mark.parametrize("case", ranks.CASES)
def test_two_ranks_give_the_gradient_of_one_on_the_whole_batch(results, case, wrong_ranks):
    network = made(plain)
    terms = DistractorAware(0.01, **ranks.CASES[case])(network, *ranks.data(wrong_ranks))
    first, second = (found[case] for found in results[wrong_ranks])
    for ours, other, theirs in zip(first, second, gradients(terms.total, network), strict=True):
        assert torch.equal(ours, other)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_rank_without_wrong_images_keeps_step_with_the_other(results):
    first, second = results["normalized"]
    assert first[0] > 0
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours, theirs)


def test_fabric_gives_the_gradient_of_one_process_on_the_whole_batch(results):
    network = made(plain)
    expected = gradients(DistractorAware(0.01)(network, *ranks.data("first")).total, network)
    for ours, theirs in zip(results["fabric"][0], expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_sharded_network_is_refused_on_every_rank(results):
    assert all("strategy='ddp'" in message for message in results["sharded"])
