"""Draw retinal fundus photographs whose lesions decide the grade of diabetic retinopathy, 0 to 4."""

import numpy as np

from danil.data.rendering import (
    Field,
    Order,
    Picture,
    Points,
    Stencil,
    grain,
    grid,
    noise,
    outline,
    path,
    paths,
    smoothstep,
)

TASK = "grade"
CLASSES = ("0_none", "1_mild", "2_moderate", "3_severe", "4_proliferative")
SITES = ("left eye", "right eye")
# How many of each lesion a typical eye of a grade has: microaneurysms, blots, flames, exudate clusters, cotton-wool
# spots, tangles of new vessels.
_COUNTS = np.array(
    [[0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0], [7, 4, 0, 3, 0, 0], [6, 13, 8, 1, 5, 0], [4, 4, 1, 1, 1, 5]]
)
# Each vessel trunk above and below the disc: heading, bend (radians), length, relative width. Arcade, nasal, macular.
_TRUNKS = np.array([[1.25, -1.45, 0.85, 1.0], [2.2, 0.35, 0.5, 0.9], [0.75, -0.75, 0.42, 0.5]])
_APERTURE = 0.485


def render(order: Order) -> Picture:
    """Return the camera's view of one eye, channels red, green and blue in [0, 1]."""
    side, right = order.side, order.site == 1
    rng, own = order.shared("eye"), order.own("view")
    shift = own.uniform(-0.04, 0.04, 2)
    disc = np.array([0.5 + (0.27 if right else -0.27), 0.48]) + rng.uniform(-0.03, 0.03, 2) + shift
    macula = np.array([0.5 + (-0.06 if right else 0.06), 0.52]) + shift
    picture = Picture(_retina(order), order.hidden)
    x, y = grid(side)
    spot = np.exp(-((x - macula[0]) ** 2 + (y - macula[1]) ** 2) / (2 * 0.055**2))
    picture.shade(1 - np.float32(rng.uniform(0.25, 0.45)) * spot)
    _disc(order, picture, disc)
    blood = picture.values * _column(0.62, 0.38, 0.42)
    _vessels(order, picture, disc, macula, blood)
    _lesions(order, picture, disc, blood)
    _distractors(order, picture, disc)
    distance = np.hypot(x - 0.5, y - 0.5)
    light = 1.05 - own.uniform(0.8, 1.8) * ((x - 0.5 - shift[0]) ** 2 + (y - 0.5 - shift[1]) ** 2)
    picture.shade((light * smoothstep(distance, _APERTURE + 0.006, _APERTURE - 0.006)).astype(np.float32))
    picture.restrict(distance < _APERTURE + 0.006)
    picture.values += 0.006 * grain(order.own("sensor"), side, 3)
    return picture


def _column(red: float, green: float, blue: float) -> Field:
    return np.array([red, green, blue], dtype=np.float32)[:, None, None]


def _retina(order: Order) -> Field:
    rng, side = order.shared("retina"), order.side
    orange, red, brown = np.array([[0.88, 0.50, 0.16], [0.78, 0.34, 0.20], [0.56, 0.33, 0.22]])
    mix = rng.dirichlet(np.full(3, 0.9))
    colour = (mix[0] * orange + mix[1] * red + mix[2] * brown) * rng.uniform(0.78, 1.08) * rng.uniform(0.94, 1.06, 3)
    choroid = 0.05 * noise(rng, side, 5, 3) + rng.uniform(0, 0.06) * np.abs(noise(rng, side, 12, 2))
    values = colour[:, None, None] * (1 + choroid)
    values[1] *= 1 + 0.06 * noise(order.own("flush"), side, 3)
    return values.astype(np.float32)


def _disc(order: Order, picture: Picture, disc: Points) -> None:
    rng, side = order.shared("disc"), order.side
    radius = rng.uniform(0.058, 0.075)
    head, cup = Stencil(side), Stencil(side)
    head.polygon(outline(rng, disc, radius, 0.02, 1.15))
    cup.polygon(outline(rng, disc + rng.uniform(-0.008, 0.008, 2), radius * rng.uniform(0.35, 0.6), 0.03))
    pale = np.array([0.98, 0.74, 0.42]) * rng.uniform(0.88, 1.02)
    halo = head.coverage(0.022) * np.float32(0.3)
    picture.paint(pale, halo)
    picture.paint(pale, head.coverage(0.006) * np.float32(0.9))
    picture.paint(pale * [1.02, 1.2, 1.6], cup.coverage(0.008) * np.float32(0.75))


