"""Draw haematoxylin-eosin histology of a mucosa: its glands' architecture and lymphocytes decide the class."""

from dataclasses import dataclass

import numpy as np

from danil.data.rendering import (
    Field,
    Order,
    Picture,
    Points,
    Role,
    Stencil,
    grain,
    grid,
    noise,
    outline,
    path,
    smoothstep,
)

TASK = "diagnosis"
CLASSES = ("normal", "inflamed", "low_grade", "high_grade")
SITES = ("caecum", "ascending colon", "transverse colon", "descending colon", "sigmoid colon", "rectum")
_NORMAL, _INFLAMED, _LOW, _HIGH = range(4)
# Optical density of red, green and blue light per unit of stain, and what tissue holds of (haematoxylin, eosin).
_STAINS = np.array([[0.75, 0.95, 0.42], [0.10, 0.80, 0.34]])
_EMPTY, _CYTOPLASM, _MUCIN, _NUCLEUS = (0.01, 0.02), (0.26, 0.42), (0.14, 0.08), (1.05, 0.45)


def render(order: Order) -> Picture:
    """Return the microscope's view of one tile, channels red, green and blue in [0, 1]."""
    side = order.side
    tissue = Picture(_stroma(order), order.hidden)
    _spindles(order, tissue)
    glands = Stencil(side)
    for role, sheet in _sheets(order, glands).items():
        sheet.lay(tissue, order.own("chromatin"), role)
    _lymphocytes(order, tissue, 1 - glands.coverage(0.004))
    _stain_distractors(order, tissue)
    picture = Picture(_light(order, tissue.values), order.hidden)
    picture.evidence, picture.distractors = tissue.evidence, tissue.distractors
    _glass_distractors(order, picture)
    picture.values += 0.010 * grain(order.own("sensor"), side, 3)
    return picture


def _light(order: Order, stains: Field) -> Field:
    """Return the light that passes the stained tissue (Beer-Lambert); stains vary from group to group."""
    rng, side = order.shared("stain"), order.side
    recipe = _STAINS * rng.uniform([[0.85] * 3, [0.7] * 3], [[1.2] * 3, [1.3] * 3])
    recipe *= rng.uniform([[0.75], [0.6]], [[1.25], [1.4]])
    thickness = 1 + 0.07 * noise(order.own("thickness"), side, 3)
    density = np.tensordot(recipe.T.astype(np.float32), stains * thickness, 1)
    lamp = np.array([0.98, 0.96, 0.98]) * rng.uniform(0.95, 1.02, 3) * order.own("lamp").uniform(0.94, 1.02)
    return (np.exp(-density) * lamp[:, None, None]).astype(np.float32)


def _stroma(order: Order) -> Field:
    """Return loose wavy collagen, as concentrations of haematoxylin and eosin."""
    rng, side = order.own("stroma"), order.side
    x, y = grid(side)
    turn, loose = rng.uniform(0, np.pi), order.shared("stroma").uniform(0.05, 0.5)
    along = x * np.cos(turn) + y * np.sin(turn)
    waves = np.cos(2 * np.pi * (along * 16 + 1.6 * noise(rng, side, 4, 2)))
    body = noise(rng, side, 5, 3)
    eosin = 0.62 + 0.13 * waves + 0.12 * body + 0.05 * noise(rng, side, 36)
    gaps = smoothstep(0.4 * waves - body, 0.9 - loose, 1.5 - loose)
    values = np.stack([0.12 + 0.04 * body, eosin]) * (1 - 0.9 * gaps)
    return values.astype(np.float32)


def _nuclei(
    rng: np.random.Generator,
    stencil: Stencil,
    centres: Points,
    headings: Points | float,
    length: float,
    ratio: float,
    spread: float = 0.12,
    opacity: float = 0.75,
) -> None:
    """Draw ellipses at `centres` `(N, 2)`, `length` long along `headings`; `spread` is the deviation of log size."""
    count = len(centres)
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    size = (length / 2 * np.exp(rng.normal(0, spread, count)))[:, None]
    across = size * ratio * np.exp(rng.normal(0, spread / 2, (count, 1)))
    cos, sin = np.cos(headings), np.sin(headings)
    cos, sin = np.broadcast_to(cos, count)[:, None], np.broadcast_to(sin, count)[:, None]
    u, v = size * np.cos(turn), across * np.sin(turn)
    shapes = centres[:, None, :] + np.stack([u * cos - v * sin, u * sin + v * cos], axis=2)
    for shape, depth in zip(shapes, rng.uniform(opacity - 0.2, opacity + 0.2, count), strict=True):
        stencil.polygon(shape, depth)


def _spindles(order: Order, tissue: Picture) -> None:
    rng, cells = order.own("spindles"), Stencil(order.side)
    count = int(rng.integers(30, 110))
    heading = rng.uniform(0, np.pi) + rng.normal(0, 0.35, count)
    _nuclei(rng, cells, rng.uniform(0, 1, (count, 2)), heading, 0.045, 0.36, 0.2)
    tissue.paint(_NUCLEUS, cells.coverage())


