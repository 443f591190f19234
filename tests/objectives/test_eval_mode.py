"""What a network returns in eval mode is what it returns in train mode, or is refused."""

import pytest
import torch
from torch import nn

from danil.objectives import DistractorAware, response_maps
from objectives.networks import TwoHeads, batch, half_wrong, made, normalized

ALONE = ["frozen", "running"]


class Evaluated(nn.Module):
    """Return logits in train mode, and in eval mode what a function makes of them."""

    def __init__(self, made_of, trained=lambda z: z, trunk=normalized):
        super().__init__()
        self.made_of, self.trained, self.trunk = made_of, trained, trunk()

    def forward(self, x):
        logits = self.trunk(x)
        return self.trained(logits) if self.training else self.made_of(logits)


def softmax(z):
    return z.softmax(1)


PROBABILITIES = {
    "softmax": softmax,
    "sigmoid": torch.sigmoid,
    "mean over views": lambda z: torch.stack([z.softmax(1), z.softmax(1)]).mean(0),
}


@pytest.mark.parametrize("case", PROBABILITIES)
def test_probabilities_in_eval_mode_are_refused(case):
    network, (images, _) = made(lambda: Evaluated(PROBABILITIES[case])), batch(10)
    labels = half_wrong(network, images)
    for normalization in ALONE:
        with pytest.raises(ValueError, match=r"in eval mode the network returns probabilities.*Return logits"):
            DistractorAware(normalization=normalization)(network, images, labels)
    with pytest.raises(ValueError, match="in eval mode the network returns probabilities"):
        response_maps(network, images, labels)
    DistractorAware(normalization="coupled")(network, images, labels)


def test_one_row_that_sums_to_one_by_chance_is_no_probability():
    network, (images, _) = made(lambda: Evaluated(lambda z: z * 0 + torch.tensor([0.5, 0.25, 0.25, 0.0]))), batch()
    labels = half_wrong(network, images)
    labels[2:] = -1
    DistractorAware(normalization="running")(network, images, labels)


def test_a_network_of_probabilities_in_both_modes_is_the_callers_own_business():
    network, (images, _) = made(lambda: Evaluated(softmax, softmax)), batch()
    DistractorAware()(network, images, half_wrong(network, images))


@pytest.mark.parametrize("normalization", ALONE)
@pytest.mark.parametrize(
    ("made_of", "error", "message"),
    [
        (lambda z: (z, z), TypeError, r"returns a tuple, in train mode a Tensor of shape \(6, 4\)"),
        (lambda z: {"a": z}, TypeError, r"returns the heads \['a'\], in train mode a Tensor"),
        (lambda z: z[:, :3], ValueError, r"returns logits of shape \(3, 3\) for 3 images, in train mode \(6, 4\)"),
        (lambda z: z[:1], ValueError, r"returns logits of shape \(1, 4\) for 3 images, in train mode \(6, 4\)"),
    ],
)
def test_other_logits_in_eval_mode_are_refused(made_of, error, message, normalization):
    network, (images, _) = made(lambda: Evaluated(made_of)), batch()
    labels = half_wrong(network, images)
    with pytest.raises(error, match=f"in eval mode the network {message}"):
        DistractorAware(normalization=normalization)(network, images, labels)


@pytest.mark.parametrize("made_of", [lambda z: z["a"], lambda z: {"b": z["b"]}, lambda z: z | {"a": [z["a"]]}])
def test_a_head_that_is_missing_in_eval_mode_is_refused(made_of):
    network, (images, _) = made(lambda: Evaluated(made_of, trunk=TwoHeads)), batch()
    predicted = {task: z.argmax(1) for task, z in network(images).items()}
    targets = {"a": (predicted["a"] + 1) % 4, "b": predicted["b"]}
    with pytest.raises(TypeError, match="in eval mode the network returns"):
        DistractorAware()(network, images, targets)


def test_response_maps_of_what_is_no_logits_are_refused():
    network, (images, labels) = made(lambda: Evaluated(lambda z: (z, z))), batch()
    with pytest.raises(TypeError, match=r"in eval mode the network returns a tuple; `\(B, K\)` logits are needed"):
        response_maps(network, images, labels)