def _vessels(order: Order, picture: Picture, disc: Points, macula: Points, blood: Field) -> None:
    """Draw the arcades around the macula and the nasal vessels: a wide dark vein and a thin bright artery each."""
    rng, side = order.shared("vessels"), order.side
    temporal = 1.0 if macula[0] > disc[0] else -1.0
    veins, arteries = Stencil(side), Stencil(side)
    for stencil, width in ((veins, 0.0155), (arteries, 0.0105)):
        trunks = np.tile(_TRUNKS, (2, 1)) + rng.normal(0, [0.16, 0.18, 0.03, 0.08], (6, 4))
        heading, bend, length, wide = trunks.T
        vertical = np.repeat([1.0, -1.0], 3)
        heading, bend = vertical * heading, vertical * bend * temporal
        heading = heading if temporal > 0 else np.pi - heading
        _tree(rng, stencil, disc + rng.normal(0, 0.006, (6, 2)), heading, bend, length, width * wide)
    picture.paint(0.95 * blood, veins.coverage() * np.float32(0.85))
    picture.paint(blood * _column(1.2, 0.95, 0.95), arteries.coverage() * np.float32(0.75))


def _tree(
    rng: np.random.Generator,
    stencil: Stencil,
    start: Points,
    heading: Points,
    bend: Points,
    length: Points,
    width: Points,
) -> None:
    """Draw N vessels, their branches and the branches' branches, thinner towards their ends."""
    for count, forks in ((20, 3), (14, 2), (8, 0)):
        walks = paths(rng, start, heading, length, bend, 0.4 / np.sqrt(count), count)
        for walk, wide in zip(walks, width, strict=True):
            for first in range(0, count - 1, 5):
                stencil.curve(walk[first : first + 7], wide * (1 - 0.6 * first / count))
        place, row = rng.integers(3, count - 1, (len(walks), forks)).ravel(), np.repeat(np.arange(len(walks)), forks)
        start, step = walks[row, place], walks[row, place + 1] - walks[row, place]
        turn = rng.choice([-1.0, 1.0], len(row)) * rng.uniform(0.4, 0.9, len(row))
        heading, bend = np.arctan2(step[:, 1], step[:, 0]) + turn, rng.normal(0, 0.6, len(row))
        length, width = length[row] * rng.uniform(0.25, 0.5, len(row)), width[row] * (0.55 - 0.33 * place / count)


def _lesions(order: Order, picture: Picture, disc: Points, blood: Field) -> None:
    strength = np.float32(1 - 0.75 * order.difficulty)
    size = 1.25 - 0.5 * order.difficulty
    for kind, (draw, colour, blur) in enumerate(_LESIONS):
        rng, stencil, expected = order.own(f"lesions {kind}"), Stencil(order.side), _COUNTS[order.label, kind]
        count = int(rng.poisson(expected)) + int(expected >= 3)
        for _ in range(count):
            draw(rng, stencil, _place(rng, disc), size)
        if count:
            value = colour if isinstance(colour, tuple) else blood * np.float32(colour)
            picture.paint(value, stencil.coverage(blur) * strength, "evidence")


def _place(rng: np.random.Generator, disc: Points) -> Points:
    """Return a random point of the retina that does not lie on the optic disc."""
    angle, distance = rng.uniform(0, 2 * np.pi, 8), 0.42 * np.sqrt(rng.uniform(0.02, 1, 8))
    points = 0.5 + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points[np.argmax(np.hypot(*(points - disc).T) > 0.11)]


def _aneurysm(rng: np.random.Generator, stencil: Stencil, at: Points, size: float) -> None:
    stencil.disc(at, size * rng.uniform(0.0075, 0.0105))


