"""Half precision keeps the direction of the gradient, and single precision its value."""

import pytest
import timm
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from danil.objectives import DistractorAware
from objectives.networks import gradients, half_wrong
from oracles import algorithm_one

NETWORKS = ["test_resnet", "test_efficientnet", "test_vit"]


def small(name):
    torch.manual_seed(0)
    arguments = {"img_size": 64} if "vit" in name else {}
    network = timm.create_model(name, num_classes=5, drop_path_rate=0, **arguments).train()
    images = torch.randn(4, 3, 64, 64)
    return network, images, half_wrong(network, images, 5)


def flat(gradient):
    return torch.cat([g.flatten().double() for g in gradient])


def cosine(one, other):
    return float(flat(one) @ flat(other) / flat(one).norm() / flat(other).norm())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_direction_of_the_distractor_terms_gradient(name, dtype):
    network, images, labels = small(name)
    objective = DistractorAware()
    single = objective(network, images, labels)
    with torch.autocast("cpu", dtype=dtype):
        half = objective(network, images, labels)
    assert half.total.dtype == torch.float32
    ours, theirs = (gradients(terms.parts["distractor"] * 2**10, network) for terms in (half, single))
    assert cosine(ours, theirs) >= 0.99


@pytest.mark.parametrize("name", NETWORKS)
def test_single_precision_equals_algorithm_one_in_double(name):
    network, images, labels = small(name)
    with sdpa_kernel(SDPBackend.MATH):
        expected = algorithm_one.frozen(network.double(), images.double(), labels, distance="mean")
    terms = DistractorAware()(network.float(), images, labels)
    ours, theirs = flat(gradients(terms.parts["distractor"] / 1e-5, network)), flat(expected.distraction_gradients)
    assert (ours - theirs).norm() <= 1e-4 * theirs.norm()
    assert terms.total.item() == pytest.approx(expected.total.item(), rel=1e-4)


def test_a_gradient_scaler_needs_to_scale_the_total_only():
    network, images, labels = small("test_resnet")
    expected = gradients(DistractorAware(1e-3)(network, images, labels).total, network)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with torch.autocast("cpu", dtype=torch.float16):
        terms = DistractorAware(1e-3)(network, images, labels)
    scaler.scale(terms.total).backward()
    scaler.unscale_(optimizer)
    assert cosine([p.grad for p in network.parameters()], expected) >= 0.99
    before = [p.detach().clone() for p in network.parameters()]
    scaler.step(optimizer)
    assert any(not torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))
