"""The margin identity and the penalties, against hand calculations."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from danil.objectives.margins import (
    gradient_norm,
    map_differences,
    margins,
    penalties,
    squared_distances,
    strongest_rivals,
)
from objectives.networks import batch, made, plain


def test_the_margin_is_the_difference_of_both_losses():
    logits, labels, rivals = torch.randn(5, 4).double(), torch.tensor([0, 1, 2, 3, 0]), torch.tensor([1, 0, 3, 3, 2])
    difference = cross_entropy(logits, labels, reduction="none") - cross_entropy(logits, rivals, reduction="none")
    torch.testing.assert_close(margins(logits, labels, rivals), difference)


@pytest.mark.parametrize("formulation", ["margin", "literal"])
def test_both_formulations_give_the_difference_of_both_response_maps(formulation):
    network, (images, labels) = made(plain), batch()
    inputs, rivals, chosen = images.requires_grad_(), (labels + 1) % 4, torch.tensor([1, 2, 5])
    logits = network(inputs)
    ours = map_differences(inputs, logits, chosen, labels[chosen], rivals[chosen], formulation)
    truth, rival = (
        torch.autograd.grad(cross_entropy(logits, y, reduction="sum"), inputs, retain_graph=True)[0]
        for y in (labels, rivals)
    )
    torch.testing.assert_close(ours, (truth - rival)[chosen])


def test_the_strongest_rival_is_the_prediction_where_that_is_wrong_and_the_runner_up_elsewhere():
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert strongest_rivals(logits, torch.tensor([0, 1, 2])).tolist() == [2, 0, 0]


def test_distances_are_sums_or_means_of_squares_over_all_but_the_batch():
    differences = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]])
    assert squared_distances(differences, "sum").tolist() == [14.0]
    assert squared_distances(differences, "mean").tolist() == [3.5]


def test_penalties_are_the_reciprocal_or_minus_the_logarithm():
    distances = torch.tensor([0.0, 3.0])
    assert penalties(distances, 1.0, "reciprocal").tolist() == [1.0, 0.25]
    assert penalties(distances, 1.0, "log").tolist() == pytest.approx([0.0, -math.log(4)])


def test_half_precision_logits_and_maps_are_widened():
    inputs = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    logits = inputs * 2
    assert margins(logits, torch.tensor([0, 1]), torch.tensor([1, 2])).dtype == torch.float32
    maps = map_differences(inputs, logits, torch.tensor([0]), torch.tensor([0]), torch.tensor([1]))
    assert maps.dtype == torch.float32
    assert maps.tolist() == [[-2.0, 2.0, 0.0]]


def test_the_gradient_norm_is_euclidean_over_all_parameters_and_leaves_no_gradient():
    x, y, unused = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 5.0))
    assert gradient_norm(3 * x + 4 * y, [x, y, unused]).item() == 5.0
    assert gradient_norm(torch.tensor(1.0), [x]).item() == 0.0
    assert x.grad is None
