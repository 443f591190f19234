"""Training images vary as the strengths say, each for itself, and the same way again."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch

from danil.data.augmentation import Augmentation, augmented, uniforms

OFF = Augmentation(flip=False, rotate90=False, crop=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (16, 3, 20, 20), dtype=np.uint8))


def chance(batch=16, **fixed):
    """Return draws, with chosen columns fixed; 0.5 is the middle of every range."""
    names = (
        "flip",
        "turn",
        "scale",
        "aspect",
        "x",
        "y",
        "brightness",
        "contrast",
        "saturation",
        "hue",
        "angle",
        "zoom",
    )
    draws = np.full((batch, 12), 0.5)
    for name, value in fixed.items():
        draws[:, names.index(name)] = value
    return draws


def test_nothing_changes_when_all_is_off():
    assert torch.equal(augmented(IMAGES, 20, uniforms(0, 0, np.arange(16), np.zeros(16)), OFF), IMAGES)


def test_the_middle_of_every_range_changes_nothing():
    out = augmented(IMAGES, 20, chance(turn=0.0, scale=0.0), Augmentation())
    assert (out.int() - IMAGES.int()).abs().max() <= 1


def test_a_flip_mirrors_left_and_right():
    out = augmented(IMAGES, 20, chance(flip=0.0), replace(OFF, flip=True))
    assert torch.equal(out, IMAGES.flip(3))


@pytest.mark.parametrize("turns", range(4))
def test_a_turn_is_a_quarter_turn_to_the_pixel(turns):
    out = augmented(IMAGES, 20, chance(turn=turns / 4 + 0.1), replace(OFF, rotate90=True))
    assert any(torch.equal(out, torch.rot90(IMAGES, sign * turns, (2, 3))) for sign in (1, -1))


def test_all_eight_symmetries_are_about_equally_frequent():
    image = IMAGES[:1].expand(4000, -1, -1, -1)
    out = augmented(image, 20, uniforms(3, 1, np.arange(4000), np.zeros(4000)), replace(OFF, flip=True, rotate90=True))
    views = [torch.rot90(view, turn, (1, 2)) for view in (IMAGES[0], IMAGES[0].flip(2)) for turn in range(4)]
    counts = [sum(torch.equal(view, shown) for shown in out[:800]) for view in views]
    assert sum(counts) == 800
    assert min(counts) > 60, "100 expected of each, 60 lies 4 standard deviations below"


def test_a_crop_shows_a_window_of_the_image():
    ramp = torch.arange(64, dtype=torch.uint8).expand(1, 3, 64, 64).contiguous()
    strengths = replace(OFF, crop=0.5)
    for x, first, last in ((0.0, 0, 31), (1.0, 32, 63)):
        out = augmented(ramp, 32, chance(1, scale=1.0, x=x), strengths)
        assert out[0, 0, 0, 0] == first, "half of the side, at the left or right end"
        assert out[0, 0, 0, -1] == last


def test_no_crop_of_a_larger_image_shows_all_of_it():
    ramp = (torch.arange(64, dtype=torch.uint8) * 4).expand(1, 3, 64, 64).contiguous()
    out = augmented(ramp, 32, chance(1, scale=0.0), replace(OFF, crop=0.5))[0, 0, 0].float()
    torch.testing.assert_close(out, torch.arange(32) * 8.0 + 2)


def test_brightness_is_a_factor():
    dark = IMAGES // 2
    out = augmented(dark, 20, chance(brightness=1.0), replace(OFF, brightness=0.5))
    torch.testing.assert_close(out.float(), dark * 1.5, atol=0.51, rtol=0)


def test_contrast_is_a_factor_about_the_mean_grey():
    image = 64 + IMAGES // 4
    out = augmented(image, 20, chance(contrast=0.0), replace(OFF, contrast=0.5))
    grey = (image.float() * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1).mean((1, 2)).view(-1, 1, 1, 1)
    torch.testing.assert_close(out.float(), 0.5 * image + 0.5 * grey, atol=0.51, rtol=0)


def test_saturation_is_a_factor_about_each_pixels_grey():
    image = 64 + IMAGES // 4
    out = augmented(image, 20, chance(saturation=0.0), replace(OFF, saturation=0.5))
    grey = (image.float() * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(out.float(), 0.5 * image + 0.5 * grey, atol=0.51, rtol=0)


def test_hue_turns_colours_and_leaves_grey_and_brightness():
    grey = torch.full((1, 3, 4, 4), 120, dtype=torch.uint8)
    strengths = replace(OFF, hue=0.25)
    assert torch.equal(augmented(grey, 4, chance(1, hue=1.0), strengths), grey)
    red = torch.tensor([150, 100, 100], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    turned = augmented(red, 4, chance(1, hue=1.0), strengths)[0, :, 0, 0].double()
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    assert abs(float(weights @ turned) - float(weights @ red[0, :, 0, 0].double())) < 1
    assert 0.15 < min(abs(colorsys.rgb_to_hsv(*turned.tolist())[0] - k) for k in (0, 1)) < 0.4, "about a quarter turn"


def test_each_image_depends_on_its_own_draws_alone_to_the_bit():
    draws = uniforms(0, 0, np.arange(16), np.zeros(16))
    whole = augmented(IMAGES, 17, draws, Augmentation())
    for row in range(16):
        assert torch.equal(augmented(IMAGES[row : row + 1], 17, draws[row : row + 1], Augmentation())[0], whole[row])


def test_the_callers_images_and_the_global_random_state_stay():
    before, state = IMAGES.clone(), torch.get_rng_state()
    augmented(IMAGES, 16, uniforms(0, 0, np.arange(16), np.zeros(16)), Augmentation())
    assert torch.equal(IMAGES, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_draws_are_uniform_and_independent():
    draws = uniforms(7, 2, np.arange(20_000), np.zeros(20_000, dtype=int))
    assert draws.min() >= 0
    assert draws.max() < 1
    np.testing.assert_allclose(draws.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(draws.var(0), 1 / 12, atol=0.003)
    off_diagonal = np.corrcoef(draws.T) - np.eye(12)
    assert np.abs(off_diagonal).max() < 0.03
    neighbours = np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]
    assert abs(neighbours) < 0.03


def test_draws_depend_on_seed_epoch_image_and_turn_and_on_nothing_else():
    rows, zero = np.array([5, 9]), np.zeros(2, dtype=int)
    base = uniforms(1, 2, rows, zero)
    np.testing.assert_array_equal(base[::-1], uniforms(1, 2, rows[::-1], zero))
    for other in (uniforms(2, 2, rows, zero), uniforms(1, 3, rows, zero), uniforms(1, 2, rows, zero + 1)):
        assert (other != base).all()
    assert uniforms(-1, 0, rows, zero).shape == (2, 12)


def test_draws_follow_the_published_splitmix64_sequence():
    # First outputs of SplitMix64 from state 1234567 (the reference implementation's well-known test vector).
    from danil.data.augmentation import GOLDEN, mixed

    states = np.uint64(1234567) + GOLDEN * np.arange(3, dtype=np.uint64)
    assert mixed(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(
    ("degrees", "draw", "turns"), [(90.0, 1.0, 1), (90.0, 0.0, -1), (180.0, 0.75, 1), (180.0, 0.5, 0)]
)
def test_a_rotation_by_the_drawn_share_of_its_degrees(degrees, draw, turns):
    out = augmented(IMAGES, 20, chance(angle=draw), replace(OFF, rotate=degrees))
    same = [torch.rot90(IMAGES, sign * turns, (2, 3)).int() for sign in (1, -1)]
    assert min((out.int() - image).abs().max() for image in same) <= 1


def test_a_scale_enlarges_the_middle_or_shrinks_the_whole():
    ramp = torch.arange(64, dtype=torch.uint8).expand(1, 3, 64, 64).contiguous()
    for zoom, step in ((1.0, 1 / 1.5), (0.0, 1 / 0.5)):
        row = augmented(ramp, 64, chance(1, zoom=zoom), replace(OFF, scale=0.5))[0, 0, 32].float()
        assert row[40] - row[30] == pytest.approx(10 * step, abs=1.0)


def test_a_draw_next_to_1_turns_no_image_beyond_the_last_quarter():
    draws = uniforms(30, 6, np.array([40155]), np.array([0]))  # a row of CRC-MSI's
    assert draws[0, 1] < 1 == draws.astype(np.float32)[0, 1]
    image = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    assert torch.equal(augmented(image, 16, draws, replace(OFF, rotate90=True)), image)
