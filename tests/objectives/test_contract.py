"""What every objective keeps, whatever it computes. A new objective adds one line to `OBJECTIVES`."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from danil.objectives import CrossDisease, CrossEntropy, DistractorAware, HardExamples, Terms, WeightedTasks
from objectives.networks import SharedNorm, batch, half_wrong, instance_normalized, made, normalized, plain


class Auxiliary(nn.Module):
    """Give a network's logits as those of a task, beside auxiliary ones."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x):
        logits = self.network(x)
        return {"grade": logits, "aux/grade": logits.flip(1)}


class OneDisease:
    """An objective that wants auxiliary logits and a mapping of targets, on the networks and labels of this file."""

    def __init__(self, objective) -> None:
        self.objective = objective

    def __call__(self, network, images, labels) -> Terms:
        terms = self.objective(Auxiliary(network), images, {"grade": labels})
        return replace(terms, logits=terms.logits["grade"])


OBJECTIVES = {
    "cross_entropy": CrossEntropy,
    "smoothed": lambda: CrossEntropy([1.0, 2.0, 3.0, 4.0], 0.1),
    "hard_examples": HardExamples,
    "weighted_tasks": lambda: WeightedTasks({"": 0.5}),
    "cross_disease": lambda: OneDisease(CrossDisease()),
    "distractor_aware": DistractorAware,
    "literal": lambda: DistractorAware(formulation="literal", distance="sum"),
    "coupled": lambda: DistractorAware(normalization="coupled", map_scale="batch"),
    "running": lambda: DistractorAware(normalization="running"),
    "logarithmic": lambda: DistractorAware(form="log", rival="runner_up"),
    "detached": lambda: DistractorAware(detach=True),
    "on_hard_examples": lambda: DistractorAware(base=HardExamples(0.5)),
    "on_cross_disease": lambda: OneDisease(DistractorAware(base=CrossDisease())),
    "measured": lambda: DistractorAware(measure_every=1),
    "held": lambda: DistractorAware(strength=0.1),
}


class Stochastic(nn.Module):
    """Dropout as a module, as a function that follows the mode, and as one that does not; noise of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = plain()
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        x = nn.functional.dropout2d(self.dropout(x), 0.2, self.training)
        return self.trunk(nn.functional.dropout(x, 0.1))


FACTORIES = [plain, normalized, instance_normalized, SharedNorm, Stochastic]


@pytest.fixture(params=OBJECTIVES)
def objective(request):
    return OBJECTIVES[request.param]()


@pytest.fixture(params=FACTORIES, ids=lambda f: f.__name__)
def network(request):
    return made(request.param)


def test_terms_are_finite_scalars_and_the_parts_sum_to_the_total(objective, network):
    images, labels = batch()
    terms = objective(network, images, labels)
    assert isinstance(terms, Terms)
    assert terms.total.shape == ()
    assert terms.total.isfinite()
    torch.testing.assert_close(sum(terms.parts.values()), terms.total)
    assert all(value.shape == () and not value.requires_grad for value in terms.stats.values())
    assert terms.logits.shape == (6, 4)
    assert terms.losses.shape == (6,)
    assert not terms.losses.requires_grad


def test_one_backward_reaches_every_parameter(objective, network):
    images, labels = batch()
    objective(network, images, labels).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_modes_hooks_parameters_and_the_callers_tensors_are_left_as_found(objective, network):
    images, labels = batch()
    next(network.children()).eval()
    called = []
    hook = next(network.children()).register_forward_hook(lambda *_: called.append(1))
    modes = [m.training for m in network.modules()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]
    momenta = [getattr(m, "momentum", None) for m in network.modules()]
    given = images.clone(), labels.clone()
    terms = objective(network, images, labels)
    assert [m.training for m in network.modules()] == modes
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()] == hooks
    assert [getattr(m, "momentum", None) for m in network.modules()] == momenta
    assert not images.requires_grad
    assert images.grad is None
    assert torch.equal(images, given[0])
    assert torch.equal(labels, given[1])
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    terms.total.backward()
    assert images.grad is None
    hook.remove()


def test_random_numbers_are_drawn_as_by_one_plain_forward(objective, network):
    images, labels = batch()
    twin = copy.deepcopy(network)
    torch.manual_seed(3)
    twin(images)
    expected = torch.get_rng_state()
    torch.manual_seed(3)
    objective(network, images, labels)
    assert torch.equal(torch.get_rng_state(), expected)


def test_buffers_are_updated_exactly_as_by_one_plain_forward(objective, network):
    images, labels = batch()
    twin = copy.deepcopy(network)
    torch.manual_seed(3)
    twin(images)
    torch.manual_seed(3)
    objective(network, images, labels)
    for (name, ours), theirs in zip(network.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name, rtol=1e-12, atol=0)


def test_logits_and_losses_are_those_of_the_plain_forward(objective, network):
    images, labels = batch()
    twin = copy.deepcopy(network)
    torch.manual_seed(3)
    expected = twin(images)
    torch.manual_seed(3)
    torch.testing.assert_close(objective(network, images, labels).logits, expected, rtol=1e-12, atol=1e-14)


def test_an_error_in_the_second_pass_leaves_the_modes_as_found():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = plain()

        def forward(self, x):
            if not self.training:
                raise RuntimeError("no eval mode here")
            return self.trunk(x)

    network, (images, _) = made(Failing), batch()
    with pytest.raises(RuntimeError, match="no eval mode here"):
        DistractorAware()(network, images, half_wrong(network, images))
    assert all(m.training for m in network.modules())
    assert torch.overrides._get_current_function_mode_stack() == []


def test_images_that_require_gradients_get_those_of_the_first_pass_only():
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    expected = torch.autograd.grad(CrossEntropy()(network, images.requires_grad_(), labels).total, images)[0]
    DistractorAware()(network, images, labels).total.backward()
    torch.testing.assert_close(images.grad, expected)
