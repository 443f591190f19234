"""Losses computed without gradients, and tensors made in inference mode."""

import copy

import pytest
import torch

from danil.objectives import CrossEntropy, DistractorAware, response_maps
from objectives.networks import batch, gradients, half_wrong, made, normalized, plain

EXACT = {"rtol": 1e-9, "atol": 1e-12}
NORMALIZATIONS = ["frozen", "coupled", "running"]


def test_a_network_made_in_inference_mode_is_refused():
    images, labels = batch()
    with torch.inference_mode():
        network = made(plain)
        with pytest.raises(ValueError, match=r"`0.weight` of the network was made inside `torch.inference_mode\(\)`"):
            DistractorAware()(network, images, labels)
    with pytest.raises(ValueError, match=r"`0.weight` of the network was made inside"):
        response_maps(network, images, labels)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_loss_is_the_same_and_has_no_graph(context, normalization, train):
    network, (images, _) = made(normalized).train(train), batch()
    twin, labels = copy.deepcopy(network), half_wrong(network, images)
    objective = DistractorAware(0.01, normalization=normalization, base=CrossEntropy([1.0, 2.0, 3.0, 4.0]))
    with context():
        terms = objective(network, images.clone(), labels.clone())
    assert not any(value.requires_grad for value in (terms.total, terms.logits, *terms.parts.values()))
    expected = objective(twin, images, labels)
    for ours, theirs in ((terms.total, expected.total), (terms.logits, expected.logits)):
        torch.testing.assert_close(ours, theirs.detach(), **EXACT)
    for ours, theirs in zip(network.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)
    gradients(objective(network, images, labels).total, network)  # nothing of the first call stands in the way


def test_class_weights_first_used_in_inference_mode_serve_a_training_step():
    network, (images, labels) = made(plain).float(), batch()
    objective = CrossEntropy([1.0, 2.0, 3.0, 4.0])
    with torch.inference_mode():
        objective(network, images.float(), labels)
    objective(network, images.float(), labels).total.backward()


def test_maps_of_images_and_labels_made_in_inference_mode_are_those_of_others():
    network, (images, labels) = made(plain), batch()
    with torch.inference_mode():
        given = images.clone(), labels.clone(), (labels + 1) % 4
    ours = response_maps(network, *given)
    torch.testing.assert_close(ours.difference, response_maps(network, images, labels, (labels + 1) % 4).difference)
