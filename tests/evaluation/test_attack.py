"""PGD against its definition and against closed forms."""

import pytest
import torch
from torch import nn

from danil.evaluation.attack import Attack, pgd_images
from danil.runs.prediction import frozen

PATHS = ["a", "b", "c"]
WEIGHTS = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def pixels(seed=0):
    return torch.randint(0, 256, (3, 3, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def linear(images):
    return (WEIGHTS * images).sum((1, 2, 3))


def wavy(images):
    return (WEIGHTS * torch.sin(images / 3)).sum((1, 2, 3))


def test_on_a_linear_loss_it_finds_the_corner_of_the_ball_inside_the_pixel_range():
    images = pixels()
    expected = (images + 2 * WEIGHTS.sign()).clamp(0, 255)
    torch.testing.assert_close(pgd_images(linear, images, 2.0, PATHS), expected)


@pytest.mark.parametrize("radius", [0.5, 4.0, 300.0])
@pytest.mark.parametrize("loss", [linear, wavy])
def test_the_ball_and_the_pixel_range_are_respected(loss, radius):
    images = pixels()
    found = pgd_images(loss, images, radius, PATHS)
    assert (found - images).abs().max() <= radius * (1 + 1e-6)
    assert found.min() >= 0
    assert found.max() <= 255


def test_the_loss_of_no_image_falls_and_on_a_wavy_one_it_rises():
    images = pixels()
    found = pgd_images(wavy, images, 1.0, PATHS)
    assert (wavy(found) > wavy(images.float()) + 1).all()
    assert (wavy(pgd_images(wavy, images, 1.0, PATHS, Attack(steps=1))) >= wavy(images.float())).all()


def test_more_steps_never_find_less():
    images = pixels()
    losses = [wavy(pgd_images(wavy, images, 3.0, PATHS, Attack(steps=steps))) for steps in (1, 5, 20)]
    assert (losses[1] >= losses[0]).all()
    assert (losses[2] >= losses[1]).all()
    assert (losses[2] > losses[0]).any()


def test_the_random_start_belongs_to_path_and_seed_and_not_to_the_batch():
    images = pixels()
    whole = pgd_images(wavy, images, 3.0, PATHS)
    alone = pgd_images(lambda x: (WEIGHTS[1:2] * torch.sin(x / 3)).sum((1, 2, 3)), images[1:2], 3.0, ["b"])
    assert torch.equal(whole[1:2], alone)
    assert not torch.equal(whole, pgd_images(wavy, images, 3.0, PATHS, seed=1))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    pgd_images(wavy, images, 3.0, PATHS)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_callers_images_and_the_network_are_left_as_found():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 1))
    network[2].weight.requires_grad_(False)
    images = pixels()
    before = images.clone()
    with frozen(network):
        assert not network.training
        pgd_images(lambda x: network(x)[:, 0], images, 1.0, PATHS)
    assert torch.equal(images, before)
    assert network.training
    assert [p.requires_grad for p in network.parameters()] == [False, True]
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("options", [{"steps": 0}, {"step": 0.0}, {"step": 1.5}])
def test_an_attack_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match="needed: at least 1 step"):
        Attack(**options)
