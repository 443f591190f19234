"""Response maps at a named module: Algorithm 1 with the gradients taken there, and words where that has no meaning."""

import pytest
import torch
from torch import nn

from danil.objectives import DistractorAware, LayerError, response_maps
from objectives.networks import SharedNorm, TwoHeads, batch, gradients, half_wrong, made, normalized, plain, predictions
from oracles import algorithm_one

ORACLES = {"frozen": algorithm_one.frozen, "coupled": algorithm_one.coupled, "running": algorithm_one.running}
EXACT = {"rtol": 1e-9, "atol": 1e-12}


@pytest.mark.parametrize("formulation", ["margin", "literal"])
@pytest.mark.parametrize("layer", ["1", "2", "4"])  # before an in-place ReLU, the ReLU itself, a convolution
@pytest.mark.parametrize("normalization", ORACLES)
def test_maps_at_a_layer_equal_algorithm_one_taken_there(normalization, layer, formulation):
    network, (images, _) = made(normalized), batch()
    labels = half_wrong(network, images)
    constants = {"weight": 0.01, "epsilon": 1e-3, "distance": "mean"}
    expected = ORACLES[normalization](network, images, labels, **constants, at=int(layer) + 1)
    objective = DistractorAware(
        0.01, epsilon=1e-3, normalization=normalization, formulation=formulation, layer=layer, measure_every=0
    )
    terms = objective(network, images, labels)
    assert len(expected.distances) == 3
    torch.testing.assert_close(terms.total.detach(), expected.total, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_the_term_at_a_layer_moves_the_weights_before_it_too():
    network, (images, _) = made(normalized), batch()
    terms = DistractorAware(0.01, layer="4")(network, images, half_wrong(network, images))
    moved = gradients(terms.parts["distractor"], network)
    assert all(g.norm() > 1e-8 for g, p in zip(moved, network.parameters(), strict=True) if p.dim() > 1)


def test_with_frozen_weights_before_the_layer_the_others_get_the_same_gradient():
    network, (images, _) = made(normalized), batch()
    labels = half_wrong(network, images)
    objective = DistractorAware(0.01, layer="4")
    expected = gradients(objective(network, images, labels).total, network)
    for part in network[:5]:
        part.requires_grad_(False)
    trained = [p for p in network.parameters() if p.requires_grad]
    found = torch.autograd.grad(objective(network, images, labels).total, trained)
    for ours, theirs in zip(found, expected[-len(trained) :], strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_only_the_wrong_images_run_a_second_time():
    network, (images, _) = made(plain), batch()
    sizes = []
    network[3].register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    DistractorAware(layer="3")(network, images, half_wrong(network, images))
    assert sizes == [6, 6, 3]  # `half_wrong` looks first


def test_several_heads_have_their_maps_at_one_layer():
    network, (images, _) = made(TwoHeads), batch()
    logits = network(images)
    labels = {"a": (logits["a"].argmax(1) + 1) % 4, "b": torch.full((6,), -1)}
    terms = DistractorAware(1.0, layer="trunk.5")(network, images, labels)
    expected = 0.0
    for i in range(6):  # behind global pooling (B, 7, 1, 1) stands one linear layer: the map is a difference of rows
        weight = network.heads["a"].weight
        a = weight[logits["a"][i].argmax()] - weight[labels["a"][i]]
        expected = expected + 1 / (a.square().mean() + 1e-4) / 6
    torch.testing.assert_close(terms.parts["distractor"], expected, **EXACT)


def test_response_maps_at_the_last_features_are_rows_of_the_last_layer():
    network, (images, labels) = made(plain), batch()
    maps = response_maps(network, images, labels, layer="6")
    weight = network[7].weight.detach()
    torch.testing.assert_close(maps.difference, weight[maps.rivals] - weight[labels], **EXACT)
    assert maps.truth.shape == (6, 7)


def test_hooks_modes_and_the_running_statistics_are_left_as_without_a_layer():
    network, twin, (images, _) = made(normalized), made(normalized), batch()
    labels = half_wrong(network, images)
    terms = DistractorAware(layer="4")(network, images, labels)
    twin_terms = DistractorAware()(twin, images, labels)
    assert torch.equal(terms.logits, twin_terms.logits)
    assert not any(m._forward_hooks for m in network.modules())
    assert all(m.training for m in network.modules())
    for (name, ours), theirs in zip(network.named_buffers(), twin.buffers(), strict=True):
        assert torch.equal(ours, theirs), name


def test_an_unknown_layer_offers_the_nearest():
    network, (images, labels) = made(TwoHeads), batch()
    with pytest.raises(LayerError, match=r"`layer` is 'trunk.33', which is no module of this TwoHeads. Near it: trunk"):
        response_maps(network, images, labels, task="a", layer="trunk.33")


def test_a_layer_that_runs_twice_is_refused():
    network, (images, _) = made(SharedNorm), batch()
    labels = (predictions(network, images) + 1) % 4
    with pytest.raises(LayerError, match="runs 2 times in a forward pass"):
        DistractorAware(layer="norm")(network, images, labels)
    assert not any(m._forward_hooks for m in network.modules())


def test_a_layer_that_does_not_run_is_refused():
    network, (images, labels) = made(lambda: nn.Sequential(*plain())), batch()
    network[1].register_module("unused", nn.ReLU())
    with pytest.raises(LayerError, match="runs 0 times"):
        response_maps(network, images, labels, layer="1.unused")


class Strange(nn.Module):
    def __init__(self):
        super().__init__()
        self.pair, self.flat = Pair(), Flat()
        self.head = plain()

    def forward(self, x):
        self.flat(x)
        return self.head(self.pair(x)[0])


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Flat(nn.Module):
    def forward(self, x):
        return x.reshape(-1, 3)


@pytest.mark.parametrize(("layer", "found"), [("pair", "a tuple"), ("flat", r"a tensor \(384, 3\)")])
def test_an_output_without_a_row_for_each_image_is_refused(layer, found):
    network, (images, labels) = made(Strange), batch()
    with pytest.raises(LayerError, match=f"`layer` is '{layer}', whose output is {found}"):
        response_maps(network, images, labels, layer=layer)
