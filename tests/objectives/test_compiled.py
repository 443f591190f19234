"""A compiled first pass with an eager second one gives the gradient of the eager network."""

import copy

import pytest
import torch

from danil.objectives import DistractorAware
from objectives.networks import batch, gradients, half_wrong, made, normalized, plain


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def check(compiled, network, twin, objective):
    images, _ = batch()
    labels = half_wrong(twin, images)
    for _ in range(2):
        expected, terms = objective(twin, images, labels), objective(compiled, images, labels)
        torch.testing.assert_close(terms.total, expected.total, rtol=1e-9, atol=1e-12)
        for ours, theirs in zip(gradients(terms.total, network), gradients(expected.total, twin), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(network.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["frozen", "coupled", "running"])
@pytest.mark.parametrize("factory", [plain, normalized])
def test_a_wrapped_network_gives_the_eager_gradient_and_buffers(factory, normalization):
    network = made(factory)
    twin = copy.deepcopy(network)
    check(torch.compile(network, backend="eager"), network, twin, DistractorAware(0.01, normalization=normalization))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler looks at it
def test_a_network_compiled_in_place_or_in_a_part_gives_the_eager_gradient():
    for compiled_part in (lambda network: network, lambda network: network[3]):
        network = torch.nn.Sequential(*made(normalized)[:3], made(normalized)[3:])
        twin = copy.deepcopy(network)
        compiled_part(network).compile(backend="eager")
        check(network, network, twin, DistractorAware(0.01, measure_every=1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_default_compiler_gives_the_eager_gradient_and_is_used():
    network = made(normalized)
    twin = copy.deepcopy(network)
    compiled = torch.compile(network)
    check(compiled, network, twin, DistractorAware(0.01, measure_every=1))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
