"""Which pictures of a set may be the same: fingerprints of low frequencies, compared all with all.

A fingerprint is a perceptual hash that is not rounded to bits: the low DCT coefficients of a small grey picture,
normalised locally (which takes the exposure away), each less its mean over the set and divided by its spread there, so
that what all pictures of a set share (the dark surround of a fundus photograph, the vignette of a dermatoscope) does
not make them alike. A cropped copy is found because every picture also has fingerprints of its crops (`PROBES`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.fft import dct

SIDE = 64
"""Pixels of the small grey pictures."""

LOWEST, FREQUENCIES = 3, 16
"""Least and largest sum of the two frequencies of a coefficient, the latter excluded."""

NEIGHBOURS = 6
LEAST = 0.45
"""Cosine of fingerprints below which two pictures are not looked at any further."""

CROPS = [(0.95, y, x) for y in (0.0, 0.025, 0.05) for x in (0.0, 0.025, 0.05)]
PROBES: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), *CROPS, (0.9, 0.05, 0.05))
"""Windows of a picture, as shares of its sides: size, upper edge, left edge."""

PRIOR = 16
BLOCK = 2**22

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Candidates:
    """Hold pairs of pictures that may be the same: the picture, the one that may be a crop of it, and which crop.

    Each array has shape `(P,)`; `probes` indexes `PROBES`.
    """

    wholes: Integers
    crops: Integers
    probes: Integers

    def __len__(self) -> int:
        return len(self.wholes)


def window_matrix(size: float, edge: float) -> Floats:
    """Return the matrix that samples a window of `SIDE` pixels at `SIDE` points, bilinearly."""
    places = np.clip((np.arange(SIDE) + 0.5) * size + edge * SIDE - 0.5, 0, SIDE - 1)
    left = np.minimum(places.astype(np.int64), SIDE - 2)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    matrix[np.arange(SIDE), left] = 1 - (places - left)
    matrix[np.arange(SIDE), left + 1] += places - left
    return matrix


def blur_matrix(side: int, sigma: float) -> Floats:
    """Return the matrix that blurs `side` pixels by a Gaussian, the edges weighted anew."""
    distance = np.subtract.outer(np.arange(side), np.arange(side))
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def normalised(pictures: Floats, sigma: float) -> Floats:
    """Return pictures less their local mean (Gaussian, `sigma` pixels), divided by their local contrast."""
    side = pictures.shape[1]
    blur, wide = blur_matrix(side, sigma), blur_matrix(side, 2 * sigma)
    detail = pictures - blur @ pictures @ blur.T
    contrast = np.sqrt(np.maximum(wide @ detail**2 @ wide.T, 0))
    return detail / (contrast + 0.1 * contrast.mean((1, 2), keepdims=True) + 2)


def coefficients(pictures: Floats, probe: tuple[float, float, float]) -> Floats:
    """Return the low DCT coefficients of a window of each picture: `(N, F)`."""
    basis = dct(np.eye(SIDE), axis=0, norm="ortho")[:FREQUENCIES].astype(np.float32)
    size, top, left = probe
    rows, columns = basis @ window_matrix(size, top), basis @ window_matrix(size, left)
    order = np.add.outer(np.arange(FREQUENCIES), np.arange(FREQUENCIES))
    found = rows @ pictures @ columns.T
    return np.asarray(found[:, (order >= LOWEST) & (order < FREQUENCIES)], dtype=np.float32)


def fingerprints(pictures: Bytes) -> Floats:
    """Return each picture's fingerprint for each probe, of length 1: `(P, N, F)`; probe 0 is the whole picture.

    Mean and spread are shrunk towards those of `PRIOR` pictures with mean 0, which matters to very small sets only.
    """
    parts: list[Floats] = []
    for block in np.array_split(pictures, -(-len(pictures) // 512)):
        level = normalised(block.astype(np.float32), 4)
        parts.append(np.stack([coefficients(level, probe) for probe in PROBES]))
    made = np.concatenate(parts, axis=1)
    count, power = made.shape[1], (made[0] ** 2).mean(0)
    trust = count / (count + PRIOR)
    mean, spread = trust * made[0].mean(0), np.sqrt(trust * made[0].var(0) + (1 - trust) * power) + 1e-3
    made -= mean
    made /= spread
    for one in made:
        one /= np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-6)
    return made


def candidates(pictures: Bytes) -> Candidates:
    """Return, for each picture, the `NEIGHBOURS` others of which it may be a copy or a crop, each pair once.

    All pictures are compared with all crops of all others, by matrix products in blocks of bounded memory.

    Args:
        pictures: small grey pictures, `(N, SIDE, SIDE)` uint8.
    """
    if len(pictures) < 2:
        return Candidates(*(np.zeros(0, np.int64) for _ in range(3)))
    prints = fingerprints(pictures)
    count, kept = len(pictures), min(NEIGHBOURS, len(pictures) - 1)
    step = max(1, BLOCK // count)
    crops: list[Integers] = []
    wholes: list[Integers] = []
    for start in range(0, count, step):
        rows = np.arange(start, min(start + step, count))
        alike = nearest(prints, rows)
        near = np.argpartition(alike, -kept, axis=1)[:, -kept:]
        row, place = np.nonzero(np.take_along_axis(alike, near, axis=1) >= LEAST)
        crops.append(rows[row])
        wholes.append(near[row, place])
    return distinct(prints, np.concatenate(wholes), np.concatenate(crops))


def nearest(prints: Floats, rows: Integers) -> Floats:
    """Return the largest cosine of these pictures with any window of each picture, −1 with themselves."""
    best = prints[0, rows] @ prints[0].T
    other = np.empty_like(best)
    for place in range(1, len(prints)):
        np.matmul(prints[0, rows], prints[place].T, out=other)
        np.maximum(best, other, out=best)
    best[np.arange(len(rows)), rows] = -1
    return best


def distinct(prints: Floats, wholes: Integers, crops: Integers) -> Candidates:
    """Return each pair once, in the direction and with the probe that fit best, the lower index first in order."""
    both = np.stack([wholes, crops])
    pairs = np.unique(np.sort(both, axis=0), axis=1)
    forward, backward = (
        np.stack([np.einsum("nf,nf->n", prints[place, a], prints[0, b]) for place in range(len(prints))])
        for a, b in ((pairs[0], pairs[1]), (pairs[1], pairs[0]))
    )
    turned = backward.max(0) > forward.max(0)
    probes = np.where(turned, backward.argmax(0), forward.argmax(0))
    return Candidates(np.where(turned, pairs[1], pairs[0]), np.where(turned, pairs[0], pairs[1]), probes)
