"""Draw the glands of synthetic histology: regular crypts, crowded dysplastic glands, solid nests."""

from dataclasses import dataclass

import numpy as np

from danil.data.rendering import Points, Stencil, outline

# What tissue holds of haematoxylin and eosin, in units of stain.
EMPTY, CYTOPLASM, MUCIN, NUCLEUS = np.array([[0.01, 0.02], [0.27, 0.42], [0.15, 0.10], [1.05, 0.45]])


@dataclass(frozen=True)
class Sheet:
    """Collect the shapes of many glands by tissue, so that each tissue is painted once, from the bottom up."""

    cleft: Stencil
    body: Stencil
    mucin: Stencil
    lumen: Stencil
    nuclei: Stencil


def nuclei(
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
    size, shape = np.exp(rng.normal(0, spread, count)), np.exp(rng.normal(0, spread / 2, count))
    stencil.ellipses(centres, headings, length * size, ratio * shape, rng.uniform(opacity - 0.2, opacity + 0.2, count))


def crypt(rng: np.random.Generator, sheet: Sheet, centre: Points, radius: float, ease: float) -> None:
    """Draw a regular crypt: one ring of basal nuclei, goblet cells, a small round lumen."""
    edge = outline(rng, centre, radius, 0.05, rng.uniform(1, 1.5))
    sheet.body.polygon(edge)
    sheet.mucin.ellipses(centre + 0.6 * (edge[::3] - centre), 0.0, 0.46 * radius, 0.9)
    sheet.lumen.polygon(centre + rng.uniform(0.18, 0.38) * (edge - centre))
    _row(rng, sheet.nuclei, edge, centre, 0.91, 2 * np.pi * radius / 0.031, (0.040, 0.60), 0.05)


def crowded(rng: np.random.Generator, sheet: Sheet, centre: Points, radius: float, ease: float) -> None:
    """Draw a dysplastic gland: uneven outline, several lumina, long nuclei crowded in rows."""
    edge = outline(rng, centre, radius, 0.05 + 0.10 * ease, rng.uniform(1, 1.9))
    sheet.body.polygon(edge)
    sheet.mucin.polygon(centre + 0.72 * (edge - centre))
    for _ in range(1 + rng.poisson(0.5 + 2.5 * ease)):
        spot = centre + rng.normal(0, 0.28 * radius, 2)
        size, stretch = radius * rng.uniform(0.13, 0.26), rng.uniform(1, 1.8)
        sheet.lumen.polygon(outline(rng, spot, size, 0.12, stretch, 16))
    for depth, share in ((0.88, 1.0), (0.74, 0.3 + 0.6 * ease), (0.58, 0.5 * ease)):
        _row(rng, sheet.nuclei, edge, centre, depth, share * depth * 2 * np.pi * radius / 0.031, (0.040, 0.50), 0.3)


def solid(rng: np.random.Generator, sheet: Sheet, centre: Points, radius: float, ease: float) -> None:
    """Draw a solid nest: no lumen, a cleft around it, large nuclei of uneven size scattered without order."""
    edge = outline(rng, centre, radius * 0.98, 0.05 + 0.10 * ease, rng.uniform(1, 1.7))
    shift = rng.normal(0, 0.006, 2)
    sheet.cleft.polygon(centre + (edge - centre) * rng.uniform(1.05, 1.20) + shift)
    sheet.body.polygon(edge)
    sheet.mucin.ellipses(_scattered(rng, edge, centre, 12), 0.0, 0.46 * radius, 0.9)
    places = _scattered(rng, edge, centre, round(rng.uniform(220, 320) * np.pi * radius**2 * (1.5 - 0.5 * ease)))
    heading = rng.uniform(0, np.pi, len(places))
    nuclei(rng, sheet.nuclei, places, heading, 0.040 + 0.012 * ease, 0.75, 0.12 + 0.25 * ease)


def _row(
    rng: np.random.Generator,
    stencil: Stencil,
    edge: Points,
    centre: Points,
    depth: float,
    count: float,
    shape: tuple[float, float],
    slant: float,
) -> None:
    """Draw a row of nuclei that point to the centre, along the outline shrunk by `depth`."""
    along = np.linspace(0, len(edge), max(6, round(count)), endpoint=False).astype(int)
    spokes = depth * (edge[along] - centre)
    places = centre + spokes + rng.normal(0, 0.005, spokes.shape)
    heading = np.arctan2(spokes[:, 1], spokes[:, 0]) + rng.normal(0, slant, len(spokes))
    nuclei(rng, stencil, places, heading, *shape, spread=0.1)


def _scattered(rng: np.random.Generator, edge: Points, centre: Points, count: int) -> Points:
    """Return random places inside an outline, `(count, 2)`."""
    spokes = edge[rng.integers(0, len(edge), count)] - centre
    return centre + 0.9 * np.sqrt(rng.uniform(0, 1, (count, 1))) * spokes
