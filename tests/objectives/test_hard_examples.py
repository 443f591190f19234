import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from danil.objectives import CrossEntropy, HardExamples, WeightedTasks
from danil.objectives.targets import known_images
from objectives.networks import batch, gradients, made, plain


@pytest.mark.parametrize(
    ("keep", "size", "kept"), [(0.7, 10, 7), (0.7, 5, 4), (0.55, 100, 55), (0.01, 3, 1), (1, 4, 4)]
)
def test_the_number_of_kept_images_is_the_share_rounded_up(keep, size, kept):
    shares = HardExamples(keep).shares(torch.rand(size))
    assert int((shares > 0).sum()) == kept
    torch.testing.assert_close(shares.sum(), torch.tensor(1.0))


def test_loss_and_gradient_are_those_of_the_hardest_images_alone():
    network, (images, labels) = made(plain), batch(10)
    losses = cross_entropy(network(images), labels, reduction="none")
    hardest = losses.argsort(descending=True)[:7]
    terms = HardExamples(0.7)(network, images, labels)
    torch.testing.assert_close(terms.total, losses[hardest].mean())
    torch.testing.assert_close(terms.losses, losses.detach())
    for ours, theirs in zip(gradients(terms.total, network), gradients(losses[hardest].mean(), network), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_keeping_every_image_is_the_base_loss():
    network, (images, labels) = made(plain), batch(5)
    base = CrossEntropy([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(
        HardExamples(1.0, base)(network, images, labels).total, base(network, images, labels).total
    )


@pytest.mark.parametrize(("keep", "kept"), [(0.7, 4), (0.2, 1), (1.0, 5)])
def test_of_unknown_labels_the_hardest_known_ones_are_averaged(keep, kept):
    network, (images, labels) = made(plain), batch(10)
    known = torch.tensor([0, 3, 4, 7, 8])
    masked = torch.full_like(labels, -1).index_copy(0, known, labels[known])
    losses = cross_entropy(network(images[known]), labels[known], reduction="none")
    terms = HardExamples(keep)(network, images, masked)
    torch.testing.assert_close(terms.total, losses.sort(descending=True).values[:kept].mean())


def test_a_batch_without_known_labels_has_loss_zero_with_a_graph():
    network, (images, labels) = made(plain), batch(4)
    terms = HardExamples(0.7)(network, images, torch.full_like(labels, -1))
    assert terms.total.item() == 0
    assert not any(g.any() for g in gradients(terms.total, network))


def test_an_image_is_known_by_any_of_its_tasks():
    logits = {"a": torch.randn(4, 3), "b": torch.randn(4, 3)}
    labels = {"a": torch.tensor([0, -1, -1, 1]), "b": torch.tensor([-1, 2, -1, 1])}
    assert known_images(labels).tolist() == [True, True, False, True]
    loss, base = HardExamples(1.0, WeightedTasks({"a": 1.0, "b": 0.5})), WeightedTasks({"a": 1.0, "b": 0.5})
    found, expected = (one.reduce(one.per_image(logits, labels), known_images(labels)) for one in (loss, base))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [1, 3, 7, 32, 100])
def test_shares_of_known_labels_alone_are_those_of_the_kept_ones_to_the_bit(size):
    losses = torch.rand(size)
    count = math.ceil(round(0.7 * size, 9))
    expected = torch.zeros(size).index_fill(0, losses.topk(count).indices, 1 / count)
    assert torch.equal(HardExamples(0.7).shares(losses, torch.ones(size, dtype=torch.bool)), expected)


@pytest.mark.parametrize("keep", [0, -0.1, 1.01])
def test_a_share_outside_zero_to_one_is_refused(keep):
    with pytest.raises(ValueError, match=f"`keep` is {keep}"):
        HardExamples(keep)
