import copy

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib._pylab_helpers import Gcf
from torch import nn

from danil.explanation import MapStyle, figure_bytes, response_figure, write_figure
from danil.explanation.figures import limit_of, picture_of
from danil.objectives import ResponseMaps, response_maps

CLASSES = ("nevus", "cost $1 and $2", "m_e^l")


def some_maps(batch=2, classes=3, side=8):
    generator = torch.Generator().manual_seed(0)
    truth, rival = torch.randn(2, batch, 3, side, side, generator=generator)
    logits = torch.tensor([[2.0, 0.0, 1.0][:classes], [0.0, 1.0, 3.0][:classes]])[:batch]
    return ResponseMaps(truth, rival, truth - rival, torch.tensor([0, 1])[:batch], logits)


def some_display(batch=2, side=8):
    return torch.randint(0, 256, (batch, 3, side, side), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def painted(figure, place):
    return np.asarray(figure.axes[place].images[-1].get_array())


def words(figure):
    return [axes.get_title() + "\n" + axes.get_xlabel() for axes in figure.axes]


def test_a_signed_picture_is_the_sum_and_an_absolute_one_the_norm_over_channels():
    response = torch.tensor([[[3.0, 0.0]], [[-4.0, 2.0]], [[0.0, 0.0]]])
    np.testing.assert_allclose(picture_of(response, MapStyle()), [[-1, 2]])
    np.testing.assert_allclose(picture_of(response, MapStyle(signed=False)), [[5, 2]])


def test_smoothing_keeps_the_sum_and_spreads_a_point():
    response = torch.zeros(1, 21, 21)
    response[0, 10, 10] = 1
    picture = picture_of(response, MapStyle(smoothing=2))
    assert picture.sum() == pytest.approx(1, abs=1e-3)
    assert picture.max() == pytest.approx(1 / (2 * np.pi * 4), rel=0.02)


def test_the_scale_ends_at_the_percentile_and_never_at_zero():
    picture = np.linspace(-1, 1, 201)
    assert limit_of(picture, 50) == pytest.approx(0.5)
    sparse = np.zeros(1000)
    sparse[0] = -7
    assert limit_of(sparse, 99) == 7
    assert limit_of(np.zeros(4), 99) == 1


def test_red_raises_the_loss_blue_lowers_it_and_zero_is_white():
    maps = some_maps(1, side=3)
    maps.truth[:] = 0
    maps.truth[0, 0, 0, 0], maps.truth[0, 0, 2, 2] = 5, -5
    red, white, blue = painted(response_figure(some_display(1, 3), maps, [1], CLASSES), 1)[[0, 1, 2], [0, 1, 2], :3]
    assert red[0] > 2 * red[2]
    assert blue[2] > 2 * blue[0]
    assert white.min() > 0.95


def test_a_row_shows_image_truth_rival_and_difference_with_names_and_norms():
    maps = some_maps()
    display = some_display()
    figure = response_figure(display, maps, torch.tensor([1, 2]), CLASSES, names=["first", "second"])
    texts = words(figure)
    assert len(texts) == 8
    assert np.array_equal(painted(figure, 0), display[0].permute(1, 2, 0).numpy())
    share = np.exp(2) / (np.exp(2) + 1 + np.exp(1))
    assert texts[0] == f"first\ntruth: cost $1 and $2\npredicted: nevus ({share:.0%})"
    for place, (title, values) in enumerate(
        (("A⁺ = ∂L⁺/∂x", maps.truth), ("A⁻ = ∂L⁻/∂x", maps.rival), ("A⁺ − A⁻", maps.difference)), start=1
    ):
        assert title in texts[place]
        assert f"norm {(values[0] ** 2).sum().sqrt():.2g}" in texts[place]
    assert "predicted: nevus" in texts[2]
    assert "runner-up: cost $1 and $2" in texts[6]


def test_without_a_known_label_nothing_is_called_truth():
    texts = words(response_figure(some_display(1), some_maps(1), [0], CLASSES, known=False))
    assert not any("truth" in text for text in texts)
    assert "predicted: nevus" in texts[1]


def test_each_map_has_its_own_scale():
    maps = some_maps(1)
    faint = ResponseMaps(maps.truth, maps.rival * 1e-9, maps.difference, maps.rivals, maps.logits)
    first, second = (response_figure(some_display(1), each, [1], CLASSES) for each in (maps, faint))
    np.testing.assert_allclose(painted(first, 2), painted(second, 2), atol=1e-2)
    assert words(first)[2] != words(second)[2]


def test_a_map_of_zeros_says_so():
    """Grad-CAM is zero where nothing on the last feature map speaks for the class."""
    figure = response_figure(some_display(1), some_maps(1), [1], CLASSES, further={"Grad-CAM": torch.zeros(1, 1, 8, 8)})
    assert words(figure)[4] == "Grad-CAM\nzero everywhere"
    assert "zero" not in words(figure)[1]


def test_a_map_that_is_even_all_over_says_that_it_tells_no_place():
    further = {"Grad-CAM": torch.full((1, 1, 8, 8), 0.3), "other": torch.arange(64.0).reshape(1, 1, 8, 8)}
    even, other = words(response_figure(some_display(1), some_maps(1), [0], CLASSES, further=further))[-2:]
    assert "even all over: says nothing of place" in even
    assert "nothing of place" not in other


def test_the_scale_of_a_map_without_negative_values_begins_at_zero():
    further = {"one": torch.arange(64.0).reshape(1, 1, 8, 8), "two": torch.arange(64.0).reshape(1, 1, 8, 8) - 9}
    positive, signed = words(response_figure(some_display(1), some_maps(1), [0], CLASSES, further=further))[-2:]
    assert "scale 0 … 63" in positive
    assert "scale ±54" in signed


def test_two_classes_are_told_that_both_maps_are_one_picture():
    figure = response_figure(some_display(1), some_maps(1, classes=2), [1], CLASSES[:2])
    assert "one picture up to sign and scale" in figure.texts[0].get_text()
    figure = response_figure(some_display(1), some_maps(1), [1], CLASSES)
    assert "one picture" not in figure.texts[0].get_text()


def test_an_overlay_lies_on_the_grey_image():
    display = some_display(1)
    figure = response_figure(display, some_maps(1), [1], CLASSES, style=MapStyle(overlay=True))
    below, above = figure.axes[1].images
    np.testing.assert_allclose(below.get_array(), display[0].float().mean(0).numpy(), rtol=1e-6)
    assert np.asarray(above.get_array())[..., 3].min() < 0.5


def outlines(axes):
    """Colour → corner points (x, y) of the outline drawn in it."""
    found = {}
    for lines in axes.collections:
        points = np.concatenate([path.vertices for path in lines.get_paths()])
        found[mpl.colors.to_hex(lines.get_edgecolor()[0])] = points.min(0), points.max(0)
    return found


def test_masks_are_outlined_on_every_picture_and_explained():
    masks = torch.zeros(2, 2, 8, 8, dtype=torch.bool)
    masks[0, 0, 1:3, 4:7] = True
    masks[0, 1, 5:7, 0:8] = True
    figure = response_figure(some_display(), some_maps(), [1, 2], CLASSES, masks=masks)
    for axes in figure.axes[:4]:
        (left, top), (right, bottom) = outlines(axes)["#00a844"]
        assert (left, top, right, bottom) == (3.5, 0.5, 6.5, 2.5)
        (_, top), (_, bottom) = outlines(axes)["#ff9800"]
        assert (top, bottom) == (4.5, 6.5)
    assert not any(outlines(axes) for axes in figure.axes[4:])
    assert "Green: evidence; orange, dashed: distractors." in figure.texts[0].get_text()
    plain = response_figure(some_display(1), some_maps(1), [1], CLASSES)
    assert "Green" not in plain.texts[0].get_text()


def test_further_maps_stand_to_the_right():
    figure = response_figure(some_display(), some_maps(), [1, 2], CLASSES, further={"Grad-CAM": torch.rand(2, 1, 8, 8)})
    assert len(figure.axes) == 10
    assert "Grad-CAM" in words(figure)[4]


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_figure_gives_the_same_bytes_and_leaves_no_state(kind, magic, tmp_path):
    before = copy.deepcopy(dict(mpl.rcParams))
    first, second = (response_figure(some_display(1), some_maps(1), [1], CLASSES) for _ in range(2))
    content = figure_bytes(first, kind)
    assert content.startswith(magic)
    assert figure_bytes(second, kind) == content
    assert write_figure(tmp_path / "new" / f"map.{kind}", first).read_bytes() == content
    assert dict(mpl.rcParams) == before
    assert not Gcf.figs


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`kind` holds `gif`; there are png, svg, pdf"):
        write_figure(tmp_path / "map.gif", response_figure(some_display(1), some_maps(1), [1], CLASSES))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"smoothing": -1}, {"clip": 0}])
