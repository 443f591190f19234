"""What evidence scores are made of: a map's share inside a mask, the pointing game, means with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 200


def share_inside(magnitude: Tensor, mask: Tensor) -> Tensor:
    """Return the share of each map's magnitude `(B, H, W)` inside its mask, `(B,)`; NaN without mask or magnitude."""
    inside, total = (magnitude * mask).sum((1, 2)), magnitude.sum((1, 2))
    return torch.where(mask.any(2).any(1) & (total > 0), inside / total, torch.nan)


def pointing(magnitude: Tensor, mask: Tensor, tolerance: int) -> Tensor:
    """Return 1 where the largest magnitude lies in the mask or within `tolerance` pixels, `(B,)`; NaN without either.

    Reference: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016.
    """
    wide = mask.double()[:, None]
    if tolerance:
        wide = functional.max_pool2d(wide, 2 * tolerance + 1, stride=1, padding=tolerance)
    peak = magnitude.flatten(1).argmax(1, keepdim=True)
    hit = wide.flatten(1).gather(1, peak)[:, 0]
    return torch.where(mask.any(2).any(1) & (magnitude.flatten(1).sum(1) > 0), hit, torch.nan)


def score_intervals(
    scores: pd.DataFrame,
    groups: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a row per numeric column: `mean`, `low` and `high` of its percentile interval, and `images` that count.

    Whole groups (patients, lesions) are drawn. To compare two networks give the difference of their scores, image by
    image: the interval is then a paired one, and the networks differ where it excludes 0. Missing scores are left out.
    One group has no interval.
    """
    numbers = scores.select_dtypes("number")
    owners = np.arange(len(numbers)) if groups is None else pd.factorize(np.asarray(groups, dtype=str))[0]
    if len(owners) != len(numbers) or not len(numbers):
        raise ValueError(f"`scores` has {len(numbers)} rows, `groups` {len(owners)}; one group for each row is needed.")
    values = numbers.to_numpy(dtype=np.float64)
    known = ~np.isnan(values)
    sums, counts = np.zeros((2, owners.max() + 1, values.shape[1]))
    np.add.at(sums, owners, np.where(known, values, 0))
    np.add.at(counts, owners, known)
    generator, share = np.random.default_rng(seed), np.full(len(sums), 1 / len(sums))
    with np.errstate(invalid="ignore"):
        drawn = (generator.multinomial(len(sums), share, min(CHUNK, resamples - k)) for k in range(0, resamples, CHUNK))
        samples = np.concatenate([(weights @ sums) / (weights @ counts) for weights in drawn])
        means = sums.sum(0) / counts.sum(0)
    rows: list[dict[str, float]] = []
    for place, mean in enumerate(means):
        usable = samples[~np.isnan(samples[:, place]), place]
        tails = [(1 - level) / 2, (1 + level) / 2]
        low, high = np.quantile(usable, tails) if len(usable) and len(sums) > 1 else (np.nan, np.nan)
        rows.append({"mean": mean, "low": low, "high": high, "images": int(known[:, place].sum())})
    return pd.DataFrame(rows, index=numbers.columns)
