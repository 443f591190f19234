"""The context itself: what it saves, what it leaves alone, and where it stays out of the way."""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from danil.objectives.second_order import twice_differentiable


class Calls(TorchDispatchMode):
    """Count kernels by name; which gradients `convolution_backward` was asked for; zeros of more than one dimension."""

    def __init__(self):
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.counts[name] += 1
        if name == "convolution_backward":
            for wanted, which in zip(args[-1], ("input", "weight", "bias"), strict=True):
                self.counts[f"{which}_gradient"] += wanted
        result = func(*args, **(kwargs or {}))
        self.counts["zero_images"] += name.startswith(("zero", "new_zeros")) and result.dim() > 1
        return result


def network() -> nn.Sequential:
    """Return three convolutions whose activations and pooling are linear between their kinks."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1),
    ]
    layers += [
        nn.LeakyReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 4, 2, groups=2),
        nn.ReLU6(),
        nn.Flatten(),
        nn.Linear(16, 2),
    ]
    return nn.Sequential(*layers).double().eval()


def images(size: int = 14) -> Tensor:
    return torch.randn(
        2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()


def penalty_gradients(model: nn.Module, x: Tensor, fast: bool = True) -> list[Tensor]:
    """Return the parameters' gradient of ‖input gradient‖², zeros where there is none."""
    if fast:
        with twice_differentiable(model):
            scores = model(x)
    else:
        scores = model(x)
    (gradient,) = torch.autograd.grad(scores.sin().sum(), x, create_graph=True)
    return list(
        torch.autograd.grad(
            gradient.square().sum(), list(model.parameters()), allow_unused=True, materialize_grads=True
        )
    )


def test_the_first_gradient_computes_one_input_gradient_per_convolution_and_nothing_else():
    model, x, calls = network(), images(), Calls()
    with twice_differentiable(model):
        scores = model(x)
    with calls:
        torch.autograd.grad(scores[:, 0].sum(), x, create_graph=True)
    assert (calls.counts["input_gradient"], calls.counts["weight_gradient"], calls.counts["bias_gradient"]) == (3, 0, 0)
    assert calls.counts["native_batch_norm_backward"] == 0


def test_the_second_gradient_of_a_piecewise_linear_network_never_enters_the_first_forward():
    model, x, calls = network(), images(), Calls()
    with twice_differentiable(model):
        scores = model(x)
    (gradient,) = torch.autograd.grad((scores[:, 0] - scores[:, 1]).sum(), x, create_graph=True)
    loss = gradient.square().sum()
    with calls:
        loss.backward()
    assert (calls.counts["convolution"], calls.counts["weight_gradient"], calls.counts["input_gradient"]) == (3, 3, 0)
    assert calls.counts["zero_images"] == 0
    assert all(p.grad is None for name, p in model.named_parameters() if name.endswith("bias"))


def test_a_whole_network_equals_pytorch():
    model, x = network(), images()
    torch.testing.assert_close(
        penalty_gradients(model, x), penalty_gradients(model, x, fast=False), rtol=1e-9, atol=1e-9
    )


def test_the_ordinary_gradient_of_every_parameter_is_right():
    model, x = network(), images()
    with twice_differentiable(model):
        ours = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    stock = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    torch.testing.assert_close(ours, stock, rtol=1e-9, atol=1e-9)