def test_a_style_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` is"):
        MapStyle(**options)


class SpotFinder(nn.Module):
    """Three classes that look at dark pixels only."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        nn.init.constant_(self.convolution.weight, -0.2)
        nn.init.constant_(self.convolution.bias, -1.0)
        self.layer = nn.Linear(4, 3)

    def forward(self, images):
        return self.layer(torch.relu(self.convolution(images)).mean((2, 3)))


@pytest.mark.parametrize(("top", "left"), [(2, 3), (2, 20), (20, 3), (20, 20)])
def test_an_off_centre_lesion_is_seen_where_it_is(top, left):
    torch.manual_seed(0)
    display = torch.full((1, 3, 32, 32), 220, dtype=torch.uint8)
    display[..., top : top + 8, left : left + 8] = 30
    maps = response_maps(SpotFinder(), display / 127.5 - 1, torch.tensor([1]))
    figure = response_figure(display, maps, [1], CLASSES, style=MapStyle(signed=False))
    for place in (1, 2, 3):
        energy = painted(figure, place)[..., :3].sum(2)
        energy = energy - energy.min()
        rows, columns = np.indices(energy.shape)
        centre = (rows * energy).sum() / energy.sum(), (columns * energy).sum() / energy.sum()
        np.testing.assert_allclose(centre, (top + 3.5, left + 3.5), atol=1)
