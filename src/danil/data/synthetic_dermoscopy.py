"""Draw dermoscopy: skin, a pigmented lesion whose inner structure decides the class, hair, bubbles, rulers, ink."""

from collections.abc import Callable

import numpy as np

from danil.data.rendering import Field, Order, Picture, Role, Stencil, grain, grid, noise, path, smoothstep

TASK = "diagnosis"
CLASSES = ("nevus", "melanoma", "keratosis", "vascular")
SITES = ("back", "abdomen", "chest", "face", "arm", "leg")
_SKIN = np.array([[0.93, 0.78, 0.75], [0.89, 0.62, 0.58], [0.80, 0.60, 0.50], [0.60, 0.43, 0.34]])
_PIGMENT = np.array(
    [[0.50, 0.28, 0.20], [0.36, 0.20, 0.16], [0.62, 0.25, 0.25], [0.40, 0.31, 0.32], [0.58, 0.38, 0.24]]
)


def render(order: Order) -> Picture:
    """Return the dermatoscope's view of one lesion, channels red, green and blue in [0, 1]."""
    picture = Picture(_skin(order), order.hidden)
    lesion, rim = _lesion(order)
    dark = _pigment(order)
    picture.paint(dark, lesion * np.float32(order.shared("density").uniform(0.7, 0.92)))
    _structures(order, picture, lesion, rim, dark)
    _distractors(order, picture)
    x, y = grid(order.side)
    distance = np.hypot(x - 0.5, y - 0.5)
    depth = float(order.own("vignette").choice([0.1, 0.3, 1.0], p=[0.5, 0.35, 0.15]))
    edge = 0.58 if depth == 1.0 else 0.85
    light = 1 - np.float32(depth) * smoothstep(distance, 0.25 if depth < 1 else 0.54, edge)
    picture.shade(light)
    picture.restrict(light > 0.05)
    picture.values += 0.008 * grain(order.own("sensor"), order.side, 3)
    return picture


def _skin(order: Order) -> Field:
    rng, side = order.shared("skin"), order.side
    colour = rng.dirichlet(np.full(4, 0.6)) @ _SKIN * rng.uniform(0.96, 1.04, 3)
    own = order.own("skin")
    lines = noise(own, side, 40, 2) * 0.012 + noise(own, side, 14, 2, stretch=2) * 0.012
    flush = noise(own, side, 4, 2)
    light = 1 + own.uniform(-0.08, 0.08) + 0.05 * noise(own, side, 2) + lines
    tint = np.array([0.005, -0.022, -0.016])[:, None, None] * flush
    return (colour[:, None, None] * light + tint).astype(np.float32)


def _pigment(order: Order) -> Field:
    rng, own, side = order.shared("pigment"), order.own("pigment"), order.side
    first, second = rng.dirichlet(np.full(5, 0.5), 2) @ _PIGMENT * rng.uniform(0.75, 1.25, (2, 1))
    share = smoothstep(noise(own, side, 3, 3), -0.7, 0.7)
    mixed = first[:, None, None] + (second - first)[:, None, None] * share * rng.uniform(0.3, 1)
    return (mixed * (1 + 0.10 * noise(own, side, 6, 3))).astype(np.float32)


def _lesion(order: Order) -> tuple[Field, Field]:
    """Return the lesion's opacity, and a coordinate that is 0 at its centre and 1 at its border."""
    rng, own, side = order.shared("lesion"), order.own("lesion"), order.side
    x, y = grid(side)
    cx, cy = 0.5 + own.uniform(-0.08, 0.08, 2)
    turn, stretch, radius = rng.uniform(0, np.pi), rng.uniform(1, 1.6), rng.uniform(0.24, 0.36)
    along = ((x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)) / np.sqrt(stretch)
    across = ((y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)) * np.sqrt(stretch)
    angle = np.linspace(-np.pi, np.pi, 181)
    waves = np.arange(2, 6)[:, None]
    height = rng.normal(0, 0.12, (4, 1)) / np.sqrt(waves)
    border = radius * (1 + (height * np.cos(waves * angle + rng.uniform(0, 2 * np.pi, (4, 1)))).sum(0))
    border = np.interp(np.arctan2(across, along), angle, border).astype(np.float32)
    rim = np.hypot(along, across) / border + rng.uniform(0.02, 0.10) * noise(own, side, 10, 3)
    soft = rng.uniform(0.06, 0.3)
    return smoothstep(rim, 1 + soft, 1 - soft).astype(np.float32), rim.astype(np.float32)