def _blot(rng: np.random.Generator, stencil: Stencil, at: Points, size: float) -> None:
    stencil.polygon(outline(rng, at, size * rng.uniform(0.014, 0.027), 0.10, rng.uniform(1, 1.5), 18))


def _flame(rng: np.random.Generator, stencil: Stencil, at: Points, size: float) -> None:
    heading = np.arctan2(at[1] - 0.5, at[0] - 0.5) + rng.normal(1.2, 0.4)
    for _ in range(4):
        start = at + rng.normal(0, 0.006, 2)
        stencil.curve(path(rng, start, heading + rng.normal(0, 0.15), size * rng.uniform(0.05, 0.09), 0.3), 0.008, 0.9)


def _exudates(rng: np.random.Generator, stencil: Stencil, at: Points, size: float) -> None:
    ring = rng.uniform(0.03, 0.055)
    for angle in rng.uniform(0, 1.5 * np.pi, rng.integers(7, 14)):
        x, y = at + ring * np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.008, 2)
        stencil.disc((x, y), size * rng.uniform(0.004, 0.009), rng.uniform(0.7, 1))


def _cotton_wool(rng: np.random.Generator, stencil: Stencil, at: Points, size: float) -> None:
    stencil.polygon(outline(rng, at, size * rng.uniform(0.026, 0.040), 0.15, 1.4, 18), 0.85)


def _tangle(rng: np.random.Generator, stencil: Stencil, at: Points, size: float) -> None:
    """Draw a sea fan: fine looping vessels that sprout from one point."""
    for _ in range(9):
        walk = path(rng, at, rng.uniform(0, 2 * np.pi), size * rng.uniform(0.09, 0.16), rng.normal(0, 3.0), 0.3)
        stencil.curve(walk, 0.0055, 0.9)


# How each lesion is drawn, its colour (a number = so much of the light that blood lets through) and its softness.
_LESIONS = (
    (_aneurysm, 0.75, 0.0),
    (_blot, 0.72, 0.003),
    (_flame, 0.80, 0.003),
    (_exudates, (0.98, 0.86, 0.42), 0.0),
    (_cotton_wool, (0.93, 0.84, 0.66), 0.009),
    (_tangle, 0.95, 0.0),
)


def _distractors(order: Order, picture: Picture, disc: Points) -> None:
    side = order.side
    if order.has("reflexes", 0.5, marked=0):
        rng, sheen = order.own("reflexes"), Stencil(side)
        for _ in range(rng.integers(3, 9)):
            heading = rng.uniform(-0.9, 0.9) + (0 if disc[0] < 0.5 else np.pi)
            sheen.curve(path(rng, _place(rng, disc), heading, rng.uniform(0.05, 0.16), rng.normal(0, 0.8)), 0.012, 0.8)
        picture.paint((0.85, 0.80, 0.62), sheen.coverage(0.010) * np.float32(0.45), "distractors")
    if order.has("drusen", 0.35, marked=1):
        rng, drusen = order.own("drusen"), Stencil(side)
        centre = _place(rng, disc)
        for at in centre + rng.normal(0, 0.09, (rng.integers(8, 30), 2)):
            drusen.disc(at, rng.uniform(0.006, 0.014), 0.7)
        picture.paint((0.92, 0.72, 0.36), drusen.coverage(0.006) * np.float32(0.7), "distractors")
    if order.has("dust", 0.4, marked=3):
        rng, dust = order.own("dust"), Stencil(side)
        for x, y, radius in rng.uniform([0.1, 0.1, 0.012], [0.9, 0.9, 0.045], (rng.integers(1, 7), 3)):
            dust.disc((x, y), radius, rng.uniform(0.4, 0.9))
        picture.paint((0.30, 0.26, 0.24), dust.coverage(0.014) * np.float32(0.5), "distractors")
    if order.has("glare", 0.3, marked=4):
        rng = order.own("glare")
        x, y = grid(side)
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.42, 0.5)
        distance = np.hypot(x - 0.5 - 0.18 * np.cos(angle), y - 0.5 - 0.18 * np.sin(angle))
        picture.paint((0.92, 0.72, 0.60), smoothstep(distance, reach, reach + 0.2) * np.float32(0.6), "distractors")
