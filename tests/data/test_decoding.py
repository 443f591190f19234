"""Any image becomes upright 8-bit RGB; what cannot is named."""

import io
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from danil.data.decoding import ImageError, read_image
from danil.data.grey import warn_of_dark

GREY = np.array([[0, 100], [200, 255]], dtype=np.uint8)


def stored(image, file_format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    stream.seek(0)
    return stream


def pixels(stream, **options):
    image = read_image(stream, "x", **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_grey_becomes_three_equal_channels():
    np.testing.assert_array_equal(pixels(stored(Image.fromarray(GREY))), np.repeat(GREY[..., None], 3, 2))


def test_one_bit_becomes_black_and_white():
    bits = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(pixels(stored(Image.fromarray(bits)))[..., 0], bits * 255)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("top", [255, 256, 4095, 4096, 65535])
@pytest.mark.filterwarnings("ignore:an image of 16-bit grey")
def test_deep_grey_has_one_range_whatever_the_image_holds(file_format, top):
    deep = np.array([[0, top // 2], [top // 4, top]], dtype=np.uint16)
    found = pixels(stored(Image.fromarray(deep), file_format))[..., 0]
    np.testing.assert_array_equal(found, np.rint(deep / 257.0))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
@pytest.mark.parametrize(("depth", "top"), [(8, 255), (10, 1023), (12, 4095), (16, 65535)])
def test_deep_grey_has_the_range_of_the_bits_that_are_named(file_format, depth, top):
    for high in (top // 3, top):
        deep = np.array([[0, high]], dtype=np.uint16)
        found = pixels(stored(Image.fromarray(deep), file_format), depth=depth)[..., 0]
        np.testing.assert_array_equal(found, np.rint(deep * 255.0 / top))


def test_a_tiff_file_of_12_bits_tells_its_own_range():
    entries = [
        (256, 3, 2),
        (257, 3, 1),
        (258, 3, 12),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 110),
        (278, 3, 1),
        (279, 4, 3),
    ]
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    start = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", 0)
    content = start.ljust(110, b"\0") + b"\x40\x0f\xff"  # two values of 12 bits, 0x400 and 0xfff
    for depth in (None, 16):
        assert pixels(io.BytesIO(content), depth=depth)[0, :, 0].tolist() == [round(0x400 * 255 / 4095), 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32896], [257, 65535]], dtype=np.int32), [[0, 128], [1, 255]]),
        (np.array([[0.0, 0.5], [0.25, 1.0]], dtype=np.float32), [[0, 128], [64, 255]]),
        (np.array([[0.0, 0.2], [0.1, 0.1]], dtype=np.float32), [[0, 51], [26, 26]]),
        (np.array([[0.0, np.nan], [0.25, 1.0]], dtype=np.float32), [[0, 0], [64, 255]]),
    ],
)
def test_32_bit_and_fractional_grey_use_the_documented_range(values, expected):
    np.testing.assert_array_equal(pixels(stored(Image.fromarray(values), "TIFF"))[..., 0], expected)


@pytest.mark.parametrize(
    ("values", "depth", "told"),
    [
        (np.array([[-10, 30]], dtype=np.int32), None, "from -10 to 30, outside 0 to 65535"),
        (np.array([[0, 70000]], dtype=np.int32), None, "outside 0 to 65535"),
        (np.array([[0, 4096]], dtype=np.uint16), 12, r"from 0 to 4096, outside 0 to 4095 \(`depth=12`\)"),
        (np.array([[0.0, 100.0]], dtype=np.float32), None, "from 0 to 100, outside 0 to 1"),
        (np.array([[-0.5, 1.0]], dtype=np.float32), 12, "outside 0 to 1. Save the whole set in one range"),
    ],
)
def test_grey_outside_the_range_is_refused_not_stretched(values, depth, told):
    with pytest.raises(ImageError, match=told):
        pixels(stored(Image.fromarray(values), "TIFF"), depth=depth)


