import pytest
import torch
from torch.nn.functional import cross_entropy

from danil.objectives import CrossEntropy, HardExamples
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


@pytest.mark.parametrize("keep", [0, -0.1, 1.01])
def test_a_share_outside_zero_to_one_is_refused(keep):
    with pytest.raises(ValueError, match=f"`keep` is {keep}"):
        HardExamples(keep)