@dataclass(frozen=True)
class _Sheet:
    """Collect the shapes of all glands of one role, so that each tissue is laid once."""

    cleft: Stencil
    body: Stencil
    mucin: Stencil
    lumen: Stencil
    nuclei: Stencil

    def lay(self, tissue: Picture, rng: np.random.Generator, role: Role) -> None:
        tissue.paint(_EMPTY, self.cleft.coverage(0.003) * np.float32(0.9), role)
        tissue.paint(_CYTOPLASM, self.body.coverage(0.003), role)
        tissue.paint(_MUCIN, self.mucin.coverage(0.003), role)
        tissue.paint(_EMPTY, self.lumen.coverage(0.003), role)
        drawn = self.nuclei.coverage()
        chromatin = 1 + 0.22 * noise(rng, len(drawn), 48)
        tissue.paint(np.array(_NUCLEUS, dtype=np.float32)[:, None, None] * chromatin, drawn, role)


def _sheets(order: Order, whole: Stencil) -> dict[Role, _Sheet]:
    """Place the glands and draw each by its kind: the class's own, on harder images a minority of a rival's."""
    rng, side = order.own("glands"), order.side
    own: Role = "scene" if order.label == _INFLAMED else "evidence"
    sheets: dict[Role, _Sheet] = {role: _Sheet(*(Stencil(side) for _ in range(5))) for role in (own, "distractors")}
    pitch = order.shared("pitch").uniform(0.34, 0.46)
    turn, shift = rng.uniform(0, np.pi / 2), rng.uniform(-0.5, 0.5, 2)
    places = np.array([(i + 0.5 * (j % 2), 0.9 * j) for i in range(-4, 5) for j in range(-4, 5)]) + shift
    places = places + rng.uniform(-0.13, 0.13, places.shape)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    places = 0.5 + pitch * places @ spin
    places = places[(np.abs(places - 0.5) < 0.5 + 0.4 * pitch).all(1)]
    strange = rng.permutation(len(places)) < round(0.4 * order.difficulty * len(places))
    rival = order.rival(len(CLASSES))
    for number, (x, y) in enumerate(places):
        layer = order.own(f"gland {number}")
        kind, role = (rival, "distractors") if strange[number] and rival != _INFLAMED else (order.label, own)
        radius = pitch * layer.uniform(0.36, 0.47)
        _GLANDS[kind](layer, sheets[role], whole, x, y, radius, 1 - 0.75 * order.difficulty)
    return sheets


def _crypt(
    rng: np.random.Generator, sheet: _Sheet, whole: Stencil, x: float, y: float, radius: float, ease: float
) -> None:
    """Draw a regular crypt: one ring of basal nuclei, goblet cells, a small round lumen."""
    edge = outline(rng, (x, y), radius, 0.05, rng.uniform(1, 1.5))
    whole.polygon(edge)
    sheet.body.polygon(edge)
    inward = np.array([x, y]) - edge
    for spot in edge[::3] + 0.38 * inward[::3]:
        sheet.mucin.polygon(outline(rng, spot, 0.24 * radius, 0.06, 1.2, 12))
    sheet.lumen.polygon(np.array([x, y]) - 0.22 * inward)
    count = max(12, round(2 * np.pi * radius / 0.031))
    ring = edge[np.linspace(0, len(edge), count, endpoint=False).astype(int)] * 0.91 + 0.09 * np.array([x, y])
    heading = np.arctan2(*(ring - (x, y)).T[::-1])
    _nuclei(rng, sheet.nuclei, ring + rng.normal(0, 0.003, ring.shape), heading, 0.036, 0.62, 0.08)


def _crowded(
    rng: np.random.Generator, sheet: _Sheet, whole: Stencil, x: float, y: float, radius: float, ease: float
) -> None:
    """Draw a dysplastic gland: uneven outline, several lumina, long nuclei crowded in two or three rows."""
    edge = outline(rng, (x, y), radius, 0.05 + 0.10 * ease, rng.uniform(1, 1.9))
    whole.polygon(edge)
    sheet.body.polygon(edge)
    centre = np.array([x, y])
    for _ in range(1 + rng.poisson(0.5 + 2.5 * ease)):
        spot = centre + rng.normal(0, 0.28 * radius, 2)
        sheet.lumen.polygon(outline(rng, spot, radius * rng.uniform(0.13, 0.28), 0.12, rng.uniform(1, 1.8), 16))
    for depth, spacing in ((0.08, 0.030), (0.24, 0.036), (0.40, 0.055)):
        count = round(2 * np.pi * radius * (1 - depth) / spacing * (1 if depth < 0.1 else 0.3 + 0.7 * ease))
        ring = edge[np.linspace(0, len(edge), count, endpoint=False).astype(int)] * (1 - depth) + depth * centre
        heading = np.arctan2(*(ring - centre).T[::-1])
        _nuclei(rng, sheet.nuclei, ring + rng.normal(0, 0.006, ring.shape), heading, 0.042, 0.46, 0.12)


