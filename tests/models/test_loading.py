"""A file's tensors into a backbone: what is recognised, what timm converts, and what is refused in words."""

import re

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from danil.models import WeightsError, create_model
from danil.models.backbones import create_backbone
from danil.models.loading import best_prefixes, converted, fitted, load_tensors, misfits

TASKS = {"label": ("a", "b", "c")}
SMALL = "test_resnet"
FIRST = "conv1.0.weight"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(1)
    return timm.create_model(SMALL, num_classes=10).state_dict()


def loaded(state, path, **options):
    torch.save(state, path / "w.pth")
    return create_model(options.pop("backbone", SMALL), TASKS, weights=path / "w.pth", **options).backbone.state_dict()


def carries(own, state):
    return all(torch.equal(value, state[name]) for name, value in own.items())


def test_the_prefixes_that_fit_most_names_are_taken():
    own = {"conv.weight": torch.zeros(1), "norm.weight": torch.zeros(1)}
    tensors = {"block.conv.weight": torch.ones(1), "net.conv.weight": torch.ones(2), "net.norm.weight": torch.ones(3)}
    assert best_prefixes(tensors, own) == ["net."]
    assert best_prefixes(tensors | {"ema.conv.weight": torch.ones(1), "ema.norm.weight": torch.ones(1)}, own) == [
        "net.",
        "ema.",
    ]


@pytest.mark.parametrize(
    "backbone", list(filter(timm.is_model, ["levit_128s", "repvit_m1", "efficientvit_m0", "shvit_s1", "iformer_t"]))
)
def test_timm_s_own_full_file_fits_with_all_of_its_classifier_left_out(backbone):
    with torch.device("meta"):
        network, full = create_backbone(backbone), timm.create_model(backbone).state_dict()
    assert misfits(fitted(full, network, "file"), network.state_dict()) == {}


def test_what_stands_beside_the_classifier_is_not_dropped_where_the_network_has_something_there():
    network = create_backbone("test_convnext")
    full = timm.create_model("test_convnext").state_dict() | {"head.other.weight": torch.zeros(1)}
    assert misfits(fitted(full, network, "file"), network.state_dict()) == {"unexpected": ["head.other.weight"]}


@pytest.mark.parametrize(("backbone", "options"), [("vgg11", {}), ("inception_v3", {"init_weights": False})])
def test_torchvision_s_file_fits(backbone, options):
    with torch.device("meta"):
        network, state = create_backbone(backbone), getattr(torchvision.models, backbone)(**options).state_dict()
    assert misfits(fitted(converted(state, network, backbone), network, "file"), network.state_dict()) == {}


def facebook_s(state):
    """Return timm's ConvNeXt tensors under the names of its authors, whose files timm converts."""
    renames = [
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d+)\.downsample", r"downsample_layers.\1"),
        (r"blocks\.", ""),
        ("conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"^head\.norm", "norm"),
        (r"^head\.fc", "head"),
    ]
    renamed = {}
    for name, value in state.items():
        for pattern, text in renames:
            name = re.sub(pattern, text, name)
        renamed[name] = value
    return renamed


def test_names_that_timm_converts_are_loaded_and_the_file_s_own_are_reported_where_it_cannot(tmp_path):
    state = timm.create_model("test_convnext", num_classes=10).state_dict()
    foreign = facebook_s(state)
    assert set(foreign).isdisjoint(state)
    assert carries(loaded(foreign, tmp_path, backbone="test_convnext"), state)
    with pytest.raises(WeightsError, match=r"does not fit backbone `test_convnext`.*unexpected: downsample_layers"):
        loaded(foreign | {"stray.weight": torch.zeros(2, 2)}, tmp_path, backbone="test_convnext")


def test_a_file_that_fits_is_not_converted(tmp_path, state, monkeypatch):
    monkeypatch.setattr("danil.models.loading.converted", None)
    assert carries(loaded(state, tmp_path), state)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (FIRST, lambda value: (value * 100).to(torch.int8)),
        (FIRST, lambda value: value.to(torch.complex64)),
        (FIRST, lambda value: value.to(torch.float8_e4m3fn)),
        ("bn1.weight", lambda value: value > 0),
    ],
    ids=["int8", "complex", "float8", "bool"],
)
def test_numbers_of_another_kind_are_refused(tmp_path, state, name, change):
    with pytest.raises(WeightsError, match=rf"w\.pth` holds numbers of another kind.*{name} \(torch\..*Save the"):
        loaded(state | {name: change(state[name])}, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.to_sparse(),
        lambda value: value.to("meta"),
        lambda value: torch.nested.nested_tensor(list(value)),
        lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    ],
    ids=["sparse", "meta", "nested", "quantized"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_not_stored_number_by_number_are_refused(tmp_path, state, change):
    with pytest.raises(WeightsError, match=rf"w\.pth` holds sparse, nested, quantized.*: {FIRST}\. Save"):
        loaded(state | {FIRST: change(state[FIRST])}, tmp_path)


def test_two_networks_in_one_file_are_refused_unless_they_are_the_same(tmp_path, state):
    twice = {f"{role}.{name}": value.clone() for role in ("teacher", "student") for name, value in state.items()}
    assert carries(loaded(twice, tmp_path), state)
    twice[f"student.{FIRST}"] = state[FIRST] * 2
    with pytest.raises(WeightsError, match=r"several networks that differ, under `teacher\.` and `student\.`\. Save"):
        loaded(twice, tmp_path)
    with pytest.raises(WeightsError, match=r"under `ema\.` and no prefix\. Save"):
        loaded({f"ema.{name}": value + 1 for name, value in state.items()} | state, tmp_path)


@pytest.mark.parametrize(("there", "here"), [(4, 1), (1, 4)])
def test_channels_that_cannot_be_adapted_are_named_with_the_way_out(tmp_path, there, here):
    save_file(timm.create_model(SMALL, in_chans=there).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=rf"takes {there} channels there and {here} in.*or take `in_chans={there}`"):
        create_model(SMALL, TASKS, weights=tmp_path / "w.safetensors", in_chans=here)


def test_a_counter_that_the_network_has_not_is_left_out(state):
    network = create_backbone(SMALL)
    load_tensors(network, state | {"old.num_batches_tracked": torch.tensor(3)}, "file", SMALL)
    assert carries(network.state_dict(), state)
