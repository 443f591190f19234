import math

import pytest
import torch
from torch import nn

from danil.explanation import faithfulness_curves
from danil.explanation.faithfulness import random_ties


class Corner(nn.Module):
    """Two classes; the margin is the top left pixel."""

    def forward(self, images):
        return torch.stack([images[:, 0, 0, 0], torch.zeros(len(images))], 1)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


IMAGES = torch.tensor([[[[2.0, 1.0], [1.0, 1.0]]]])


def test_curves_follow_the_one_pixel_that_decides():
    importance = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
    curves = faithfulness_curves(Corner(), IMAGES, torch.tensor([0]), importance, steps=4, filling="mean")
    assert curves.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    high = sigmoid(2.0)
    assert curves.deletion[0].tolist() == pytest.approx([high, 0.5, 0.5, 0.5, 0.5])
    assert curves.insertion[0].tolist() == pytest.approx([0.5, high, high, high, high])
    assert float(curves.deletion_area) == pytest.approx(0.25 * (high + 0.5) / 2 + 0.75 * 0.5)
    assert float(curves.insertion_area) == pytest.approx(0.25 * (high + 0.5) / 2 + 0.75 * high)


def test_a_map_that_ranks_the_pixel_last_is_found_out():
    importance = torch.tensor([[[0.0, 3.0], [2.0, 1.0]]])
    curves = faithfulness_curves(Corner(), IMAGES, torch.tensor([0]), importance, steps=4, filling="mean")
    high = sigmoid(2.0)
    assert curves.deletion[0].tolist() == pytest.approx([high, high, high, high, 0.5])
    assert curves.insertion[0].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5, high])


def test_channels_count_by_their_norm_and_portions_are_rounded_to_pixels():
    importance = torch.zeros(1, 2, 2, 2)
    importance[0, :, 0, 0] = torch.tensor([3.0, -4.0])
    importance[0, 0, 1, 1] = 4.5
    curves = faithfulness_curves(Corner(), IMAGES, torch.tensor([0]), importance, steps=3, filling="mean")
    assert curves.fractions.tolist() == [0, 0.25, 0.75, 1]
    assert curves.deletion[0, 1] == pytest.approx(0.5)


def test_a_blurred_image_keeps_its_mean_colour_but_no_detail():
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) + 2

    class Mean(nn.Module):
        def forward(self, images):
            seen.append(images)
            return torch.stack([images.mean((1, 2, 3)), torch.zeros(len(images))], 1)

    seen = []
    faithfulness_curves(Mean(), images, torch.tensor([0]), torch.rand(1, 32, 32), steps=1)
    filled = seen[1]
    assert filled.mean() == pytest.approx(float(images.mean()), abs=0.05)
    assert filled.std() < 0.3 * images.std()


def test_equal_values_are_ranked_by_chance_and_unequal_ones_are_not():
    values = torch.tensor([[0.0] * 50 + [1.0] + [0.0] * 49])
    ranks = random_ties(values)
    assert ranks[0, 50] == 0
    assert sorted(ranks[0].tolist()) == list(range(100))
    rest = torch.cat([ranks[0, :50], ranks[0, 51:]])
    assert not torch.equal(rest, rest.sort().values)
    assert torch.equal(random_ties(values), ranks)


def test_shapes_and_steps_are_checked():
    with pytest.raises(ValueError, match="one value per pixel"):
        faithfulness_curves(Corner(), IMAGES, torch.tensor([0]), torch.zeros(1, 1, 1))
    with pytest.raises(ValueError, match="`steps` is 0"):
        faithfulness_curves(Corner(), IMAGES, torch.tensor([0]), torch.zeros(1, 2, 2), steps=0)
