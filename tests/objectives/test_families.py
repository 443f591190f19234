"""The frozen gradient of real architectures, one of each family, against the literal oracle in float64."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from danil.objectives import DistractorAware
from objectives.networks import gradients, half_wrong
from oracles import algorithm_one

FAMILIES = {
    "resnet18": {"layers": (1, 1, 1, 1)},
    "resnext26ts": {},
    "legacy_seresnet18": {},
    "res2net50_14w_8s": {"layers": (1, 1, 1, 1)},
    "resnest14d": {},
    "test_nfnet": {},  # weight standardisation by `batch_norm` of the weight, which stays differentiable
    "vgg11": {"mlp_ratio": 0.01},
    "vgg11_bn": {"mlp_ratio": 0.01},
    "inception_v4": {},
    "efficientnet_b0": {},
    "tf_efficientnet_lite0": {},
    "mobilenetv2_050": {},
    "mobilenetv3_small_050": {},
    "mnasnet_small": {},
    "ghostnet_050": {},
    "lcnet_035": {},
    "densenet121": {"block_config": (2, 2, 2, 2)},
    "dla46_c": {},
    "hrnet_w18_small": {},
    "regnety_002": {},
    "repvgg_a0": {},
    "legacy_xception": {},
    "ese_vovnet19b_dw": {},
    "convnext_atto": {"depths": (1, 1, 1, 1)},
    "poolformer_s12": {},
    "fastvit_t8": {},
    "mobilevit_xxs": {},
    "edgenext_xx_small": {},
    "levit_128s": {"img_size": 64},
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 2},
    "deit_tiny_distilled_patch16_224": {"img_size": 64, "depth": 2},
    "cait_xxs24_224": {"img_size": 64, "depth": 2},
    "xcit_nano_12_p16_224": {"img_size": 64, "depth": 2},
    "swin_tiny_patch4_window7_224": {"img_size": 56, "depths": (1, 1, 2, 1)},
    "maxvit_rmlp_pico_rw_256": {"img_size": 64},
    "pvt_v2_b0": {"depths": (1, 1, 1, 1)},
    "gmixer_12_224": {"img_size": 64},
}
SIZES = {"inception_v4": 75, "swin_tiny_patch4_window7_224": 56}


@pytest.fixture(autouse=True)
def pytorch_can_differentiate_twice(monkeypatch):
    """Let the oracle run where stock PyTorch has no second derivative: hard sigmoid, fused attention."""
    monkeypatch.setattr(functional, "hardsigmoid", lambda x, inplace=False: functional.relu6(x + 3) / 6)
    with sdpa_kernel(SDPBackend.MATH):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_gradient_of_the_distractor_term_equals_algorithm_one(name):
    network, images = family(name)
    agree(network, images, half_wrong(network, images, 5))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "levit_128s", "xcit_nano_12_p16_224"])
def test_a_single_wrong_image_is_no_special_case(name):
    network, images = family(name)
    labels = half_wrong(network, images, 5)
    labels[1] = (labels[1] - 1) % 5
    agree(network, images.contiguous(memory_format=torch.channels_last), labels)


@pytest.mark.slow
def test_a_second_step_uses_no_parameters_of_the_first():
    network, images = family("levit_128s")  # caches attention biases in eval mode
    DistractorAware()(network, images, half_wrong(network, images, 5)).total.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 1.1
    agree(network, images, half_wrong(network, images, 5))


def agree(network, images, labels):
    expected = algorithm_one.frozen(network, images, labels, distance="mean")
    terms = DistractorAware()(network, images, labels)
    torch.testing.assert_close(terms.total.detach(), expected.total, rtol=1e-9, atol=0)
    ours = torch.cat([g.flatten() for g in gradients(terms.parts["distractor"] / 1e-5, network)])
    theirs = torch.cat([g.flatten() for g in expected.distraction_gradients])
    assert theirs.norm() > 0
    assert (ours - theirs).norm() <= 1e-9 * theirs.norm()


def family(name):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=5, **FAMILIES[name]).double().train()
    if name == "gmixer_12_224":  # its head starts at zero, where no map exists
        nn.init.normal_(network.head.weight)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
        for rate in ("p", "drop_prob", "drop_rate"):
            if isinstance(getattr(module, rate, None), float):
                setattr(module, rate, 0.0)
    return network, torch.randn(4, 3, SIZES.get(name, 64), SIZES.get(name, 64), dtype=torch.float64)
