"""Half precision keeps the direction of the gradient, and single precision its value."""

import copy

import pytest
import timm
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from danil.objectives import DistractorAware, response_maps
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


@pytest.mark.parametrize("normalization", ["frozen", "coupled", "running"])
def test_fabrics_true_precision_is_that_of_a_network_and_images_cast_by_hand(normalization):
    network, images, labels = small("test_resnet")
    twin = copy.deepcopy(network).bfloat16()
    fabric = Fabric(accelerator="cpu", precision="bf16-true")
    fabric.launch()
    wrapped = fabric.setup(network)
    objective = DistractorAware(normalization=normalization)
    ours, theirs = objective(wrapped, images, labels), objective(twin, images.bfloat16(), labels)
    fabric.backward(ours.total)
    theirs.total.backward()
    assert torch.equal(ours.parts["distractor"], theirs.parts["distractor"])
    assert ours.parts["distractor"] > 0
    for mine, its in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine.grad, its.grad)
    found = (response_maps(wrapped, images, labels), response_maps(twin, images.bfloat16(), labels))
    assert torch.equal(*(maps.difference for maps in found))


def test_fabrics_mixed_precision_reaches_the_second_pass_inside_its_autocast_only():
    seen = []
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    network[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    fabric = Fabric(accelerator="cpu", precision="bf16-mixed")
    fabric.launch()
    wrapped, images = fabric.setup(network), torch.randn(4, 3, 8, 8)
    labels = (network(images).argmax(1) + 1) % 3
    seen.clear()
    DistractorAware()(wrapped, images, labels)
    with fabric.autocast():
        DistractorAware()(wrapped, images, labels)
    assert seen == [torch.bfloat16, torch.float32, torch.bfloat16, torch.bfloat16]


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("options", [{"measure_every": 1}, {"strength": 0.1}, {"normalization": "coupled"}])
def test_under_fabrics_mixed_precision_gradients_of_the_objectives_own_are_taken_too(precision, options):
    network, images, labels = small("test_resnet")
    twin = copy.deepcopy(network)
    scaler = torch.amp.GradScaler("cpu") if precision == "16-mixed" else None
    fabric = Fabric(accelerator="cpu", plugins=[MixedPrecision(precision, "cpu", scaler)])
    fabric.launch()
    wrapped = fabric.setup(network)
    with fabric.autocast():
        ours = DistractorAware(1e-3, **options)(wrapped, images, labels)
        theirs = DistractorAware(1e-3, **options)(twin, images, labels)
    assert ours.stats.get("gradient_ratio", ours.total).isfinite()
    torch.testing.assert_close(ours.total, theirs.total)
    torch.testing.assert_close(ours.stats, theirs.stats, equal_nan=True)
    with pytest.raises(RuntimeError, match=r"fabric\.backward"):
        ours.total.backward(retain_graph=True)
    fabric.backward(ours.total)


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
