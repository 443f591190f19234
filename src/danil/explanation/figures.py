"""Figures of response maps like the paper's Fig. 3: image, A⁺, A⁻ and their difference, side by side."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter
from torch import Tensor

from danil.data.atomic import write_atomically
from danil.data.outputs import Output, check_outputs
from danil.explanation.attributions import AttributionError
from danil.objectives import ResponseMaps

Array = np.ndarray[Any, np.dtype[np.float64]]
METADATA: Mapping[str, dict[str, str | None]] = {
    "png": {"Software": "danil"},
    "svg": {"Creator": "danil", "Date": None},
    "pdf": {"Creator": "danil", "CreationDate": None},
}
"""Format → what a figure says of its making: by whom (`danil.data.outputs` knows it by that), and no time."""
FORMATS = tuple(METADATA)
SIDE, TOP, BOTTOM, GAP = 2.5, 0.3, 0.46, 0.12
STYLE: dict[Any, Any] = {"text.parse_math": False, "font.size": 9, "svg.hashsalt": "danil"}
EVEN = 1e-6
"""A map that varies by no more than this share of its scale is even: Grad-CAM's on a feature map of one cell is."""
SIGNED, ABSOLUTE = "RdBu_r", "inferno"
OUTLINES: tuple[tuple[str, Any], ...] = (("#00a844", "solid"), ("#ff9800", "dashed"))


@dataclass(frozen=True)
class MapStyle:
    """Say how a map `(C, H, W)` becomes a picture.

    Args:
        signed: show the sum over channels on a diverging scale (red raises the loss, blue lowers it); else the norm
            over channels, so that a picture's total energy is the norm printed below it.
        smoothing: σ of a Gaussian, in pixels of the image; 0 shows the raw map. The printed norm is always the raw
            map's.
        overlay: lay the map over the image in grey.
        clip: percentile of the magnitudes at which the scale ends; gradients have a few extreme pixels.
    """

    signed: bool = True
    smoothing: float = 0.0
    overlay: bool = False
    clip: float = 99.8

    def __post_init__(self) -> None:
        if self.smoothing < 0:
            raise ValueError(f"`smoothing` is {self.smoothing}; it is σ in pixels and must be ≥ 0. Use 0 for none.")
        if not 0 < self.clip <= 100:
            raise ValueError(f"`clip` is {self.clip}; it is a percentile in (0, 100]. Use 100 for the largest value.")


def picture_of(response: Tensor, style: MapStyle, side: int | None = None) -> Array:
    """Return the map `(C, H, W)` or `(H, W)` as an array `(H, W)`: signed sum, or norm, over channels, smoothed.

    `side` is the height of the image in pixels, where the map is coarser.
    """
    values = response.detach().double().cpu().numpy()
    values = values[None] if values.ndim == 2 else values
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    flat: Array = values.sum(0) if style.signed else np.sqrt((values**2).sum(0))
    sigma = style.smoothing * (1 if side is None else len(flat) / side)
    return gaussian_filter(flat, sigma) if sigma else flat


def limit_of(picture: Array, clip: float) -> float:
    """Return where the picture's own scale ends; the largest magnitude if the percentile is 0, 1 for an empty map."""
    magnitude = np.abs(picture)
    return float(np.percentile(magnitude, clip)) or float(magnitude.max()) or 1.0


def response_figure(
    display: Tensor,
    maps: ResponseMaps,
    labels: Tensor | Sequence[int],
    classes: Sequence[str],
    *,
    style: MapStyle | None = None,
    names: Sequence[str] | None = None,
    known: bool = True,
    shares: Tensor | None = None,
    further: Mapping[str, Tensor] | None = None,
    source: str = "x",
    masks: Tensor | None = None,
) -> Figure:
    """Return a figure with a row per image: image, A⁺, A⁻, A⁺ − A⁻, each map at its own scale with its norm printed.

    Args:
        display: `(B, 3, S, S)` uint8, in the geometry of the maps.
        maps: from `danil.response_maps`, for these images and labels; `(B, C, h, w)` where taken at a layer.
        labels: `(B,)` class indices that A⁺ was taken for.
        classes: names in the order of the logits.
        style: how maps are drawn; signed and raw by default.
        names: a text per image, above it.
        known: whether `labels` are the truth; else they are predictions and named so.
        shares: `(B, K)`, the probabilities to print, where they are not those of `maps.logits`: fused over views.
        further: title → `(B, C, H, W)` or `(B, H, W)`, more maps to the right.
        source: what the maps are gradients with respect to, for the titles.
        masks: `(B, 2, S, S)` boolean, evidence and distractors, outlined on every picture.

    Raises:
        AttributionError: maps taken at a layer have no places (tokens, pooled features).
    """
    if maps.truth.ndim != 4:
        raise AttributionError(
            f"maps of shape {tuple(maps.truth.shape)} have no places to draw; (B, C, h, w) is needed. Name a layer "
            "whose output is a feature map."
        )
    chosen = MapStyle() if style is None else style
    columns = {f"A⁺ = ∂L⁺/∂{source}": maps.truth, f"A⁻ = ∂L⁻/∂{source}": maps.rival, "A⁺ − A⁻": maps.difference}
    columns |= further or {}
    predicted = maps.logits.double().softmax(1) if shares is None else shares
    rows, width = len(display), len(columns) + 1
    size = (width * (SIDE + GAP) + GAP, rows * (SIDE + TOP + BOTTOM) + 0.3)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=150)
        for row in range(rows):
            captions = row_captions(predicted[row], int(labels[row]), int(maps.rivals[row]), classes, known)
            image = display[row].permute(1, 2, 0).cpu().numpy()
            axes = panel(figure, size, row, 0, "" if names is None else names[row])
            axes.imshow(image)
            axes.set_xlabel(captions[0])
            for place, (title, values) in enumerate(columns.items(), start=1):
                axes = panel(figure, size, row, place, title)
                draw_map(axes, values[row], image, chosen, captions[place] if place < len(captions) else "")
        note = footnote(chosen, len(classes))
        note += draw_outlines(figure.axes, masks) if masks is not None else ""
        figure.text(GAP / size[0], 0.08 / size[1], note, color="#555555", size=7.5, va="bottom")
    return figure


