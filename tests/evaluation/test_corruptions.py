import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from danil.evaluation.corruptions import CONDITIONS, Condition, corrupted

PATHS = ["a/1.png", "b/2.png"]


@pytest.fixture
def images():
    coarse = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, (48, 48), mode="bilinear")
    return (smooth * 255).round().to(torch.uint8)


def test_clean_images_are_the_images_themselves(images):
    assert corrupted(images, Condition("clean"), PATHS) is images


def test_blur_is_a_gaussian_of_that_many_pixels(images):
    found = corrupted(images, Condition("blur", 2), PATHS)[0, 1].numpy().astype(float)
    expected = gaussian_filter(images[0, 1].numpy().astype(float), 2, mode="mirror", truncate=3)
    np.testing.assert_allclose(found, expected, atol=1)


def test_noise_has_the_stated_spread_and_belongs_to_path_and_seed():
    grey = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    found = corrupted(grey, Condition("noise", 16), PATHS)
    assert (found.double() - 128).std().item() == pytest.approx(16, rel=0.02)
    assert torch.equal(corrupted(grey.flip(0), Condition("noise", 16), PATHS[::-1]).flip(0), found)
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(corrupted(grey, Condition("noise", 16), PATHS, seed=1), found)


def test_noise_stays_within_the_pixel_range():
    found = corrupted(torch.tensor([0, 255], dtype=torch.uint8).repeat(1, 3, 16, 8), Condition("noise", 32), ["a"])
    assert found[..., ::2].min() == 0
    assert found[..., 1::2].max() == 255
    assert found[..., ::2].max() < 200


def test_jpeg_is_that_of_the_stated_quality(images):
    found = corrupted(images, Condition("jpeg", 20), PATHS)[0].permute(1, 2, 0).numpy().astype(int)
    stream = io.BytesIO()
    Image.fromarray(images[0].permute(1, 2, 0).numpy()).save(stream, "JPEG", quality=20)
    expected = np.asarray(Image.open(stream)).astype(int)
    assert np.abs(found - expected).mean() < 1


@pytest.mark.parametrize("kind", ["blur", "noise", "jpeg"])
def test_a_stronger_corruption_moves_pixels_further(images, kind):
    detailed = (images + torch.randint(0, 60, images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 255)
    detailed = detailed.to(torch.uint8)
    chosen = [condition for condition in CONDITIONS if condition.kind == kind]
    moved = [(corrupted(detailed, c, PATHS).double() - detailed).abs().mean().item() for c in chosen]
    assert len(moved) == 3
    assert moved == sorted(moved)
    assert moved[0] > 0


def test_names_say_kind_and_strength_and_pgd_needs_the_network(images):
    assert [c.name for c in CONDITIONS[:3]] == ["clean", "blur-1", "blur-2"]
    assert Condition("pgd", 0.5).name == "pgd-0.5"
    with pytest.raises(ValueError, match="use `pgd_images`"):
        corrupted(images, Condition("pgd", 1), PATHS)