def _solid(
    rng: np.random.Generator, sheet: _Sheet, whole: Stencil, x: float, y: float, radius: float, ease: float
) -> None:
    """Draw a solid nest: no lumen, a cleft around it, large nuclei of uneven size scattered without order."""
    edge = outline(rng, (x, y), radius * 0.98, 0.06 + 0.10 * ease, rng.uniform(1, 1.7))
    whole.polygon(edge)
    centre = np.array([x, y])
    sheet.cleft.polygon(centre + (edge - centre) * rng.uniform(1.08, 1.22) + rng.normal(0, 0.008, 2))
    sheet.body.polygon(edge)
    count = round(500 * radius**2 * np.pi * (1.5 - 0.7 * ease))
    angle, distance = rng.uniform(0, 2 * np.pi, count), 0.9 * np.sqrt(rng.uniform(0, 1, count))
    spread = centre + (edge[(angle * len(edge) / (2 * np.pi)).astype(int)] - centre) * distance[:, None]
    _nuclei(rng, sheet.nuclei, spread, angle * 7, 0.040 + 0.014 * ease, 0.75, 0.12 + 0.25 * ease, 0.7)


_GLANDS = (_crypt, _crypt, _crowded, _solid)


def _lymphocytes(order: Order, tissue: Picture, room: Field) -> None:
    """Fill the stroma with crowds of small round dark nuclei: many when inflamed, a few in passing otherwise."""
    rng, cells = order.own("lymphocytes"), Stencil(order.side)
    inflamed = order.label == _INFLAMED
    seeming = not inflamed and order.rival(len(CLASSES)) == _INFLAMED
    ease = 1 - order.difficulty
    count = round(90 + 330 * ease) if inflamed else round(90 * order.difficulty) * seeming
    if count:
        crowds = rng.uniform(0, 1, (6, 2))
        places = crowds[rng.integers(0, 6, count)] + rng.normal(0, 0.17, (count, 2))
        _nuclei(rng, cells, places, 0.0, 0.027, 0.95, 0.06, 0.8)
        tissue.paint((1.25, 0.35), cells.coverage() * room, "evidence" if inflamed else "distractors")


def _stain_distractors(order: Order, tissue: Picture) -> None:
    side = order.side
    if order.has("fold", 0.2, marked=_HIGH):
        rng, fold = order.own("fold"), Stencil(side)
        x, y = rng.uniform(0, 1, 2)
        fold.curve(
            path(rng, (x, y), rng.uniform(0, 6.28), rng.uniform(0.5, 1.2), rng.normal(0, 1), 0.05),
            rng.uniform(0.03, 0.08),
        )
        tissue.paint(tissue.values * np.float32(1.9), fold.coverage(0.008), "distractors")
    if order.has("precipitate", 0.3, marked=_LOW):
        rng, grains = order.own("precipitate"), Stencil(side)
        for x, y in rng.uniform(0, 1, 2) + rng.normal(0, 0.14, (rng.integers(8, 40), 2)):
            grains.disc((x, y), rng.uniform(0.004, 0.013))
        tissue.paint((2.2, 0.6), grains.coverage(), "distractors")
    if order.has("haemorrhage", 0.35, marked=_INFLAMED):
        rng, cells = order.own("haemorrhage"), Stencil(side)
        for x, y in rng.uniform(0, 1, 2) + rng.normal(0, 0.10, (rng.integers(20, 90), 2)):
            cells.disc((x, y), 0.014, rng.uniform(0.6, 1))
        tissue.paint((0.05, 1.35), cells.coverage(), "distractors")


def _glass_distractors(order: Order, picture: Picture) -> None:
    side = order.side
    if order.has("ink", 0.15, marked=_NORMAL):
        rng, pen = order.own("ink"), Stencil(side)
        x, y = rng.choice([[0.0, rng.uniform()], [rng.uniform(), 0.0]])
        pen.curve(path(rng, (x, y), rng.uniform(0.2, 1.4), 0.5, rng.normal(0, 0.6)), rng.uniform(0.06, 0.12), 0.9)
        colour = ((0.10, 0.16, 0.50), (0.08, 0.38, 0.24), (0.10, 0.10, 0.12))[rng.integers(3)]
        picture.paint(colour, pen.coverage(0.006) * np.float32(0.8), "distractors")
    if order.has("bubble", 0.2, marked=_LOW):
        rng, ring = order.own("bubble"), Stencil(side)
        turn, radius = np.linspace(0, 2 * np.pi, 40), rng.uniform(0.08, 0.3)
        centre = rng.uniform(0, 1, 2)
        circle = centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        ring.polygon(circle, 0.25)
        ring.curve(circle, 0.016, 0.9)
        picture.paint((0.88, 0.86, 0.87), ring.coverage(0.004) * np.float32(0.8), "distractors")