def panel(figure: Figure, size: tuple[float, float], row: int, column: int, title: str) -> Axes:
    """Return empty axes at this place of the grid, titled."""
    left = GAP + column * (SIDE + GAP)
    below = size[1] - (row + 1) * (SIDE + TOP + BOTTOM) + BOTTOM
    axes = figure.add_axes((left / size[0], below / size[1], SIDE / size[0], SIDE / size[1]))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(shortened(title, 30), size=9.5)
    return axes


def draw_map(axes: Axes, response: Tensor, image: Any, style: MapStyle, caption: str) -> None:
    """Draw one map at its own scale, with its norm and scale below."""
    picture = picture_of(response, style, len(image))
    limit = limit_of(picture, style.clip)
    colours = mpl.colormaps[SIGNED if style.signed else ABSOLUTE]
    levels = np.clip(picture / limit, -1, 1)
    painted = colours((levels + 1) / 2 if style.signed else levels)
    if style.overlay:
        axes.imshow(image.mean(2), cmap="gray", vmin=0, vmax=255)
        painted[..., 3] = np.minimum(1.0, np.abs(levels) * 1.2)
    edges = (-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5)  # a layer's coarser map covers the same image
    axes.imshow(painted, extent=edges)
    norm = float(response.double().norm())
    sign = "±" if picture.min() < 0 else "0 … "
    size = f"norm {norm:.2g}   scale {sign}{limit:.2g}" if norm else "zero everywhere"
    if norm and np.ptp(picture) <= EVEN * limit:
        size = "even all over: says nothing of place"
    axes.set_xlabel("\n".join(line for line in (caption, size) if line))


def draw_outlines(panels: Sequence[Axes], masks: Tensor) -> str:
    """Outline each row's masks `(2, S, S)`, evidence and distractors, on its panels; return what the colours mean."""
    for place, axes in enumerate(panels):
        both = masks[place * len(masks) // len(panels)].cpu().numpy()
        for mask, (colour, dashes) in zip(both, OUTLINES, strict=True):
            if mask.any() and not mask.all():
                axes.contour(mask, levels=[0.5], colors=colour, linestyles=dashes, linewidths=0.8)
    return " Green: evidence; orange, dashed: distractors."


def row_captions(shares: Tensor, label: int, rival: int, classes: Sequence[str], known: bool) -> tuple[str, ...]:
    """Return what stands below image, A⁺ and A⁻ of a row with these class probabilities `(K,)`."""
    found = int(shares.argmax())
    named = [shortened(classes[index], 24) for index in (label, found, rival)]
    first = f"truth: {named[0]}\n" if known else ""
    role = "predicted" if rival == found else "runner-up"
    return (
        f"{first}predicted: {named[1]} ({float(shares[found]):.0%})",
        f"{'truth' if known else 'predicted'}: {named[0]}",
        f"{role}: {named[2]}",
        f"{named[0]} against {named[2]}" if len(named[0] + named[2]) < 30 else "",
    )


def footnote(style: MapStyle, count: int) -> str:
    """Return how to read the figure."""
    text = "Each map has its own scale. " + (
        "Red raises the loss (the logit, where a title names it), blue lowers it; sum over colour channels."
        if style.signed
        else "Brightness is the norm over colour channels."
    )
    if style.smoothing:
        text += f" Smoothed, σ = {style.smoothing:g} px."
    if count == 2:
        text += " With two classes A⁺ and A⁻ are one picture up to sign and scale."
    return text


def shortened(text: str, limit: int) -> str:
    """Return the text, its middle left out where it is longer than the limit."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[: limit - half - 1]}…{text[-half:]}"


def figure_bytes(figure: Figure, kind: str = "png") -> bytes:
    """Return the figure as PNG, SVG or PDF; the same figure gives the same bytes."""
    checked_kind(kind)
    stream = io.BytesIO()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(stream, format=kind, metadata=METADATA[kind])
    return stream.getvalue()


def checked_kind(kind: str) -> str:
    """Return the format of figures, which must be a known one.

    Raises:
        AttributionError: naming what there is.
    """
    if kind not in FORMATS:
        raise AttributionError(f"`kind` holds `{kind}`; there are {', '.join(FORMATS)}.")
    return kind


def check_targets(files: Mapping[Path, str]) -> None:
    """Refuse, before any work, files of `--out` that cannot be written or that danil did not write as this kind.

    Raises:
        OutputError: naming the file.
    """
    check_outputs([Output("--out", path, kind) for path, kind in files.items()], overwrite=None)


def write_figure(path: str | Path, figure: Figure) -> Path:
    """Write the figure atomically; the file's ending, .png, .svg or .pdf, decides the format."""
    target = Path(path)
    return write_atomically(target, figure_bytes(figure, target.suffix.removeprefix(".").lower()))
