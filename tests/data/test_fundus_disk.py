"""A retina's disk is found, cropped to radius S/2 and evened out; anything else is left as it is."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from danil.data import Images, read_source, resized, squared
from danil.data.fundus_disk import EDGE, algebraic_ellipse, cropped, evened, found_disk
from danil.data.transforms import warn_of_no_disk


def photograph(width=240, height=200, x=120.0, y=100.0, across=80.0, down=80.0, ground=0, colour=(170, 90, 30)):
    """An ellipse of one colour with a darker vessel across it."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    inside = ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 < 1
    pixels = np.full((height, width, 3), ground, dtype=np.float64)
    pixels[inside] = colour
    pixels[inside & (abs(rows - y) < 2)] = [value * 0.6 for value in colour]
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("ground", [0, 128])
@pytest.mark.parametrize(
    "place",
    [
        {},
        {"x": 100.0, "y": 110.0, "across": 70.0, "down": 70.0},
        {"down": 110.0, "across": 110.0},
        {"across": 60.0, "down": 90.0},
    ],
    ids=["centred", "off centre", "cut off above and below", "squeezed"],
)
def test_the_disk_is_found_where_it_was_drawn(place, ground):
    disk = found_disk(photograph(ground=ground, **place))
    drawn = {"x": 120.0, "y": 100.0, "across": 80.0, "down": 80.0, **place}
    found = [disk.x * 240, disk.y * 200, disk.across * 240, disk.down * 200]
    assert found == pytest.approx([drawn[name] for name in ("x", "y", "across", "down")], abs=1.5)
    assert disk.filtered == (ground == 128)


def test_dust_and_a_notch_do_not_move_the_disk():
    pixels = np.array(photograph())
    rng = np.random.default_rng(0)
    pixels[rng.integers(0, 200, 12), rng.integers(0, 240, 12)] = 200
    pixels[60:72, 186:206] = (170, 90, 30)
    disk = found_disk(Image.fromarray(pixels))
    assert [disk.x * 240, disk.y * 200, disk.across * 240] == pytest.approx([120, 100, 80], abs=2)


def test_four_points_of_an_ellipse_give_back_the_ellipse():
    angles = np.linspace(0.3, 6, 4)
    points = np.stack([0.2 + 0.5 * np.cos(angles), -0.1 + 0.8 * np.sin(angles)], 1)
    assert algebraic_ellipse(points) == pytest.approx((0.2, -0.1, 0.5, 0.8))


def test_the_crop_is_the_disk_at_half_the_side_with_grey_where_the_image_ends():
    image = photograph(across=110.0, down=110.0)
    square = np.asarray(cropped(image, found_disk(image), 100))
    middle = square[50, [2, 97]].tolist()
    assert all(
        abs(value - expected) < 12 for pixel in middle for value, expected in zip(pixel, (102, 54, 18), strict=True)
    )
    assert square[1, 50].tolist() == [128] * 3, "the disk is cut off above: 10 of its 110 pixels are missing"
    assert square[8, 50].tolist() == [170, 90, 30]


@pytest.mark.parametrize(("radius", "shown"), [(80.0, slice(0, 60)), (110.0, slice(3, 57))], ids=["whole", "cut off"])
def test_evening_out_is_four_times_the_distance_from_the_disk_s_own_local_average(radius, shown):
    rng = np.random.default_rng(0)
    image = photograph(across=radius, down=radius)
    pixels = np.asarray(image).astype(int)
    pixels[pixels.sum(2) > 0] += rng.integers(-6, 7, (int((pixels.sum(2) > 0).sum()), 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    disk, size = found_disk(image), 60
    square = np.asarray(cropped(image, disk, size)).astype(float)
    line = (np.arange(size) + 0.5) / 30 - 1
    retina = np.hypot(line[:, None], line) < EDGE
    retina[: shown.start] = retina[shown.stop :] = False
    out = np.asarray(evened(image, disk, size))
    for row, column in ((30, 30), (20, 44), (8, 16), (4, 30)):
        weights = np.array(
            [[np.exp(-((row - i) ** 2 + (column - j) ** 2) / 2) for j in range(size)] for i in range(size)]
        )
        average = ((weights * retina)[..., None] * square).sum((0, 1)) / (weights * retina).sum()
        expected = (128 + 4 * (square[row, column] - average)).clip(0, 255)
        assert np.abs(out[row, column] - expected).max() < 1.5, "σ = radius/30 = 1 pixel"
    assert (out[~retina] == 128).all()


def test_a_disk_on_grey_is_not_filtered_again():
    image = photograph(ground=128, colour=(140, 132, 126))
    disk = found_disk(image)
    assert np.array_equal(np.asarray(evened(image, disk, 64)), np.asarray(cropped(image, disk, 64)))


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_an_even_image_has_no_disk(colour):
    assert found_disk(Image.new("RGB", (90, 70), (colour,) * 3)) is None


@pytest.fixture
def _unwarned():
    warn_of_no_disk.cache_clear()
    yield
    warn_of_no_disk.cache_clear()


@pytest.mark.usefixtures("_unwarned")
def test_a_tile_without_a_disk_is_resized_alone_and_a_warning_says_so():
    tile = Image.fromarray(np.random.default_rng(0).integers(90, 250, (64, 64, 3), dtype=np.uint8))
    with pytest.warns(UserWarning, match=r"no disk of a retina.*data.preprocess=none"):
        found = squared(tile, 32, preprocess="fundus")
    assert torch.equal(found, resized(tile, 32))


@pytest.mark.usefixtures("_unwarned")
def test_the_warning_is_given_once():
    tiles = [Image.new("RGB", (40, 40), (value, 200, 200)) for value in range(5)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for tile in tiles:
            squared(tile, 32, preprocess="fundus")
    assert len(caught) == 1


def test_a_mask_gets_the_geometry_of_its_photograph():
    image = photograph(x=100.0, across=70.0, down=70.0)
    mask = np.zeros((200, 240, 3), dtype=np.uint8)
    mask[100:, :100] = 255
    seen = squared(Image.fromarray(mask), 64, preprocess="fundus", like=image)[0] >= 128
    assert seen[40:60, 4:28].float().mean() > 0.95, "the disk's lower left quarter, its centre now the square's"
    assert not seen[:30].any()
    assert not seen[:, 36:].any()


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_images_are_prepared_before_they_are_cached(cache):
    manifest = read_source("synthetic:fundus?images=6&size=64")
    images = Images(manifest, 32, preprocess="fundus", cache=cache)
    shown = images.batch(np.arange(3)).images
    for row in range(3):
        assert torch.equal(
            shown[row], squared(manifest.store.read(manifest.table["path"][row]), 32, preprocess="fundus")
        )
    assert not torch.equal(shown, Images(manifest, 32).batch(np.arange(3)).images)


@pytest.mark.parametrize(("reader", "share", "filtered"), [("aptos2019", 0.9, True), ("idrid", 1.0, False)])
def test_real_retinas_are_found(shared, reader, share, filtered):
    manifest = read_source(f"{reader}:{shared / 'data' / reader}")
    paths = manifest.table["path"].iloc[:: len(manifest) // 30]
    disks = [found_disk(manifest.store.read(path)) for path in paths]
    assert sum(disk is not None for disk in disks) >= share * len(paths)
    assert all(disk is None or disk.filtered == filtered for disk in disks)