def _structures(order: Order, picture: Picture, lesion: Field, rim: Field, dark: Field) -> None:
    """Draw the class's structure; on harder images a rival's takes its place at one side of the lesion."""
    rng, rival = order.own("patch"), order.rival(len(CLASSES))
    x, y = grid(order.side)
    turn, start = rng.uniform(0, 2 * np.pi), 0.30 - 0.28 * order.difficulty**0.7
    beside = (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn)
    patch = smoothstep(beside, start, start + 0.03) * np.float32(order.difficulty > 0)
    strength = np.float32((0.20 + 0.80 * (1 - order.difficulty) ** 1.8) * order.shared("contrast").uniform(0.75, 1.0))
    parts: tuple[tuple[int, Field, Role], ...] = (
        (order.label, 1 - patch, "evidence"),
        (rival, patch, "distractors"),
    )
    for label, where, role in parts:
        relief = _RELIEFS[label](order.own(f"structure {CLASSES[label]}"), order.side, rim)
        amount = strength * lesion * where
        picture.paint(dark * np.float32(0.30), amount * relief.clip(0, 1), role)
        picture.paint(np.float32(0.45) * dark + np.float32(0.5), amount * (-relief).clip(0, 1), role)


def _network(rng: np.random.Generator, side: int, rim: Field) -> Field:
    """Return a regular honeycomb of thin dark lines around pale holes (positive = darker)."""
    x, y = grid(side)
    x, y = x + 0.010 * noise(rng, side, 7), y + 0.010 * noise(rng, side, 7)
    pitch, turn = 2 * np.pi * rng.uniform(15, 19), rng.uniform(0, np.pi)
    waves = [np.cos(pitch * (x * np.cos(turn + k * np.pi / 3) + y * np.sin(turn + k * np.pi / 3))) for k in range(3)]
    cells = waves[0] + waves[1] + waves[2]
    faded = 0.8 + 0.3 * noise(rng, side, 5)
    return (0.9 * smoothstep(cells, 0.0, -1.4) - 0.35 * smoothstep(cells, 0.8, 2.4)) * faded


def _atypical(rng: np.random.Generator, side: int, rim: Field) -> Field:
    """Return an irregular network, radial streaks on one side, uneven blotches and a pale veil off the centre."""
    x, y = grid(side)
    ridges = np.clip(1 - np.abs(noise(rng, side, 8, 3)) * 3.5, 0, 1)
    angle = np.arctan2(y - 0.5, x - 0.5) + 0.25 * noise(rng, side, 6, 2)
    spokes = smoothstep(np.cos(angle * rng.integers(18, 26)), 0.2, 0.9)
    sector = smoothstep(np.cos(angle - rng.uniform(0, 2 * np.pi)), 0.0, 0.6)
    streaks = spokes * sector * smoothstep(rim, 0.72, 0.82) * 0.7
    patches = noise(rng, side, 4, 3)
    blotches = smoothstep(patches, 0.45, 0.9)
    veil = smoothstep(patches, -0.4, -1.1)
    lines = ridges * smoothstep(noise(rng, side, 3), -0.6, 0.2)
    return np.maximum(np.maximum(lines * 0.9, streaks), blotches * 0.85) - 0.5 * veil


def _cysts(rng: np.random.Generator, side: int, rim: Field) -> Field:
    """Return pale round cysts, dark round openings and a few fissures."""
    pale, dark = Stencil(side), Stencil(side)
    pale.ellipses(rng.uniform(0.12, 0.88, (90, 2)), 0.0, rng.uniform(0.016, 0.040, 90), 1.0)
    dark.ellipses(rng.uniform(0.12, 0.88, (60, 2)), 0.0, rng.uniform(0.016, 0.052, 60), 0.9)
    for x, y, heading, length in rng.uniform([0.2, 0.2, 0, 0.1], [0.8, 0.8, 6.28, 0.25], (7, 4)):
        dark.curve(path(rng, (x, y), heading, length, 1.0, 0.15), 0.012, 0.8)
    return dark.coverage(0.004) - np.float32(0.75) * pale.coverage(0.006)


