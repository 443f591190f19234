"""From any shape to a square."""

import numpy as np
import pytest
import torch
from PIL import Image

from danil.data import resized


def test_crop_takes_the_largest_centred_square():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = 200
    assert resized(Image.fromarray(pixels), 4, "crop").eq(200).all()


def test_stretch_keeps_everything():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 200
    out = resized(Image.fromarray(pixels), 8, "stretch")
    assert out.shape == (3, 8, 8)
    assert out[:, :, 0].eq(0).all()
    assert out[:, :, -1].eq(200).all()


@pytest.mark.parametrize(
    ("shape", "band"), [((4, 8), (slice(2, 6), slice(None))), ((8, 4), (slice(None), slice(2, 6)))]
)
def test_pad_adds_black_evenly(shape, band):
    out = resized(Image.new("RGB", shape[::-1], (50, 60, 70)), 8, "pad")
    expected = torch.zeros(3, 8, 8, dtype=torch.uint8)
    expected[:, *band] = torch.tensor([50, 60, 70], dtype=torch.uint8).view(3, 1, 1)
    assert torch.equal(out, expected)


def test_an_image_of_the_right_size_stays_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    for fit in ("crop", "stretch", "pad"):
        out = resized(Image.fromarray(pixels), 7, fit)
        assert torch.equal(out, torch.from_numpy(pixels).permute(2, 0, 1))
        assert out.is_contiguous()
        out[0, 0, 0] = 1  # the caller owns it


def test_reduction_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = resized(Image.fromarray(stripes), 8)[:, 1:-1, 1:-1].float()
    assert (inner - 127.5).abs().max() < 12, "fine stripes average to grey"


@pytest.mark.parametrize(("size", "fit"), [(8, "squash"), (0, "crop")])
def test_a_wrong_choice_is_refused(size, fit):
    with pytest.raises(ValueError, match="`fit`"):
        resized(Image.new("RGB", (4, 4)), size, fit)


def test_a_line_of_pixels_can_be_padded():
    assert resized(Image.new("RGB", (500, 1), "white"), 16, "pad").sum() == 3 * 16 * 255
