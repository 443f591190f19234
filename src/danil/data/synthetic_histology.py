"""Draw haematoxylin-eosin histology of a mucosa: its glands' architecture and lymphocytes decide the class."""

import numpy as np

from danil.data.glands import CYTOPLASM, EMPTY, MUCIN, NUCLEUS, Sheet, crowded, crypt, nuclei, solid
from danil.data.rendering import Field, Order, Picture, Role, Stencil, grain, grid, noise, path, smoothstep

TASK = "diagnosis"
CLASSES = ("normal", "inflamed", "low_grade", "high_grade")
SITES = ("caecum", "ascending colon", "transverse colon", "descending colon", "sigmoid colon", "rectum")
_NORMAL, _INFLAMED, _LOW, _HIGH = range(4)
_GLANDS = (crypt, crypt, crowded, solid)
# Optical density of red, green and blue light per unit of haematoxylin and of eosin.
_STAINS = np.array([[0.75, 0.95, 0.42], [0.10, 0.80, 0.34]])
# The area of one stroma nucleus as a share of the tile.
_SPINDLE = 5.7e-4


def render(order: Order) -> Picture:
    """Return the microscope's view of one tile, channels red, green and blue in [0, 1]."""
    tissue = Picture(_stroma(order), order.hidden)
    sheets = _sheets(order)
    room = 1 - np.maximum.reduce([sheet.body.coverage() for sheet in sheets.values()])
    lymphocytes = _lymphocytes(order).coverage() * room
    area = float(lymphocytes.mean() + sum(sheet.nuclei.coverage().mean() for sheet in sheets.values()))
    tissue.paint(NUCLEUS, _spindles(order, room, area).coverage())
    for role, sheet in sheets.items():
        _lay(order, tissue, sheet, role)
    tissue.paint(NUCLEUS, lymphocytes, "evidence" if order.label == _INFLAMED else "distractors")
    _stain_distractors(order, tissue)
    picture = Picture(_light(order, tissue.values), order.hidden)
    picture.evidence, picture.distractors = tissue.evidence, tissue.distractors
    _glass_distractors(order, picture)
    picture.values += 0.010 * grain(order.own("sensor"), order.side, 3)
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
    turn, (loose, dense) = rng.uniform(0, np.pi), order.shared("stroma").uniform([0.05, 0.6], [0.6, 1.2])
    along = x * np.cos(turn) + y * np.sin(turn)
    waves = np.cos(2 * np.pi * (along * 16 + 1.6 * noise(rng, side, 4, 2)))
    body = noise(rng, side, 5, 3)
    eosin = 0.62 * dense + 0.13 * waves + 0.12 * body + 0.05 * noise(rng, side, 36)
    gaps = smoothstep(0.4 * waves - body, 0.9 - loose, 1.5 - loose)
    values = np.stack([0.12 + 0.04 * body, eosin]) * (1 - 0.9 * gaps)
    return values.astype(np.float32)


def _sheets(order: Order) -> dict[Role, Sheet]:
    """Place the glands and draw each by its kind: the class's own, on harder images a minority of a rival's."""
    rng, side = order.own("glands"), order.side
    own: Role = "scene" if order.label == _INFLAMED else "evidence"
    sheets: dict[Role, Sheet] = {role: Sheet(*(Stencil(side) for _ in range(5))) for role in (own, "distractors")}
    pitch = order.shared("pitch").uniform(0.34, 0.46)
    turn, shift = rng.uniform(0, np.pi / 2), rng.uniform(-0.5, 0.5, 2)
    places = np.array([(i + 0.5 * (j % 2), 0.9 * j) for i in range(-4, 5) for j in range(-4, 5)]) + shift
    places = places + rng.uniform(-0.13, 0.13, places.shape)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    places = 0.5 + pitch * places @ spin
    places = places[(np.abs(places - 0.5) < 0.5 + 0.4 * pitch).all(1)]
    strange = rng.permutation(len(places)) < round(0.4 * order.difficulty * len(places))
    rival = order.rival(len(CLASSES))
    for number, place in enumerate(places):
        layer = order.own(f"gland {number}")
        foreign = strange[number] and rival != _INFLAMED
        kind, role = (rival, "distractors") if foreign else (order.label, own)
        _GLANDS[kind](layer, sheets[role], place, pitch * layer.uniform(0.36, 0.47), 1 - 0.75 * order.difficulty)
    return sheets


def _lymphocytes(order: Order) -> Stencil:
    """Return crowds of small round nuclei: many when inflamed, else none or, where inflammation is the rival, few."""
    rng, cells = order.own("lymphocytes"), Stencil(order.side)
    seeming = order.rival(len(CLASSES)) == _INFLAMED
    count = round(460 - 360 * order.difficulty) if order.label == _INFLAMED else round(90 * order.difficulty) * seeming
    crowds, spread = rng.uniform(0, 1, (5, 2)), 0.06 + 0.10 * order.difficulty
    places = crowds[rng.integers(0, 5, count)] + rng.normal(0, spread, (count, 2))
    nuclei(rng, cells, places, 0.0, 0.029, 0.95, 0.06)
    return cells


def _spindles(order: Order, room: Field, area: float) -> Stencil:
    """Return as many stroma nuclei as make the tile's nuclear area, `area` so far, independent of its class."""
    rng, cells = order.own("spindles"), Stencil(order.side)
    wanted = order.shared("cellularity").uniform(0.14, 0.34)
    count = int(np.clip((wanted - area) / _SPINDLE, 15, 400))
    places = rng.uniform(0, 1, (6 * count, 2))
    column, row = (places * order.side).astype(int).T
    places = places[room[row, column] > 0.5][:count]
    heading = rng.uniform(0, np.pi) + rng.normal(0, 0.35, len(places))
    nuclei(rng, cells, places, heading, 0.045, 0.36, 0.2)
    return cells


def _lay(order: Order, tissue: Picture, sheet: Sheet, role: Role) -> None:
    """Paint clefts, cytoplasm, mucin, lumina, nuclei; how pale the cytoplasm is varies by patient, not by class."""
    pale, foamy = order.shared("cytoplasm").uniform([0.1, -0.7], [0.8, 0.7])
    body = CYTOPLASM + pale * (MUCIN - CYTOPLASM)
    mucin = np.maximum(body + foamy * (MUCIN - CYTOPLASM), EMPTY)
    tissue.paint(EMPTY, sheet.cleft.coverage(0.003) * np.float32(0.9), role)
    tissue.paint(body, sheet.body.coverage(0.003), role)
    tissue.paint(mucin, sheet.mucin.coverage(0.003), role)
    tissue.paint(EMPTY, sheet.lumen.coverage(0.003), role)
    chromatin = 1 + 0.22 * noise(order.own("chromatin"), order.side, 48)
    tissue.paint(NUCLEUS[:, None, None] * chromatin, sheet.nuclei.coverage(), role)


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