def _lacunae(rng: np.random.Generator, side: int, rim: Field) -> Field:
    """Return dark rounded lakes, packed, with pale septa between them."""
    lakes = Stencil(side)
    count = int(rng.integers(7, 10))
    row, column = np.divmod(np.arange(count**2), count)
    places = np.stack([column + 0.5 * (row % 2), row + 0.5], axis=1) + rng.uniform(-0.22, 0.22, (count**2, 2))
    turn, length, ratio, depth = rng.uniform([0, 0.7, 0.6, 0.5], [3.14, 1.1, 1, 1], (count**2, 4)).T
    lakes.ellipses(places / count, turn, length / count, ratio, depth)
    filled = lakes.coverage(0.006)
    return np.float32(0.85) * filled - np.float32(0.35) * smoothstep(filled, 0.4, 0)


_RELIEFS: tuple[Callable[[np.random.Generator, int, Field], Field], ...] = (_network, _atypical, _cysts, _lacunae)


def _distractors(order: Order, picture: Picture) -> None:
    if order.has("hair", 0.5, marked=1):
        _hair(order.own("hair"), picture, order.side)
    if order.has("ruler", 0.25, marked=2):
        _ruler(order.own("ruler"), picture, order.side)
    if order.has("bubbles", 0.35, marked=3):
        _bubbles(order.own("bubbles"), picture, order.side)
    if order.has("ink", 0.15, marked=0):
        _ink(order.own("ink"), picture, order.side)


def _hair(rng: np.random.Generator, picture: Picture, side: int) -> None:
    strands, sheen = Stencil(side), Stencil(side)
    comb, colour = rng.uniform(0, np.pi), np.array([0.30, 0.19, 0.13]) * rng.uniform(0.2, 1.2)
    for _ in range(rng.integers(3, 16)):
        x, y = rng.uniform(-0.2, 1.0, 2)
        strand = path(rng, (x, y), comb + rng.normal(0, 0.5), rng.uniform(0.4, 1.2), rng.normal(0, 0.9), 0.02)
        width = rng.uniform(0.004, 0.010)
        strands.curve(strand, width, rng.uniform(0.6, 1))
        sheen.curve(strand + width / 2, 0.003, 0.25)
    picture.paint(colour, strands.coverage(), "distractors")
    picture.paint((0.9, 0.85, 0.85), sheen.coverage(), "distractors")


def _ruler(rng: np.random.Generator, picture: Picture, side: int) -> None:
    marks = Stencil(side)
    turn, offset, pitch = rng.integers(0, 4), rng.uniform(0.05, 0.13), rng.uniform(0.035, 0.06)
    for tick, place in enumerate(np.arange(-0.02, 1.02, pitch)):
        reach = 0.075 if tick % 5 == 0 else 0.04
        ends = np.array([[place, 1 - offset], [place, 1 - offset + reach]]) - 0.5
        spin = np.array([[0, 1], [-1, 0]])
        marks.curve(ends @ np.linalg.matrix_power(spin, int(turn)) + 0.5, 0.008)
    picture.paint((0.12, 0.10, 0.12), marks.coverage() * np.float32(rng.uniform(0.6, 0.95)), "distractors")


def _bubbles(rng: np.random.Generator, picture: Picture, side: int) -> None:
    rims, glints = Stencil(side), Stencil(side)
    for _ in range(rng.integers(2, 10)):
        x, y, radius = rng.uniform([0, 0, 0.012], [1, 1, 0.06])
        turn = np.linspace(0, 2 * np.pi, 28)
        circle = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)
        rims.curve(circle, 0.007, 0.55)
        rims.disc((x, y), radius * 0.9, 0.12)
        glints.curve(circle[14:20], 0.010, 0.9)
        glints.disc((x + radius * 0.4, y + radius * 0.4), 0.006, 0.8)
    picture.paint((0.55, 0.45, 0.45), rims.coverage(0.002), "distractors")
    picture.paint((1.0, 0.98, 0.98), glints.coverage(0.003), "distractors")


def _ink(rng: np.random.Generator, picture: Picture, side: int) -> None:
    pen = Stencil(side)
    for _ in range(rng.integers(1, 4)):
        edge, heading = rng.uniform(0, 1), rng.choice([0.0, np.pi / 2])
        start = (-0.05, edge) if heading == 0 else (edge, -0.05)
        pen.curve(path(rng, start, heading + rng.normal(0, 0.2), rng.uniform(0.2, 0.4), rng.normal(0, 1)), 0.035, 0.85)
    patchy = 0.75 + 0.25 * noise(rng, side, 20)
    picture.paint((0.25, 0.16, 0.50), np.clip(pen.coverage(0.004) * patchy, 0, 1).astype(np.float32), "distractors")
