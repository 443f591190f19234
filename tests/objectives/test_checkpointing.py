"""Networks that checkpoint activations by their own code give the gradient of those that do not, or are refused."""

import pytest
import torch
from torch import nn
from torch.autograd.graph import save_on_cpu
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from danil.objectives import DistractorAware, response_maps, twice_differentiable
from objectives.networks import batch, gradients, half_wrong, made

EXACT = {"rtol": 1e-9, "atol": 1e-12}
ALONE = ["frozen", "running"]


class Checkpointed(nn.Module):
    """Checkpoint a block of its own, always or by a switch of any name."""

    def __init__(self, block, switch="always", reentrant=False):
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 8, 2, 2), block(), nn.Linear(8, 4)
        self.switch, self.reentrant = switch, reentrant
        setattr(self, switch, True)

    def forward(self, x):
        stem, used = self.stem(x), getattr(self, self.switch)
        features = checkpoint(self.block, stem, use_reentrant=self.reentrant) if used else self.block(stem)
        return self.head(features.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.mixed = nn.LayerNorm(8), nn.Linear(8, 24)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.mixed(self.norm(tokens)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + attended.transpose(1, 2).unflatten(2, x.shape[2:])


BLOCKS = {
    "normalised": lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout(0.3)),
    "attention": Attention,
}


def labels_of(network, images):
    """Return labels, half of them wrong, found without checkpointing, which warns where no gradient is recorded."""
    setattr(network, network.switch, False)
    labels = half_wrong(network, images)
    setattr(network, network.switch, True)
    return labels


def step(network, images, labels, **options):
    torch.manual_seed(5)
    terms = DistractorAware(0.01, **options)(network, images, labels)
    return [terms.total, *gradients(terms.total, network)]


@pytest.mark.parametrize("normalization", ALONE)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_checkpointed_block_has_the_gradient_of_the_block(block, normalization):
    network, (images, _) = made(lambda: Checkpointed(BLOCKS[block])), batch()
    plain = made(lambda: Checkpointed(BLOCKS[block]))
    plain.always, labels = False, labels_of(network, images)
    ours, theirs = (step(n, images, labels, normalization=normalization) for n in (network, plain))
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its, **EXACT)


@pytest.mark.parametrize("switch", ["grad_checkpointing", "gradient_checkpointing", "use_checkpoint"])
def test_reentrant_checkpointing_behind_a_switch_is_off_in_the_second_pass(switch):
    network, (images, _) = made(lambda: Checkpointed(BLOCKS["normalised"], switch, True)), batch()
    labels = labels_of(network, images)
    DistractorAware()(network, images, labels).total.backward()
    response_maps(network, images, labels)
    assert getattr(network, switch) is True


@pytest.mark.parametrize("normalization", [*ALONE, "coupled"])
def test_reentrant_checkpointing_through_which_no_map_can_be_taken_is_refused_in_words(normalization):
    network, (images, _) = made(lambda: Checkpointed(BLOCKS["normalised"], reentrant=True)), batch()
    labels = labels_of(network, images)
    with pytest.raises(ValueError, match=r"checkpoints activations .*Switch checkpointing off"):
        DistractorAware(normalization=normalization)(network, images, labels)
    with pytest.raises(ValueError, match=r"checkpoints activations .*Switch checkpointing off"):
        response_maps(network, images, labels)


def test_checkpointed_attention_is_refused_where_its_replay_would_use_another_kernel():
    network, (images, _) = made(lambda: Checkpointed(Attention)), batch()
    labels = labels_of(network, images)
    with pytest.raises(ValueError, match=r"around attention.*normalization='frozen' or 'running'"):
        DistractorAware(normalization="coupled")(network, images, labels)
    with twice_differentiable(network), pytest.raises(ValueError, match="around attention"):
        network(images)


def test_hooks_around_everything_stay_in_force():
    network, (images, _) = made(lambda: Checkpointed(Attention)), batch()
    labels, network.always = labels_of(network, images), False
    expected = step(network, images, labels)
    with save_on_cpu():
        found = step(network, images, labels)
        coupled = step(network, images, labels, normalization="coupled")
    for mine, its, other in zip(found, expected, coupled, strict=True):
        torch.testing.assert_close(mine, its, **EXACT)
        torch.testing.assert_close(other, its, **EXACT)
