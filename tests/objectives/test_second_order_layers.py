"""Every layer equals float64 PyTorch: values, input gradients, and the gradient of ‖input gradient‖²."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from danil.objectives.bilinear import frozen_normalization
from danil.objectives.second_order import twice_differentiable

few = settings(max_examples=15, deadline=None, derandomize=True, database=None)


def derivatives(layer: nn.Module, images: Tensor, fast: bool) -> list[Tensor]:
    """Return the output, its input gradient, and the gradients of both their squares in the input and parameters."""
    layer = copy.deepcopy(layer)
    x = images.clone().requires_grad_()
    with twice_differentiable(layer) if fast else sdpa_kernel(SDPBackend.MATH):
        y = layer(x * 1)  # not a leaf, so that layers may work in place
    score = (y.sin() * torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).view(y.shape)).sum()
    (gradient,) = torch.autograd.grad(score, x, create_graph=True)
    wanted = [x, *layer.parameters()]
    second = torch.autograd.grad(gradient.square().sum() + y.square().sum(), wanted)
    return [y.detach(), gradient.detach(), *second]


def assert_same(layer: nn.Module, *shape: int, oracle: nn.Module | None = None) -> None:
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    layer, images = layer.double(), torch.randn(shape, generator=generator, dtype=torch.float64)
    ours = derivatives(layer, images, fast=True)
    stock = derivatives(oracle or layer, images, fast=False)
    torch.testing.assert_close(ours, stock, rtol=1e-9, atol=1e-9)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    rank, transposed = draw(st.sampled_from([1, 2, 2, 3])), draw(st.booleans())
    groups = draw(st.sampled_from([1, 2, 4]))
    inner, outer = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    size = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    dilation = draw(st.integers(1, 2))
    options = {"groups": groups, "bias": draw(st.booleans()), "dilation": dilation}
    if transposed:
        options |= {"stride": stride, "padding": draw(st.integers(0, 1))}
        options["output_padding"] = tuple(draw(st.integers(0, max(s, dilation) - 1)) for s in stride)
        kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[rank - 1]
    else:
        padding = draw(st.sampled_from(["same", "valid", 0, 1, 2]))
        mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
        options |= {"padding": padding, "padding_mode": mode, "stride": 1 if padding == "same" else stride}
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    return kind(inner, outer, size, **options), (2, inner, *(draw(st.integers(5, 7)) for _ in range(rank)))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@few
@given(convolutions())
def test_convolutions_of_any_arguments_equal_pytorch(drawn):
    layer, shape = drawn
    assert_same(layer, *shape)


@pytest.mark.parametrize("size", [(1, 1), (4, 3)])
def test_a_convolution_whose_kernel_covers_its_input_equals_pytorch(size):
    assert_same(nn.Sequential(nn.Conv2d(3, 5, size), nn.ReLU(inplace=True)), 2, 3, *size)


def test_a_convolution_of_one_image_without_batch_dimension_equals_pytorch():
    assert_same(nn.Conv2d(3, 5, 3, padding=1), 3, 5, 5)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)])
@pytest.mark.parametrize("affine", [True, False])
def test_frozen_batch_norm_equals_pytorch(shape, affine):
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    layer = kind(3, affine=affine).eval()
    layer.running_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
    layer.running_var.copy_(torch.tensor([0.3, 1.7, 4.0]))
    assert_same(layer, *shape)


def test_frozen_normalization_equals_its_formula_and_passes_gradgradcheck():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    mean, deviation, weight, bias = torch.rand(4, 3, dtype=torch.float64, generator=generator) + 0.5
    by_hand = (x - mean[:, None, None]) / deviation[:, None, None] * weight[:, None, None] + bias[:, None, None]
    torch.testing.assert_close(frozen_normalization(x, mean, 1 / deviation, weight, bias), by_hand)
    parameters = weight.requires_grad_(), bias.requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda x, w, b: frozen_normalization(x, mean, 1 / deviation, w, b), (x, *parameters)
    )


@pytest.mark.parametrize(
    "layer",
    [
        *[nn.ReLU(inplace=inplace) for inplace in (False, True)],
        *[nn.ReLU6(inplace=inplace) for inplace in (False, True)],
        *[nn.LeakyReLU(0.2, inplace=inplace) for inplace in (False, True)],
        *[nn.Hardtanh(-0.5, 0.7, inplace=inplace) for inplace in (False, True)],
        *[nn.SiLU(inplace=inplace) for inplace in (False, True)],
        *[nn.Hardswish(inplace=inplace) for inplace in (False, True)],
        nn.GELU(), nn.GELU(approximate="tanh"), nn.Sigmoid(), nn.Tanh(), nn.ELU(), nn.Mish(), nn.PReLU(), nn.Softplus(),
        nn.Linear(5, 4), nn.LayerNorm(5), nn.GroupNorm(2, 4), nn.InstanceNorm1d(4),
    ],
    ids=str,
)  # fmt: skip
def test_activations_and_normalisations_equal_pytorch(layer):
    assert_same(layer, 3, 4, 5)


@pytest.mark.parametrize("inplace", [False, True])
def test_hardsigmoid_equals_its_formula(inplace):
    class Formula(nn.Module):  # PyTorch has no second derivative of its own hardsigmoid
        def forward(self, x: Tensor) -> Tensor:
            return (x / 6 + 0.5).clamp(0, 1)

    assert_same(nn.Hardsigmoid(inplace), 3, 40, oracle=Formula())


@st.composite
def poolings(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    size, ceil = draw(st.integers(2, 3)), draw(st.booleans())
    stride, padding = draw(st.sampled_from([None, 1, 2])), draw(st.integers(0, 1))
    kind = draw(st.sampled_from(["max", "avg", "adaptive_max", "adaptive_avg"]))
    output = draw(st.integers(1, 4))
    layers = {
        "max": lambda: getattr(nn, f"MaxPool{rank}d")(size, stride, padding, draw(st.integers(1, 2)), ceil_mode=ceil),
        "avg": lambda: getattr(nn, f"AvgPool{rank}d")(size, stride, padding, ceil, draw(st.booleans())),
        "adaptive_max": lambda: getattr(nn, f"AdaptiveMaxPool{rank}d")(output),
        "adaptive_avg": lambda: getattr(nn, f"AdaptiveAvgPool{rank}d")(output),
    }
    return layers[kind](), (2, 3, *(draw(st.integers(5, 8)) for _ in range(rank)))


@few
@given(poolings())
def test_pooling_of_any_arguments_equals_pytorch(drawn):
    layer, shape = drawn
    assert_same(layer, *shape)


class Gated(nn.Module):
    """Squeeze and excitation with `Tensor` methods, in place."""

    def __init__(self):
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu_()).sigmoid()
        return x.mul_(gate).relu()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v)


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x)[0]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Gated(), (2, 4, 3, 3)),
        (Attention(), (2, 5, 8)),
        (SelfAttention(), (2, 5, 8)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(True)), (2, 3, 6, 6)),
        (
            nn.Sequential(nn.Conv2d(3, 4, 2), nn.PixelShuffle(2), nn.Softmax(1), nn.Upsample(scale_factor=2)),
            (1, 3, 4, 4),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_blocks_equal_pytorch(layer, shape):
    assert_same(layer, *shape)
