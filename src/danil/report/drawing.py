"""Drawing for pages: matplotlib figures as inline SVG that follows light and dark, pictures as data URIs."""

import base64
import io
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

INK, MUTED, LINE, CARD = "#1b2330", "#55606f", "#d5dbe4", "#ffffff"
SERIES = ("#0b5cad", "#c2410c", "#15803d", "#7e22ce", "#b91c5c", "#0f766e", "#854d0e", "#475569")
DASHES = ("-", "--", "-.", ":")
COLOURS = {INK: "--ink", MUTED: "--muted", LINE: "--grid", CARD: "--card"} | {
    hue: f"--s{place + 1}" for place, hue in enumerate(SERIES)
}
"""Colours as drawn → the page's variable that takes their place (`style.css`), so that dark mode recolours them."""

Array = np.ndarray[Any, Any]
POINTS = 250
"""A drawn curve has at most this many points."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "danil",
    "text.parse_math": False,
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
}
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


@dataclass(frozen=True)
class Chart:
    """Hold a figure for a page: its markup, with the alt text inside, and its caption."""

    svg: Markup
    caption: str


def chart(draw: Callable[[Axes], None], alt: str, caption: str = "", size: tuple[float, float] = (4.8, 3.5)) -> Chart:
    """Return what `draw` puts on one pair of axes; `alt` says in words what a sighted reader takes from it.

    Text stays text (`svg.fonttype: none`), set in the page's font; labels are never read as formulas.
    """
    return Chart(Markup(inline(drawn(draw, size, transparent=True), alt)), caption)


def drawn(draw: Callable[[Axes], None], size: tuple[float, float], *, transparent: bool = False) -> bytes:
    """Return what `draw` puts on one pair of axes as an SVG file; `size` in inches."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", transparent=transparent, metadata={"Date": None})
    return stream.getvalue()


def series(place: int) -> dict[str, Any]:
    """Return colour and dashes of the n-th line; they tell apart also without colour."""
    return {"color": SERIES[place % len(SERIES)], "linestyle": DASHES[place % len(DASHES)]}


def thinned(*columns: Array) -> list[Array]:
    """Return the columns at no more than `POINTS` rows, ends included."""
    count = len(columns[0])
    rows = np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))
    return [column[rows] for column in columns]


def squared(axes: Axes, title: str, x: str, y: str) -> None:
    """Set titles and the unit square."""
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))


def inline(source: bytes, alt: str) -> str:
    """Return matplotlib's SVG as markup for the inside of a page: labelled, recoloured, its ids its own."""
    root = ElementTree.fromstring(NOT_XML.sub("", source.decode()))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{SVG}metadata", f"{SVG}style"}:
                parent.remove(child)
    scope = f"c{zlib.crc32(source + alt.encode('utf-8', 'replace')):08x}"
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            element.set(key.removeprefix(XLINK), scoped(key, value, scope))
    size = root.attrib["viewBox"].split()
    root.attrib.clear()
    root.attrib.update({"role": "img", "aria-label": alt, "viewBox": " ".join(size)})
    return ElementTree.tostring(root, encoding="unicode")


def scoped(key: str, value: str, scope: str) -> str:
    """Return an attribute's value with page colours, the page's font, and ids that no other figure has."""
    if key == "id":
        return f"{scope}-{value}"
    if key == f"{XLINK}href":
        return f"#{scope}-{value.removeprefix('#')}"
    value = re.sub(r"url\(#([^)]+)\)", rf"url(#{scope}-\1)", value)
    if key == "style":
        value = re.sub(r"#[0-9a-f]{6}", lambda found: recoloured(found.group()), value)
        value = re.sub(r"(font: (?:[a-z0-9]+ )*?[\d.]+px|font-family:) [^;]+", r"\1 var(--font)", value)
    return value


def recoloured(hue: str) -> str:
    """Return the page's variable for a colour, with the colour itself where the page defines none."""
    return f"var({COLOURS[hue]}, {hue})" if hue in COLOURS else hue


def photo_uri(pixels: np.ndarray[Any, Any] | Image.Image) -> str:
    """Return a photograph as a JPEG data URI (`(H, W, 3)` uint8 or a PIL image)."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=88, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def map_uri(values: np.ndarray[Any, Any], limit: float, colormap: str = "RdBu_r") -> str:
    """Return a signed map `(H, W)` as a PNG data URI: zero is white, ±`limit` and beyond the deepest colours."""
    levels = np.rint(np.clip(values / limit, -1, 1) * 127 + 128).astype(np.uint8)
    colours = mpl.colormaps[colormap](np.clip((np.arange(256) - 1) / 254, 0, 1))[:, :3]
    picture = Image.fromarray(levels)
    picture.putpalette(np.rint(colours * 255).astype(np.uint8).tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