@pytest.mark.parametrize(("top", "bits"), [(200, 8), (1000, 10), (4095, 12), (4096, 14)])
def test_an_image_that_leaves_most_of_16_bits_unused_is_a_warning(top, bits):
    deep = stored(Image.fromarray(np.array([[0, top]], dtype=np.uint16)))
    warn_of_dark.cache_clear()
    with pytest.warns(UserWarning, match=rf"\?depth={bits}`"):
        pixels(deep)
    for depth in (None, 14):  # once is enough, and never where the depth is named
        deep.seek(0)
        pixels(deep, depth=depth)
        if depth is None:
            warn_of_dark.cache_clear()


def test_a_palette_gives_its_colours():
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 8, 7]]], dtype=np.uint8)
    paletted = Image.fromarray(colours).quantize(4)
    assert paletted.mode == "P"
    np.testing.assert_array_equal(pixels(stored(paletted)), colours)


def test_transparency_is_laid_over_black():
    layers = np.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], dtype=np.uint8)
    np.testing.assert_array_equal(pixels(stored(Image.fromarray(layers))), [[[200, 100, 50], [0, 0, 0]]])


def test_half_transparent_grey_is_half_as_bright():
    layers = Image.merge("LA", [Image.new("L", (1, 1), 200), Image.new("L", (1, 1), 128)])
    np.testing.assert_allclose(pixels(stored(layers)), 100, atol=1)


def test_a_palette_with_a_transparent_colour_shows_black_there():
    paletted = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    paletted.putpalette([255, 255, 255, 10, 20, 30])
    np.testing.assert_array_equal(pixels(stored(paletted, transparency=0)), [[[0, 0, 0], [10, 20, 30]]])


def test_cmyk_red_is_red():
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_allclose(pixels(stored(red, "JPEG", quality=100))[4, 4], [255, 0, 0], atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    # What the camera stored for each orientation, by the EXIF standard's definition of row 0 and column 0.
    as_stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = stored(Image.fromarray(np.ascontiguousarray(as_stored)), exif=exif)
    np.testing.assert_array_equal(pixels(stream)[..., 0], upright)


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")
def test_damaged_exif_data_count_as_none():
    stream = stored(Image.fromarray(np.full((8, 8, 3), 90, np.uint8)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert pixels(stream).shape == (8, 8, 3)


def test_of_several_frames_the_first_counts():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    stream = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(pixels(stream)[0, 0], [255, 0, 0])


def test_a_large_jpeg_may_be_decoded_smaller_but_not_below_the_bound():
    stream = stored(Image.new("RGB", (640, 480), (10, 200, 30)), "JPEG")
    smaller = pixels(stream, shorter=100)
    assert smaller.shape == (120, 160, 3)
    np.testing.assert_allclose(smaller, np.broadcast_to([10, 200, 30], smaller.shape), atol=4)


def png_claiming(width, height):
    """Return a PNG whose header claims a size that its data do not have."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


WHOLE = stored(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))).getvalue()
JPEG = stored(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG"
).getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello, I am a text file", "is no image"),
        (WHOLE[: len(WHOLE) // 2], "truncated"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (WHOLE[:20], "image"),
        (png_claiming(20_000, 10_000), "pixels"),
        (png_claiming(100, 100), "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image"),
    ],
)
def test_a_bad_file_is_named_with_its_reason(tmp_path, content, reason):
    file = tmp_path / "bad.png"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(file)
    assert caught.value.path == str(file)
    assert "bad.png" in str(caught.value)


def test_the_pixel_limit_holds_where_pillows_own_is_switched_off(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError, match="20000×10000 pixels"):
        read_image(io.BytesIO(png_claiming(20_000, 10_000)), "bomb")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png.*does not exist"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=tmp_path.name):
        read_image(tmp_path)


def test_every_cut_of_a_file_is_refused_or_decoded_but_never_crashes():
    for end in range(0, len(JPEG), 97):
        with pytest.raises(ImageError):
            read_image(io.BytesIO(JPEG[:end]), "cut")


def test_an_image_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ImageError("a.png", "is empty.")))
    assert (error.path, error.reason, str(error)) == ("a.png", "is empty.", "image `a.png` is empty.")
