"""Convolutions on small maps equal PyTorch's, and PyTorch's slow kernel is not called."""

import copy
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from danil.objectives import DistractorAware
from danil.objectives.depthwise import weight_gradient
from danil.objectives.small_maps import small_maps
from objectives.test_second_order import Calls
from objectives.test_second_order_layers import derivatives

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def network() -> nn.Sequential:
    """Return an inverted bottleneck on 4 × 4 maps and one on 2 × 2 maps, in channels-last memory."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.SiLU()]
    layers += [nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU(inplace=True)]
    layers += [nn.Conv2d(16, 16, 5, padding=2, stride=2, groups=16, bias=False), nn.BatchNorm2d(16), nn.SiLU()]
    layers += [nn.Conv2d(16, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Flatten(), nn.Linear(32, 3)]
    return nn.Sequential(*layers).double().to(memory_format=torch.channels_last)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=generator)
    return images.to(memory_format=torch.channels_last), torch.randint(0, 3, (6,), generator=generator)


def step(model: nn.Module, quick: bool, objective: nn.Module | None = None) -> list[torch.Tensor]:
    """Return loss, gradients and buffers of a training step."""
    model = copy.deepcopy(model).train()
    images, labels = batch()
    with small_maps(model) if quick else nullcontext():
        loss = F.cross_entropy(model(images), labels) if objective is None else objective(model, images, labels).total
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters()), *model.buffers()]


@few
@given(st.data())
def test_the_weight_gradient_equals_pytorch_for_any_geometry(data):
    kernel, stride, dilation = (
        tuple(data.draw(st.integers(1, top)) for _ in range(2)) for top in (5, 3, 2)
    )  # fmt: skip
    padding = tuple(data.draw(st.integers(0, 4)) for _ in range(2))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [
        data.draw(st.integers(max(1, e - 2 * p), 7)) if e - 2 * p <= 7 else e
        for e, p in zip(extent, padding, strict=True)
    ]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, *size, dtype=torch.float64, generator=generator)
    w = torch.randn(4, 1, *kernel, dtype=torch.float64, generator=generator, requires_grad=True)
    y = F.conv2d(x, w, None, stride, padding, dilation, 4)
    g = torch.randn(y.shape, dtype=torch.float64, generator=generator)
    (expected,) = torch.autograd.grad(y, w, g)
    torch.testing.assert_close(
        weight_gradient(x, g, kernel, stride, padding, dilation), expected, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 6, 5, padding=2, groups=6),
        nn.Conv2d(6, 6, (1, 5), padding=(0, 2), groups=6, bias=False),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6),
        nn.Conv2d(6, 6, 5, padding=2, stride=2, groups=6),
        nn.Conv2d(6, 4, 1),
        nn.Conv2d(6, 4, 1, bias=False),
        nn.Sequential(nn.Conv2d(6, 6, 5, padding=2, groups=6), nn.Conv2d(6, 4, 1), nn.ReLU(inplace=True)),
    ],
)
@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_both_derivatives_equal_pytorch(layer, memory):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(5, 6, 3, 4, dtype=torch.float64, generator=generator).to(memory_format=memory)
    ours, stock = (derivatives(layer.double(), images, fast) for fast in (True, False))
    torch.testing.assert_close(ours, stock, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("objective", [None, DistractorAware(0.01), DistractorAware(0.01, normalization="coupled")])
def test_a_training_step_equals_the_one_outside(objective):
    torch.testing.assert_close(
        step(network(), True, objective), step(network(), False, objective), rtol=1e-9, atol=1e-9
    )


def test_no_slow_kernel_is_called():
    model, calls = network(), Calls()
    images, labels = batch()
    with small_maps(model), calls:
        F.cross_entropy(model(images), labels).backward()
    assert calls.counts["convolution"] == 3  # the first, on large maps, and the two depthwise ones
    assert calls.counts["weight_gradient"] == 1  # the first's


def test_large_maps_are_left_to_pytorch():
    layer, calls = nn.Conv2d(4, 4, 5, padding=2, groups=4), Calls()
    with small_maps(layer), calls:
        layer(torch.rand(2, 4, 24, 24)).sum().backward()
    assert calls.counts["weight_gradient"] == 1


@pytest.mark.parametrize("autocast", [True, False])
def test_16_bits_are_left_to_pytorch_which_takes_both_gradients_in_one_call(autocast):
    layer, calls = nn.Conv2d(4, 4, 1), Calls()
    images = torch.rand(2, 4, 5, 5, requires_grad=True)
    if not autocast:
        layer, images = layer.bfloat16(), images.bfloat16()
    with small_maps(layer), calls, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        layer(images).sum().backward()
    assert calls.counts["convolution_backward"] == 1


def test_values_without_a_graph_are_pytorchs():
    model = network()
    images, _ = batch()
    with torch.no_grad(), small_maps(model):
        found = model(images)
    assert torch.equal(found, model(images))


def test_a_wrong_call_gets_pytorchs_own_error():
    layer = nn.Conv2d(4, 4, 3, groups=4)
    with small_maps(layer), pytest.raises(RuntimeError, match=r"Expected 3D .* or 4D"):
        layer(torch.rand(2, 4))
