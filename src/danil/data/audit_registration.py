"""Whether two pictures are the same: one is laid over the other, then compared block by block.

Dermatoscopic and fundus photographs are alike as wholes; copies are alike in every place. Both pictures are normalised
locally, aligned in scale and position (Gauss–Newton on a coarse and on the full grid), and cut into 8 × 8 blocks. The
similarity is the lower quartile of the blocks' correlations: three quarters of the picture must be at least so alike.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from danil.data.audit_fingerprints import PROBES, Bytes, Candidates, Floats, Integers, normalised
from danil.data.files import threads

THRESHOLD = 0.65
"""Similarity from which on two pictures count as the same."""

COARSE = 0.2
"""Similarity at half size below which the alignment is not refined."""

BLOCKS = 8
CHUNK = 128
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def similarities(pictures: Bytes, found: Candidates) -> Floats:
    """Return the similarity of each candidate pair, shape `(P,)`, at most 1; 0 where it was soon seen to be low.

    Args:
        pictures: small grey pictures, `(N, SIDE, SIDE)` uint8.
        found: pairs with a first guess of their alignment.
    """
    if not len(found):
        return np.zeros(0, np.float32)
    chunks = np.array_split(np.arange(len(found)), -(-len(found) // CHUNK))
    with ThreadPoolExecutor(threads()) as pool:
        return np.concatenate(list(pool.map(partial(chunk_similarities, pictures, found), chunks)))


def chunk_similarities(pictures: Bytes, found: Candidates, rows: Integers) -> Floats:
    """Return the similarity of these pairs."""
    wholes, crops = (pictures[part[rows]].astype(np.float32) for part in (found.wholes, found.crops))
    start = np.array([[size, top, size, left] for size, top, left in PROBES], np.float32)
    small = [normalised(halved(part), 2) for part in (wholes, crops)]
    places = aligned(small[0], small[1], start[found.probes[rows]], 4)
    coarse = block_quartile(small[0], small[1], places)
    answer = np.zeros(len(rows), np.float32)
    left = np.flatnonzero(coarse >= COARSE)
    if len(left):
        large = [normalised(part[left], 2) for part in (wholes, crops)]
        places = aligned(large[0], large[1], places[left], 3)
        answer[left] = block_quartile(large[0], large[1], places)
    return answer


def halved(pictures: Floats) -> Floats:
    """Return pictures at half their size."""
    half = pictures.shape[1] // 2
    return pictures.reshape(len(pictures), half, 2, half, 2).mean((2, 4))


def sampling(size: Floats, edge: Floats, side: int) -> tuple[Floats, Floats, Bools]:
    """Return matrices that sample windows bilinearly, their derivatives by position, and which points lie inside."""
    places = (np.arange(side) + 0.5)[None] * size[:, None] + edge[:, None] * side - 0.5
    inside = (places >= 0) & (places <= side - 1)
    places = np.clip(places, 0, side - 1 - 1e-4)
    left = places.astype(np.int64)
    weight = (places - left).astype(np.float32)
    rows, columns = np.arange(len(size))[:, None], np.arange(side)[None]
    matrix = np.zeros((len(size), side, side), np.float32)
    slope = np.zeros_like(matrix)
    matrix[rows, columns, left], matrix[rows, columns, left + 1] = 1 - weight, weight
    slope[rows, columns, left], slope[rows, columns, left + 1] = -1, 1
    return matrix, slope, inside


def standard(pictures: Floats) -> tuple[Floats, Floats]:
    """Return pictures with mean 0 and spread 1, and their spread."""
    centred = pictures - pictures.mean((1, 2), keepdims=True)
    spread = np.maximum(np.sqrt((centred**2).mean((1, 2), keepdims=True)), 1e-3)
    return centred / spread, spread


def aligned(wholes: Floats, crops: Floats, places: Floats, steps: int) -> Floats:
    """Return windows of the first pictures that match the second best: `(P, 4)`, height, top, width, left.

    Gauss–Newton steps on the squared difference of the standardised pictures, from the windows given.
    """
    side = wholes.shape[1]
    across = ((np.arange(side) + 0.5) / side).astype(np.float32)
    target, _ = standard(crops)
    for _ in range(steps):
        rows, row_slope, _ = sampling(places[:, 0], places[:, 1], side)
        columns, column_slope, _ = sampling(places[:, 2], places[:, 3], side)
        half = wholes @ columns.transpose(0, 2, 1)
        seen, spread = standard(rows @ half)
        down = row_slope @ half * (side / spread)
        right = rows @ (wholes @ column_slope.transpose(0, 2, 1)) * (side / spread)
        slopes = np.stack([down * across[:, None], down, right * across, right], 1).reshape(len(wholes), 4, -1)
        slopes -= slopes.mean(2, keepdims=True)
        square = slopes @ slopes.transpose(0, 2, 1) + np.eye(4, dtype=np.float32) * 0.01 * side**2
        step = np.linalg.solve(square, slopes @ (target - seen).reshape(len(wholes), -1, 1))[..., 0]
        places = places + np.clip(step, -0.03, 0.03)
        places[:, ::2] = np.clip(places[:, ::2], 0.85, 1.15)
        places[:, 1::2] = np.clip(places[:, 1::2], -0.15, 0.15)
    return places


def block_quartile(wholes: Floats, crops: Floats, places: Floats) -> Floats:
    """Return the lower quartile of the correlations of blocks; blocks with little detail or outside do not count."""
    side = wholes.shape[1]
    rows, _, tall = sampling(places[:, 0], places[:, 1], side)
    columns, _, broad = sampling(places[:, 2], places[:, 3], side)
    mask = blocks((tall[:, :, None] & broad[:, None, :]).astype(np.float32))
    points = mask.sum(2, keepdims=True)
    seen = np.asarray(rows @ wholes @ columns.transpose(0, 2, 1), dtype=np.float32)
    first, second = blocks(seen), blocks(crops)
    first = (first - (first * mask).sum(2, keepdims=True) / np.maximum(points, 1)) * mask
    second = (second - (second * mask).sum(2, keepdims=True) / np.maximum(points, 1)) * mask
    power = np.stack([(part**2).sum(2) for part in (first, second)])
    correlation = (first * second).sum(2) / np.sqrt(power[0] * power[1] + 1e-6)
    detail = power.max(0) / np.maximum(points[..., 0], 1)
    counted = (points[..., 0] > 0.6 * mask.shape[2]) & (detail > 0.25 * np.median(detail, axis=1, keepdims=True))
    ordered = np.sort(np.where(counted, correlation, np.inf), axis=1)
    quartile = np.maximum(counted.sum(1) - 1, 0) // 4
    answer = ordered[np.arange(len(ordered)), quartile]
    return np.where(np.isfinite(answer), answer, 0).astype(np.float32)


def blocks(pictures: Floats) -> Floats:
    """Return pictures cut into `BLOCKS` × `BLOCKS` blocks: `(P, blocks, points)`."""
    edge = pictures.shape[1] // BLOCKS
    cut = pictures.reshape(len(pictures), BLOCKS, edge, BLOCKS, edge).transpose(0, 1, 3, 2, 4)
    return cut.reshape(len(pictures), BLOCKS * BLOCKS, edge * edge)
