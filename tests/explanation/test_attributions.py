import pytest
import torch
from torch import nn
from torch.nn import functional as F

from danil.explanation import (
    AttributionError,
    contribution_map,
    grad_cam,
    integrated_gradients,
    occlusion,
)
from danil.explanation.attributions import last_feature_layer
from danil.models import BACKBONES, create_model, minimum_size
from danil.objectives import response_maps

TASKS = {"grade": ("a", "b", "c")}


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3 * 6 * 6, 3)

    def forward(self, images):
        return self.layer(images.flatten(1))

    def weights(self, labels):
        return self.layer.weight[labels].detach().view(len(labels), 3, 6, 6)


class Smooth(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 5, 3, stride=2)
        self.dropout = nn.Dropout(0.5)
        self.layer = nn.Linear(5, 3)

    def forward(self, images):
        return self.layer(self.dropout(torch.tanh(self.convolution(images)).mean((2, 3))))


@pytest.fixture
def batch():
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1)), torch.tensor([2, 0])


def test_integrated_gradients_of_a_linear_network_are_weight_times_input(batch):
    images, labels = batch
    network = Linear()
    torch.testing.assert_close(integrated_gradients(network, images, labels), network.weights(labels) * images)


def test_integrated_gradients_sum_to_the_logit_s_difference(batch):
    images, labels = batch
    network = Smooth().eval()
    found = integrated_gradients(network, images, labels).flatten(1).sum(1)
    with torch.no_grad():
        rise = network(images) - network(torch.zeros_like(images))
    torch.testing.assert_close(found, rise.gather(1, labels[:, None])[:, 0], rtol=1e-4, atol=1e-5)


def test_occlusion_of_single_pixels_is_what_each_adds(batch):
    images, labels = batch
    network = Linear()
    expected = (network.weights(labels) * images).sum(1, keepdim=True)
    torch.testing.assert_close(occlusion(network, images, labels, window=1), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"`window` is 7"):
        occlusion(network, images, labels, window=7)


def test_grad_cam_is_its_formula_on_the_last_feature_map():
    torch.manual_seed(0)
    model = create_model("test_resnet", TASKS, weights="none").eval()
    images, labels = torch.randn(2, 3, 64, 64), torch.tensor([2, 0])
    maps = model.feature_map(images).detach().requires_grad_()
    logits = model.head(model.backbone.forward_head(maps))
    (gradient,) = torch.autograd.grad(logits.gather(1, labels[:, None]).sum(), maps)
    expected = torch.relu((gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True)).detach()
    expected = F.interpolate(expected, (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(grad_cam(model, images, labels), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_grad_cam_looks_at_each_backbone_s_last_feature_map(backbone):
    model = create_model(backbone, TASKS, weights="none").eval()
    image = torch.randn(1, 3, *(2 * [minimum_size(backbone) + 32]))
    seen = []
    handle = last_feature_layer(model, image).register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        expected = model.feature_map(image)
    handle.remove()
    torch.testing.assert_close(seen[0], expected)


def test_grad_cam_takes_a_plain_network_s_last_map_with_more_than_one_place():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    assert last_feature_layer(network, torch.randn(1, 3, 8, 8)) is network[1]


@pytest.mark.parametrize("backbone", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_transformers_have_no_grad_cam_and_say_what_to_use(backbone):
    model = create_model(backbone, TASKS, weights="none")
    side = minimum_size(backbone)
    with pytest.raises(AttributionError, match="Use response maps, Integrated Gradients or occlusion"):
        grad_cam(model, torch.zeros(1, 3, side, side), torch.tensor([0]))


def test_a_network_without_any_map_has_no_grad_cam(batch):
    with pytest.raises(AttributionError, match="no convolutional feature map"):
        grad_cam(Linear(), *batch)


@pytest.mark.parametrize("method", [integrated_gradients, grad_cam, occlusion])
def test_maps_leave_modes_gradients_and_images_as_found(method, batch):
    images, labels = batch
    network = Smooth()
    network.dropout.eval()
    network.layer.weight.requires_grad_(False)
    before = images.clone()
    first = method(network, images, labels)
    assert network.training
    assert not network.dropout.training
    assert [weight.requires_grad for weight in network.parameters()] == [True, True, False, True]
    assert all(weight.grad is None for weight in network.parameters())
    assert not images.requires_grad
    assert torch.equal(images, before)
    assert not network.convolution._forward_hooks
    assert not first.requires_grad
    torch.testing.assert_close(method(network, images, labels), first)


@pytest.mark.parametrize("method", [integrated_gradients, grad_cam, occlusion])
def test_one_head_of_several_is_explained_and_must_be_named(method):
    torch.manual_seed(0)
    model = create_model("test_resnet", {"grade": ("a", "b", "c"), "site": ("x", "y")}, weights="none").eval()
    alone = create_model("test_resnet", {"site": ("x", "y")}, weights="none").eval()
    alone.backbone.load_state_dict(model.backbone.state_dict())
    alone.head.layers[0].load_state_dict(model.head.layers[1].state_dict())
    images, labels = torch.randn(1, 3, 32, 32), torch.tensor([1])
    torch.testing.assert_close(method(model, images, labels, task="site"), method(alone, images, labels))
    with pytest.raises(AttributionError, match=r"`task` is None; the network has the heads \['grade', 'site'\]"):
        method(model, images, labels)


def test_contributions_foretell_the_loss_nearby_to_first_order(batch):
    """Eq. 1: L(x) = A·x + B with B constant, so that losses differ by as much as the sums of contributions do."""
    images, labels = (batch[0].double(), batch[1])
    network = Smooth().double().eval()
    response = response_maps(network, images, labels).truth
    step = torch.randn(images.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def losses(points):
        with torch.no_grad():
            return F.cross_entropy(network(points), labels, reduction="none")

    def contributions(points):
        return contribution_map(response, points).flatten(1).sum(1)

    errors = []
    for size in (1e-2, 5e-3):
        others = images + size * step
        foretold = losses(images) + contributions(others) - contributions(images)
        errors.append((foretold - losses(others)).abs())
    torch.testing.assert_close(errors[0] / errors[1], torch.full((2,), 4.0, dtype=torch.float64), rtol=0.05, atol=0)


def test_contributions_of_a_linear_loss_sum_to_the_loss():
    images = torch.tensor([[[[1.0, -2.0]]]])
    response = torch.tensor([[[[3.0, 0.5]]]])
    assert contribution_map(response, images).tolist() == [[[[3.0, -1.0]]]]
