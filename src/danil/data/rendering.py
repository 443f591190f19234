"""What the synthetic modalities draw with: seeded layers, noise, antialiased strokes, and a picture with masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

Field = np.ndarray[Any, np.dtype[np.floating[Any]]]
Points = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Role = Literal["scene", "evidence", "distractors"]
Place = Sequence[float] | Points
VISIBLE = 2 / 255
OVERSAMPLING = 3


@dataclass(frozen=True)
class Order:
    """Say which image to render; equal orders give equal pixels, on every machine and in every sequence.

    `seed` and `group` fix what a group's images share (skin, stain, eye), `index` what is this image's own. `label` may
    be replaced to see the same scene as another class: every layer draws from its own generator, so that nothing but
    the layers that depend on the class changes. Layers whose role is in `hidden` are left out in the same way.
    """

    kind: str
    seed: int
    group: int
    index: int
    label: int
    site: int
    side: int
    difficulty: float
    confounding: float = 0.0
    hidden: frozenset[Role] = frozenset()

    def shared(self, layer: str) -> np.random.Generator:
        """Return the generator of a layer that all images of the group have in common."""
        return generator(self.seed, self.kind, "group", self.group, layer)

    def own(self, layer: str) -> np.random.Generator:
        """Return the generator of a layer that belongs to this image alone."""
        return generator(self.seed, self.kind, "image", self.index, layer)

    def rival(self, classes: int) -> int:
        """Return another class, fixed by the image and not by its label's order: the one a hard image is mixed with."""
        return (self.label + int(self.own("rival").integers(1, classes))) % classes

    def has(self, distractor: str, share: float, marked: int) -> bool:
        """Return whether the image carries this distractor, in a `share` of all images whatever the class.

        With probability `confounding` the class decides instead: class `marked` carries it, no other class does.
        """
        dice = self.own(f"presence of {distractor}").random(2)
        return self.label == marked if dice[0] < self.confounding else bool(dice[1] < share)


def generator(seed: int, *words: str | int) -> np.random.Generator:
    """Return the random generator named by a seed and words; independent of every other name."""
    name = "/".join(map(str, (seed, *words)))
    return np.random.Generator(np.random.PCG64(int.from_bytes(blake2b(name.encode(), digest_size=16).digest(), "big")))


@dataclass
class Picture:
    """Hold a picture under construction, `values` of shape `(C, H, W)`, and the masks of what its layers changed."""

    values: Field
    hidden: frozenset[Role]
    evidence: Mask = field(init=False)
    distractors: Mask = field(init=False)

    def __post_init__(self) -> None:
        shape = self.values.shape[1:]
        self.evidence, self.distractors = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)

    def paint(self, value: Sequence[float] | np.ndarray[Any, Any], alpha: Field, role: Role = "scene") -> None:
        """Lay `value` (one number per channel, or an array `(C, H, W)`) over the picture with opacity `alpha` `(H, W)`.

        The mask of `role` gains the pixels that change by more than two of 255 levels. What a layer covers by more than
        half no longer counts for the layers below.
        """
        if role in self.hidden:
            return
        colour = np.asarray(value, dtype=np.float32)
        change = alpha * ((colour if colour.ndim == 3 else colour[:, None, None]) - self.values)
        self.values += change
        if role == "scene":
            return
        seen = np.maximum.reduce(np.abs(change)) > VISIBLE
        covered = alpha > 0.5
        if role == "evidence":
            self.evidence |= seen
            self.distractors &= ~covered
        else:
            self.distractors |= seen
            self.evidence &= ~covered

    def shade(self, factor: Field) -> None:
        """Multiply all channels by `factor` of shape `(H, W)`: light and shadow, which belong to the scene."""
        self.values *= factor

    def restrict(self, field_of_view: Mask) -> None:
        """Take the pixels outside the instrument's round field of view, which are black, out of both masks."""
        self.evidence &= field_of_view
        self.distractors &= field_of_view


