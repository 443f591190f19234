"""A compiled first pass with an eager second one gives the gradient of the eager network."""

import copy

import pytest
import torch
from torch import nn

from danil.objectives import CrossEntropy, DistractorAware
from objectives.networks import batch, gradients, half_wrong, made, normalized, plain


def smooth():
    """Two normalised activations whose backward reads what the forward wrote, so that a compiler gives it away."""
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.SiLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 4))


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
        check(network, network, twin, DistractorAware(0.01))


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("options", [{"weight": 0.01}, {"strength": 0.1}], ids=["measured", "held"])
def test_steps_that_are_measured_run_uncompiled_whatever_was_compiled_before(options, counted, warm):
    """Compiled code may free what its backward reads the first time that it is gone through."""
    network, (images, _) = made(smooth), batch()
    twin, labels = copy.deepcopy(network), half_wrong(network, images)
    results = []
    for model, own in ((torch.compile(network, backend="aot_eager"), network), (twin, twin)):
        objective = DistractorAware(measure_every=2, **options)
        objective.ratio.steps.fill_(counted)  # as a resumed run
        if warm:
            CrossEntropy()(model, images, labels).total.backward()
        for _ in range(3):
            terms = objective(model, images, labels)
            terms.total.backward()
            results.append([terms.total.detach(), terms.stats["gradient_ratio"], *(p.grad for p in own.parameters())])
    for ours, theirs in zip(results[:3], results[3:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9, equal_nan=True)
    torch.testing.assert_close(list(network.buffers()), list(twin.buffers()), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_default_compiler_gives_the_eager_gradient_and_is_used():
    network = made(normalized)
    twin = copy.deepcopy(network)
    compiled = torch.compile(network)
    check(compiled, network, twin, DistractorAware(0.01))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
