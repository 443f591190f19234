"""What cannot have response maps is refused in words, and what can is not."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

from danil.objectives import (
    CrossDisease,
    CrossEntropy,
    DistractorAware,
    HardExamples,
    WeightedTasks,
    requirements,
    response_maps,
)
from objectives.networks import TwoHeads, batch, half_wrong, made, normalized, plain

EXACT = {"rtol": 1e-9, "atol": 1e-12}
NORMALIZATIONS = ["frozen", "coupled", "running"]


class Behind(nn.Module):
    """Do something to the images, then run a network on them."""

    def __init__(self, before):
        super().__init__()
        self.before, self.trunk = before, plain()

    def forward(self, x):
        return self.trunk(self.before(x))


@pytest.mark.parametrize("base", [nn.CrossEntropyLoss(), functional.cross_entropy, DistractorAware()])
@pytest.mark.parametrize(
    "objective",
    [DistractorAware, HardExamples, CrossDisease, lambda base: WeightedTasks({"": 1.0}, base)],
    ids=["distractor_aware", "hard_examples", "cross_disease", "weighted_tasks"],
)
def test_a_base_that_gives_no_loss_per_image_is_refused_at_once(objective, base):
    with pytest.raises(TypeError, match=r"`base` is .*use `CrossEntropy\(class_weights=…, label_smoothing=…\)`"):
        objective(base=base)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_whole_numbers_as_images_are_refused_but_where_maps_are_taken_behind_their_conversion(normalization):
    network = made(lambda: Behind(lambda x: x.double() / 255))
    images = (batch()[0] * 40 + 128).clamp(0, 255).byte()
    labels = half_wrong(network, images)
    with pytest.raises(ValueError, match=r"`images` is torch.uint8; .*images.float\(\) / 255"):
        DistractorAware(normalization=normalization)(network, images, labels)
    with pytest.raises(ValueError, match=r"`images` is torch.uint8"):
        response_maps(network, images, labels)
    ours = DistractorAware(0.01, normalization=normalization, layer="trunk.0")
    at_layer = DistractorAware(0.01, normalization=normalization, layer="0")
    torch.testing.assert_close(
        ours(network, images, labels).total, at_layer(network.trunk, images.double() / 255, labels).total, **EXACT
    )
    assert response_maps(network, images, labels, layer="trunk.0").truth.shape == (6, 6, 8, 8)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("part", ["head", "all"])
def test_logits_without_a_derivative_at_the_images_are_refused(normalization, part):
    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.head = plain(), nn.Linear(4, 4)

        def forward(self, x):
            with torch.no_grad():
                features = self.trunk(x)
            return self.head(features.relu() if part == "head" else features.detach())

    network, (images, _) = made(Features), batch()
    if part == "all":
        network.head.requires_grad_(False)
    labels = (network(images).argmax(1) + 1) % 4
    with pytest.raises(ValueError, match=r"do not depend differentiably .*`torch.no_grad\(\)`.*`layer=`"):
        DistractorAware(normalization=normalization)(network, images, labels)
    with pytest.raises(ValueError, match="do not depend differentiably"):
        response_maps(network, images, labels)


@pytest.mark.parametrize("layer", [None, "trunk.0"])
def test_a_network_that_writes_to_its_images_is_refused_where_they_are_used_again_and_works_elsewhere(layer):
    writing, copying = made(lambda: Behind(lambda x: x.sub_(0.5))), made(lambda: Behind(lambda x: x - 0.5))
    images, _ = batch()
    labels = half_wrong(copying, images)
    for normalization in ("frozen", "running"):
        with pytest.raises(ValueError, match="writes to `images` in place"):
            DistractorAware(normalization=normalization, layer=layer)(writing, images.clone(), labels)
    given = images.clone()
    ours, theirs = (
        DistractorAware(0.01, normalization="coupled", layer=layer)(n, given, labels).total for n in (writing, copying)
    )
    torch.testing.assert_close(ours, theirs, **EXACT)
    maps = [response_maps(network, given, labels, layer=layer).difference for network in (writing, copying)]
    torch.testing.assert_close(*maps, **EXACT)
    assert torch.equal(given, images)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_network_without_trainable_parameters_has_a_loss_at_any_strength(normalization):
    network, (images, _) = made(normalized).requires_grad_(False), batch()
    labels = half_wrong(network, images)
    expected = CrossEntropy()(network, images, labels).total
    terms = DistractorAware(strength=0.1, normalization=normalization)(network, images, labels)
    torch.testing.assert_close(terms.total, expected, **EXACT)


def test_coupled_synchronised_statistics_are_refused_in_a_distributed_run(monkeypatch):
    network, (images, labels) = nn.SyncBatchNorm.convert_sync_batchnorm(made(normalized)), batch()
    objective = DistractorAware(normalization="coupled")
    objective(network, images, labels)
    monkeypatch.setattr(requirements, "distributed_run", lambda: True)
    with pytest.raises(ValueError, match="Use normalization='frozen' or 'running'"):
        objective(network, images, labels)
    objective(network.eval(), images, labels)
    objective(made(normalized), images, labels)


def lazy():
    layers = [nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Tanh(), nn.Flatten(), nn.LazyLinear(4)]
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_lazy_layers_get_their_shape_in_the_first_step_which_is_like_any_other(normalization):
    torch.manual_seed(0)
    network, (images, labels) = lazy(), batch()
    objective = DistractorAware(0.01, normalization=normalization, rival="runner_up")
    first = objective(network, images, labels).parts["distractor"]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.running_var.fill_(1)
    torch.testing.assert_close(first, objective(network, images, labels).parts["distractor"], **EXACT)
    assert response_maps(lazy(), images, labels).truth.shape == images.shape


@pytest.mark.parametrize("inference", [False, True])
def test_a_function_in_place_of_a_network_is_refused(inference):
    network, (images, labels) = made(plain), batch()
    for model in (lambda x: network(x), functools.partial(network)):
        with torch.inference_mode(inference):
            with pytest.raises(TypeError, match=r"`model` is a (function|partial); a `torch.nn.Module` is needed"):
                DistractorAware()(model, images, labels)
            with pytest.raises(TypeError, match=r"`model` is a (function|partial); a `torch.nn.Module` is needed"):
                response_maps(model, images, labels)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("objective", [CrossEntropy, DistractorAware])
def test_targets_that_are_no_tensors_are_refused(objective, inference):
    network, (images, labels) = made(plain), batch()
    message = r"`targets` is a list; .*Use `torch.as_tensor\(targets\)`"
    with torch.inference_mode(inference), pytest.raises(TypeError, match=message):
        objective()(network, images, labels.tolist())
    with pytest.raises(TypeError, match=r"`targets\['a'\]` is a list; an int64 tensor is needed"):
        objective()(made(TwoHeads), images, {"a": labels.tolist()})


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("weight", "1e-5", TypeError, "`weight` is '1e-5', a str; a number is needed"),
        ("epsilon", None, TypeError, "`epsilon` is None, a NoneType; a number is needed"),
        ("strength", "high", TypeError, "`strength` is 'high', a str; a number is needed"),
        ("measure_every", 2.5, ValueError, "`measure_every` is 2.5; a whole number of steps is needed"),
    ],
)
def test_options_of_a_wrong_kind_are_named(option, value, error, message):
    with pytest.raises(error, match=message):
        DistractorAware(**{option: value})