def grid(side: int) -> tuple[Field, Field]:
    """Return x and y of the pixel centres in the unit square, each of shape `(side, side)`."""
    axis = ((np.arange(side) + 0.5) / side).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def noise(rng: np.random.Generator, side: int, cells: int, octaves: int = 1, stretch: int = 1) -> Field:
    """Return smooth noise of shape `(side, side)`, mean near 0 and deviation near 0.6, with `cells` bumps across.

    Each further octave has twice the bumps and half the height. `stretch` makes the bumps that much longer along x.
    The same generator gives the same landscape at every `side`.
    """
    total = np.zeros((1, 1), dtype=np.float32)
    for octave in range(octaves):
        count = cells * 2**octave
        bumps = rng.standard_normal((count, max(2, count // stretch)), dtype=np.float32)
        total = _resized(total, *bumps.shape) + bumps / np.float32(2**octave)
    return _resized(total, side, side)


def _resized(values: Field, height: int, width: int) -> Field:
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC))


def grain(rng: np.random.Generator, side: int, channels: int) -> Field:
    """Return white noise of one value per pixel and channel, `(channels, side, side)`, deviation 1: a sensor's."""
    return rng.standard_normal((channels, side, side), dtype=np.float32)


def smoothstep(values: Field, low: float, high: float) -> Field:
    """Return 0 below `low`, 1 above `high` and a smooth rise between (`low` above `high` gives a fall)."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32, copy=False)


class Stencil:
    """Draw antialiased shapes in the unit square and return how much of each pixel they cover."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._scale = side * OVERSAMPLING
        self._image = Image.new("L", (self._scale, self._scale))
        self._draw = ImageDraw.Draw(self._image)

    def disc(self, at: Place, radius: float, opacity: float = 1.0) -> None:
        """Fill a circle."""
        left, top = (at[0] - radius) * self._scale, (at[1] - radius) * self._scale
        width = 2 * radius * self._scale
        self._draw.ellipse((left, top, left + width, top + width), round(255 * opacity))

    def polygon(self, points: Points, opacity: float = 1.0) -> None:
        """Fill a closed outline, `points` of shape `(N, 2)`."""
        self._draw.polygon((points * self._scale).ravel().tolist(), round(255 * opacity))

    def ellipses(
        self,
        centres: Points,
        headings: Points | float,
        lengths: Points | float,
        ratios: Points | float,
        opacities: Points | float = 1.0,
    ) -> None:
        """Fill N ellipses at `centres` `(N, 2)`, `lengths` long along `headings`; leaves out those off the picture."""
        size = np.broadcast_to(lengths, len(centres))[:, None] / 2
        turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
        along, across = size * np.cos(turn), size * np.sin(turn) * np.broadcast_to(ratios, len(centres))[:, None]
        cos, sin = (np.broadcast_to(part, len(centres))[:, None] for part in (np.cos(headings), np.sin(headings)))
        x, y = centres[:, :1] + along * cos - across * sin, centres[:, 1:] + along * sin + across * cos
        shapes = (np.stack([x, y], axis=2) * self._scale).reshape(len(centres), 2 * len(turn))
        inside = ((centres > -size) & (centres < 1 + size)).all(1)
        levels = np.rint(np.broadcast_to(opacities, len(centres)) * 255).astype(int)
        for shape, level in zip(shapes[inside].tolist(), levels[inside].tolist(), strict=True):
            self._draw.polygon(shape, level)

    def curve(self, points: Points, width: float, opacity: float = 1.0) -> None:
        """Draw an open line through `points` of shape `(N, 2)`."""
        pixels = max(1, round(width * self._scale))
        self._draw.line((points * self._scale).ravel().tolist(), round(255 * opacity), pixels, joint="curve")

    def coverage(self, blur: float = 0.0) -> Field:
        """Return the share of each pixel covered, `(side, side)` in [0, 1]; `blur` (in the unit square) softens it."""
        drawn = np.asarray(self._image.reduce(OVERSAMPLING), dtype=np.float32) / np.float32(255)
        return gaussian_filter(drawn, blur * self._side, truncate=2.5) if blur else drawn


def outline(
    rng: np.random.Generator, at: Place, radius: float, wobble: float, stretch: float = 1.0, points: int = 40
) -> Points:
    """Return a closed irregular outline around a centre, `(points, 2)`; `wobble` is the relative height of bumps."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    order = np.arange(2, 7)[:, None]
    height = rng.normal(0, wobble, (5, 1)) / np.sqrt(order - 1)
    bumps = height * np.cos(order * angle + rng.uniform(0, 2 * np.pi, (5, 1)))
    distance = radius * np.maximum(0.3, 1 + bumps.sum(0))
    turn = rng.uniform(0, np.pi)
    along, across = distance * np.cos(angle) * np.sqrt(stretch), distance * np.sin(angle) / np.sqrt(stretch)
    x, y = along * np.cos(turn) - across * np.sin(turn), along * np.sin(turn) + across * np.cos(turn)
    return np.stack([at[0] + x, at[1] + y], axis=1)


def paths(
    rng: np.random.Generator,
    starts: Points,
    headings: Points,
    lengths: Points,
    bends: Points,
    jitter: float = 0.0,
    points: int = 16,
) -> Points:
    """Return N bending walks, `(N, points, 2)`: each turns by its bend (radians) in all, plus `jitter` at each step."""
    turns = bends[:, None] / points + rng.normal(0, jitter, (len(bends), points))
    angle = headings[:, None] + np.cumsum(turns, axis=1)
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=2) * (lengths[:, None, None] / points)
    return starts[:, None] + np.cumsum(steps, axis=1) - steps[:, :1]


def path(
    rng: np.random.Generator, at: Place, heading: float, length: float, bend: float, jitter: float = 0.0
) -> Points:
    """Return one bending walk from a place, `(16, 2)`, as `paths` does."""
    start, turn, reach, curve = (np.array([value], dtype=np.float64) for value in (at, heading, length, bend))
    return paths(rng, start, turn, reach, curve, jitter)[0]
