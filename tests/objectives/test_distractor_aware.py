"""DistractorAware against Algorithm 1, transcribed slowly, for each meaning of BatchNorm."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from danil.objectives import CrossEntropy, DistractorAware
from objectives.networks import (
    SharedNorm,
    batch,
    gradients,
    half_wrong,
    instance_normalized,
    made,
    normalized,
    plain,
    predictions,
)
from oracles import algorithm_one

ORACLES = {"frozen": algorithm_one.frozen, "coupled": algorithm_one.coupled, "running": algorithm_one.running}
NETWORKS = {"plain": plain, "normalized": normalized, "instance_normalized": instance_normalized}
CASES = [(name, normalization) for name in ("plain", "normalized") for normalization in ORACLES]
CASES.append(("instance_normalized", "frozen"))  # never mixes images: its train-mode batch is the oracle
EXACT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.mark.parametrize("distance", ["mean", "sum"])
@pytest.mark.parametrize("formulation", ["margin", "literal"])
@pytest.mark.parametrize(("name", "normalization"), CASES)
def test_values_and_parameter_gradients_equal_algorithm_one(name, normalization, formulation, distance):
    network, (images, _) = made(NETWORKS[name]), batch()
    labels = half_wrong(network, images)
    constants = {"weight": 0.01, "epsilon": 1e-3, "distance": distance}
    oracle = algorithm_one.coupled if name == "instance_normalized" else ORACLES[normalization]
    expected = oracle(network, images, labels, **constants)
    terms = DistractorAware(normalization=normalization, formulation=formulation, **constants)(network, images, labels)
    assert len(expected.distances) == 3
    torch.testing.assert_close(terms.total.detach(), expected.total, **EXACT)
    torch.testing.assert_close(terms.parts["distractor"].detach(), 0.01 * expected.distraction, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("normalization", ORACLES)
@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("share", ["none", "all"])
def test_batches_with_no_or_only_wrong_images_equal_algorithm_one(normalization, size, share):
    network, (images, _) = made(normalized), batch(size)
    labels = (predictions(network, images) + (share == "all")) % 4
    expected = ORACLES[normalization](network, images, labels, weight=0.01, distance="mean")
    terms = DistractorAware(0.01, normalization=normalization)(network, images, labels)
    assert len(expected.distances) == (size if share == "all" else 0)
    torch.testing.assert_close(terms.total.detach(), expected.total, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("normalization", ORACLES)
def test_a_batch_of_one_image_equals_algorithm_one(normalization):
    network, (images, _) = made(plain), batch(1)
    labels = (predictions(network, images) + 1) % 4
    expected = ORACLES[normalization](network, images, labels, weight=0.01, distance="mean")
    terms = DistractorAware(0.01, normalization=normalization)(network, images, labels)
    torch.testing.assert_close(terms.total.detach(), expected.total, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("normalization", ORACLES)
def test_two_classes_equal_algorithm_one(normalization):
    network, (images, _) = made(lambda: normalized(2)), batch(6, 2)
    labels = half_wrong(network, images, 2)
    expected = ORACLES[normalization](network, images, labels, weight=0.01, distance="mean")
    terms = DistractorAware(0.01, normalization=normalization)(network, images, labels)
    torch.testing.assert_close(terms.total.detach(), expected.total, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_a_normalisation_layer_in_eval_mode_keeps_its_running_statistics():
    network, (images, _) = made(normalized), batch()
    network[1].eval()
    labels = half_wrong(network, images)
    expected = algorithm_one.frozen(network, images, labels, weight=0.01, distance="mean")
    terms = DistractorAware(0.01)(network, images, labels)
    torch.testing.assert_close(terms.total.detach(), expected.total, **EXACT)


def test_each_call_of_a_shared_normalisation_layer_keeps_its_own_statistics():
    network, (images, _) = made(SharedNorm), batch()
    labels = half_wrong(network, images)
    terms = DistractorAware(1.0)(network, images, labels)
    statistics = []
    hook = network.norm.register_forward_pre_hook(
        lambda _, x: statistics.append((x[0].mean((0, 2, 3)).detach(), x[0].var((0, 2, 3), unbiased=False).detach()))
    )
    logits = network(images)
    hook.remove()
    total = cross_entropy(logits, labels)
    for i in range(1, 6, 2):
        x = images[i : i + 1].clone().requires_grad_()
        features = x
        for convolution, (mean, variance) in zip((network.first, network.second), statistics, strict=True):
            features = nn.functional.batch_norm(
                convolution(features),
                mean,
                variance,
                network.norm.weight,
                network.norm.bias,
                False,
                0.0,
                network.norm.eps,
            )
            features = torch.tanh(features)
        z = network.head(features.mean((2, 3)))[0]
        (margin,) = torch.autograd.grad(z[logits[i].argmax()] - z[labels[i]], x, create_graph=True)
        total = total + 1 / (margin.square().mean() + 1e-4) / 6
    torch.testing.assert_close(terms.total, total, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), gradients(total, network), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_running_statistics_have_no_influence_on_a_frozen_loss():
    network, (images, _) = made(normalized), batch()
    labels = half_wrong(network, images)
    before = DistractorAware(0.01)(network, images, labels)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean += 3
            module.running_var *= 7
    after = DistractorAware(0.01)(network, images, labels)
    assert torch.equal(before.parts["distractor"], after.parts["distractor"])


def test_a_correct_neighbour_has_influence_on_a_frozen_loss():
    network, (images, _) = made(normalized), batch()
    labels = half_wrong(network, images)
    moved = images.clone()
    moved[0] *= 1.01
    assert torch.equal(predictions(network, images), predictions(network, moved))
    before, after = (DistractorAware(0.01)(network, x, labels).parts["distractor"] for x in (images, moved))
    assert not torch.isclose(before, after, rtol=1e-6)


def test_the_distractor_term_moves_the_parameters():
    network, (images, _) = made(normalized), batch()
    terms = DistractorAware(0.01)(network, images, half_wrong(network, images))
    moved = gradients(terms.parts["distractor"], network)
    assert all(g.norm() > 1e-8 for g, (name, p) in zip(moved, network.named_parameters(), strict=True) if p.dim() > 1)


@pytest.mark.parametrize("layer", [None, "4"])
@pytest.mark.parametrize("normalization", ["frozen", "running"])
def test_detached_maps_leave_exactly_the_base_gradient(normalization, layer):
    network, (images, _) = made(normalized), batch()
    labels = half_wrong(network, images)
    base = CrossEntropy()(copy.deepcopy(network), images, labels)
    twin = copy.deepcopy(network)
    options = {"normalization": normalization, "layer": layer}
    ours = DistractorAware(0.01, detach=True, **options)(network, images, labels)
    attached = DistractorAware(0.01, **options)(twin, images, labels)
    assert torch.equal(ours.parts["cross_entropy"], base.total)
    torch.testing.assert_close(ours.parts["distractor"], attached.parts["distractor"].detach(), **EXACT)
    expected = gradients(CrossEntropy()(network, images, labels).total, network)
    for mine, theirs in zip(gradients(ours.total, network), expected, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("normalization", ["frozen", "coupled"])
def test_the_second_derivative_passes_gradcheck(normalization):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).double()
    images = torch.randn(4, 5, dtype=torch.float64)
    labels = (predictions(network, images) + 1) % 3
    if normalization == "frozen":  # constants with respect to W: no number can be checked against finite differences
        network[2].eval()
    objective = DistractorAware(0.1, epsilon=0.01, normalization=normalization, rival="runner_up")
    names, values = zip(*network.named_parameters(), strict=True)

    def total(*parameters):
        copied = copy.deepcopy(network)
        for name, parameter in zip(names, parameters, strict=True):
            owner, leaf = name.rsplit(".", 1)
            delattr(copied.get_submodule(owner), leaf)
            setattr(copied.get_submodule(owner), leaf, parameter)
        return objective(copied, images, labels).parts["distractor"]

    assert torch.autograd.gradcheck(total, [v.detach().clone().requires_grad_() for v in values])
