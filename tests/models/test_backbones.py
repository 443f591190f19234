import copy

import pytest
import timm
import torch
from safetensors.torch import load, save
from torch.nn import functional as F

from danil.models import BACKBONES, BackboneError, create_model, minimum_size
from danil.models.backbones import create_backbone, keep_feature_map_only

ONE = {"diagnosis": ("a", "b", "c")}
TWO = {"type": ("a", "b", "c"), "site": ("x", "y")}
SMALL = "test_resnet"


def random_images(backbone, batch=2):
    side = 96 if minimum_size(backbone) > 64 else 64
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


LARGE = {"vgg11": pytest.mark.slow, "inception_resnet_v2": pytest.mark.slow}


@pytest.mark.parametrize("backbone", [pytest.param(name, marks=LARGE.get(name, ())) for name in BACKBONES])
def test_every_backbone_keeps_the_contract(backbone):
    torch.manual_seed(0)
    model = create_model(backbone, TWO, weights="none")
    images = random_images(backbone)
    logits = model(images)
    assert {task: tuple(value.shape) for task, value in logits.items()} == {"type": (2, 3), "site": (2, 2)}

    sum(F.cross_entropy(value, torch.zeros(2, dtype=torch.long)) for value in logits.values()).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []

    model.eval()
    with torch.no_grad():
        pooled, maps = model.features(images), model.feature_map(images)
        torch.testing.assert_close(model(images)["site"], model.head.layers[1](pooled))
    assert pooled.shape == (2, model.head.layers[0].in_features)
    assert maps.ndim == 4
    assert all(isinstance(model.get_submodule(name), torch.nn.Linear) for name in model.last_layer_names)
    assert len(model.mean) == len(model.std) == 3

    twin = create_model(backbone, TWO, weights="none").eval()
    twin.load_state_dict(load(save(model.state_dict())))
    with torch.no_grad():
        torch.testing.assert_close(twin(images), model(images), rtol=0, atol=0)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_row_holds_the_smallest_size_that_works(backbone):
    model = create_model(backbone, ONE, weights="none").eval()
    side = minimum_size(backbone)
    with torch.no_grad():
        assert model(torch.zeros(1, 3, side, side)).shape == (1, 3)
        if side > 32:
            with pytest.raises(RuntimeError):
                model(torch.zeros(1, 3, side - 1, side - 1))


@pytest.mark.parametrize(
    ("backbone", "side"), [("inception_v4.tf_in1k", 75), ("eca_botnext26ts_256", 256), ("halonet26t", 256)]
)
def test_the_smallest_size_is_the_architecture_s_row_else_the_fixed_size_else_timm_s_minimum(backbone, side):
    assert minimum_size(backbone) == side


@pytest.mark.parametrize("backbone", ["resnet50", "vgg11"])
def test_canet_sits_on_a_backbone_without_idle_parameters(backbone):
    model = create_model(backbone, TWO, weights="none", head="canet")
    logits = model(random_images(backbone))
    assert list(logits) == ["type", "site", "aux/type", "aux/site"]
    sum(value.square().sum() for value in logits.values()).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize(
    "backbone", list(filter(timm.is_model, ["inception_v3", "inception_resnet_v2", "csatv2", "eca_botnext26ts_256"]))
)
def test_canet_sits_on_backbones_that_take_no_small_image(backbone):
    network = create_backbone(backbone)
    keep_feature_map_only(network, backbone)
    assert {name.partition(".")[0] for name, _ in network.named_parameters()}.isdisjoint({"head", "fc", "classif"})


def test_looking_for_idle_parameters_leaves_the_backbone_as_it_was():
    network = create_backbone(SMALL)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    keep_feature_map_only(network, SMALL)
    assert torch.equal(torch.get_rng_state(), random)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_a_backbone_that_cannot_give_its_map_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setattr(timm.models.ResNet, "forward_features", lambda network, images: images.view(1, 2, 3))
    with pytest.raises(BackboneError, match=r"`backbone` is `test_resnet`.*160×160.*e\.g\. `resnet50`, or the head"):
        create_model(SMALL, ONE, weights="none", head="canet")


def test_one_task_gives_a_tensor():
    assert create_model(SMALL, ONE, weights="none")(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


def test_any_timm_name_works_vision_transformers_at_other_sizes_too():
    model = create_model("test_vit", ONE, weights="none").eval()
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


def test_a_channels_last_backbone_gives_its_map_channels_first():
    model = create_model("swin_tiny_patch4_window7_224", ONE, weights="none").eval()
    with torch.no_grad():
        assert model.feature_map(torch.zeros(1, 3, 224, 224)).shape == (1, 768, 7, 7)


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(BackboneError, match=r"`backbone` is `resnet500`.*Near it: resnet50"):
        create_model("resnet500", ONE, weights="none")


def test_a_transformer_has_no_feature_map_for_canet():
    with pytest.raises(BackboneError, match="Choose a convolutional backbone"):
        create_model("test_vit", ONE, weights="none", head="canet")


@pytest.mark.parametrize("backbone", list(filter(timm.is_model, ["coat_tiny", "crossvit_tiny_240", "efficientvim_m1"])))
def test_a_backbone_with_several_maps_has_none_for_canet(backbone):
    with pytest.raises(BackboneError, match=r"ends in features in a (list|tuple), .*Choose a convolutional backbone"):
        create_model(backbone, ONE, weights="none", head="canet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": {}}, "`tasks` is empty"),
        ({"tasks": {"a": ("one",)}}, "at least two"),
        ({"tasks": {"a": ("one", "one")}}, "all different"),
        ({"tasks": {"aux/a": ("x", "y")}}, "kept for auxiliary"),
        ({"dropout": 1.0}, r"`dropout` is 1.0"),
        ({"head": "mlp"}, "`head` is `mlp`"),
        ({"head": "canet_single", "tasks": TWO}, "grades one"),
    ],
)
def test_choices_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        create_model(SMALL, **({"tasks": ONE, "weights": "none"} | options))


def test_dropout_acts_in_training_only_and_each_head_has_its_own_share():
    model = create_model(SMALL, ONE, weights="none", head="dropout")
    assert model.head.dropout.p == 0.5
    assert create_model(SMALL, ONE, weights="none").head.dropout.p == 0.0
    assert create_model(SMALL, ONE, weights="none", head="canet").head.diseases[0].dropout.p == 0.3
    assert create_model(SMALL, ONE, weights="none", head="canet", dropout=0.0).head.diseases[0].dropout.p == 0.0
    images = torch.randn(2, 3, 32, 32)
    model.eval()
    torch.testing.assert_close(model(images), model(images), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(images), model(images))


def test_grey_images_get_one_mean_and_one_spread():
    model = create_model(SMALL, ONE, weights="none", in_chans=1)
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    assert len(model.mean) == len(model.std) == 1


def test_channels_last_gives_the_same_logits():
    torch.manual_seed(0)
    model = create_model(SMALL, TWO, weights="none", head="canet").eval()
    images = torch.randn(2, 3, 64, 64)
    expected = model(images)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(images.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)


def test_the_whole_network_traces_into_one_graph():
    model = create_model(SMALL, TWO, weights="none", head="canet").eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(compiled(images), model(images))