def test_third_derivatives_are_right():
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(1, 2, 2),
        nn.BatchNorm2d(2).eval(),
        nn.SiLU(),
        nn.Conv2d(2, 2, 2),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Hardswish(),
    )
    model, x = nn.Sequential(*layers).double(), torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)

    def squared_gradient(x: Tensor) -> Tensor:
        with twice_differentiable(model):
            (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return gradient.square().sum()

    assert torch.autograd.gradgradcheck(squared_gradient, x)


def test_the_caller_finds_everything_as_it_was():
    model, x = network().train(), images()
    state = {name: value.clone() for name, value in model[4:].state_dict().items()}
    hooks = [len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    functions = [m.forward.__func__ for m in model.modules()]
    before, seed = x.detach().clone(), torch.get_rng_state()
    flash = torch.backends.cuda.flash_sdp_enabled()
    with twice_differentiable(model) as same:
        same(x)
    assert same is model
    assert all(module.training for module in model.modules())
    torch.testing.assert_close(dict(model[4:].state_dict()), state, rtol=0, atol=0)
    assert hooks == [
        len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
    ]
    assert functions == [m.forward.__func__ for m in model.modules()]
    assert torch.equal(x, before)
    assert x.grad is None
    assert torch.equal(torch.get_rng_state(), seed)
    assert torch.backends.cuda.flash_sdp_enabled() == flash
    assert not _get_current_function_mode_stack()


def test_an_exception_inside_leaves_no_mode_behind():
    with pytest.raises(KeyError), twice_differentiable(nn.Identity()):
        raise KeyError
    assert not _get_current_function_mode_stack()


def test_nested_contexts_are_one():
    model, x = network(), images()
    with twice_differentiable(model), twice_differentiable(model):
        assert len(_get_current_function_mode_stack()) == 1
        inner = model(x)
    with twice_differentiable(model):
        torch.testing.assert_close(model(x), inner, rtol=0, atol=0)


def test_an_activation_in_place_changes_the_tensor_it_was_given():
    with twice_differentiable(nn.Identity()):
        for function in (nn.functional.relu, nn.functional.silu):
            x = torch.tensor([-1.0, 2.0], requires_grad=True) * 1
            expected = function(x.detach().clone())
            result = function(x, inplace=True)
            assert result is x
            torch.testing.assert_close(x.detach(), expected, rtol=0, atol=0)


def test_an_activation_out_of_place_leaves_its_tensor_alone():
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    with twice_differentiable(nn.Identity()):
        for function in (nn.functional.relu, nn.functional.silu):
            function(x)
    assert x.tolist() == [-1.0, 2.0]


def test_relu_in_place_on_a_view_reaches_its_base():
    with twice_differentiable(nn.Identity()):
        base = torch.tensor([[-1.0, 2.0], [-3.0, 4.0]], requires_grad=True) * 1
        base[0].relu_()
    assert base.tolist() == [[0.0, 2.0], [-3.0, 4.0]]


def test_a_leaf_that_requires_a_gradient_is_refused_in_place_as_ever():
    with twice_differentiable(nn.Identity()), pytest.raises(RuntimeError, match="leaf"):
        torch.relu_(torch.ones(2, requires_grad=True))


def test_an_infinite_gradient_behind_an_inactive_relu_is_zero_as_in_pytorch():
    x = torch.tensor([-1.0, 4.0], requires_grad=True)
    with twice_differentiable(nn.Identity()):
        y = torch.relu(x).sqrt()
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], torch.tensor([0.0, 0.25]))


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_block_may_replay_after_the_context(reentrant):
    model, x = network(), images()
    with twice_differentiable(model):
        y = checkpoint(model, x, use_reentrant=reentrant)
    y.square().sum().backward()
    ours = x.grad.clone()
    x.grad = None
    model(x).square().sum().backward()
    torch.testing.assert_close(ours, x.grad, rtol=1e-9, atol=1e-9)


def test_functorch_inside_works_as_ever():
    model, x = network(), images()
    with twice_differentiable(model):
        ours = torch.func.grad(lambda x: model(x).square().sum())(x.detach())
    torch.testing.assert_close(ours, torch.autograd.grad(model(x).square().sum(), x)[0])


def test_without_gradients_nothing_is_recorded():
    model = network()
    with twice_differentiable(model), torch.no_grad():
        assert model(images()).grad_fn is None


def test_the_faults_of_a_call_are_pytorchs_own():
    with twice_differentiable(nn.Identity()), pytest.raises(RuntimeError, match="same"):
        nn.functional.conv2d(images(), torch.ones(1, 3, 2, 2, dtype=torch.float64), stride=2, padding="same")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_layers_run_in_the_precision_that_autocast_gives_them(dtype):
    model, x = network().float(), images().float().detach().requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        stock = model(x)
        with twice_differentiable(model):
            ours = model(x)
            precisions = [layer(x).dtype for layer in (model[0], nn.ReLU())]
        (gradient,) = torch.autograd.grad(ours[:, 0].float().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert precisions == [dtype, torch.float32]
    assert (ours.dtype, gradient.dtype, model[0].weight.grad.dtype) == (stock.dtype, torch.float32, torch.float32)
    torch.testing.assert_close(ours, stock, rtol=0.05, atol=0.05)


def test_a_penalty_under_bfloat16_autocast_points_where_that_of_float32_points():
    def flat(precise: bool) -> Tensor:
        model, x = network().float(), images().float().detach().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not precise), twice_differentiable(model):
            scores = model(x)
        (gradient,) = torch.autograd.grad(scores[:, 0].float().sum(), x, create_graph=True)
        gradient.square().sum().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    assert torch.cosine_similarity(flat(True), flat(False), 0) > 0.99


def test_a_device_without_autocast_works_as_ever():
    model = network().to("meta")
    assert [g.shape for g in penalty_gradients(model, images().detach().to("meta").requires_grad_())] == [
        p.shape for p in model.parameters()
    ]
