"""Dividing labelled rows into parts, whole groups or single rows, with the same class shares: arrays only."""

from typing import Any

import numpy as np

Integers = np.ndarray[Any, np.dtype[np.int64]]
Reals = np.ndarray[Any, np.dtype[np.float64]]


def stratified_quotas(counts: Integers, share: float, spare: int = 1) -> Integers:
    """Return how many rows of each class a share takes, shape `(K,)`; they add up to `round(share · N)`.

    Halves and the largest remainders are rounded up. Each class keeps `spare` rows (all but one, where it has no more)
    and gives at least one; only for that may the sum be missed, when there are many tiny classes.
    """
    ideal = counts * share
    most = np.maximum(counts - np.minimum(spare, np.maximum(counts - 1, 1)), 0)
    least = np.minimum(most, 1)
    quotas = np.clip(np.floor(ideal + 1e-9).astype(np.int64), least, most)
    total = int(np.floor(counts.sum() * share + 0.5))
    while quotas.sum() != total:
        step = 1 if quotas.sum() < total else -1
        movable = quotas < most if step > 0 else quotas > least
        if not movable.any():
            break
        gap = np.where(movable, step * (ideal - quotas), -np.inf)
        quotas[int(np.argmax(gap))] += step
    return quotas


def drawn(strata: Integers, quotas: Integers, rng: np.random.Generator) -> Integers:
    """Return the sorted positions of a random draw of `quotas[k]` rows from every stratum `k`."""
    chosen = [rng.permutation(np.flatnonzero(strata == k))[:quota] for k, quota in enumerate(quotas)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def divided_rows(strata: Integers, shares: Reals, rng: np.random.Generator) -> Integers:
    """Return each row's part, shape `(N,)`, exact to rounding; the first part takes what the others leave."""
    parts = np.zeros(len(strata), dtype=np.int64)
    for part in range(len(shares) - 1, 0, -1):
        left = np.flatnonzero(parts == 0)
        counts = np.bincount(strata[left], minlength=int(strata.max()) + 1)
        share = float(shares[part] * len(strata) / len(left)) if len(left) else 0.0
        if share > 0:
            quotas = stratified_quotas(counts, share, spare=int((shares[:part] > 0).sum()))
            parts[left[drawn(strata[left], quotas, rng)]] = part
    return parts


def divided_groups(
    strata: Integers, groups: Integers, shares: Reals, rng: np.random.Generator, *, level: bool = False
) -> Integers:
    """Return each row's part, shape `(N,)`; a group is never divided.

    Greedy: groups from large to small (equal ones in random order), each to the part that lacks most of its classes,
    rare classes weighing as much as frequent ones; of parts that lack the same the first takes it, or the smallest
    where `level`. A class that a part then still lacks is brought there by the smallest group that another part can
    spare.
    """
    table = np.zeros((int(groups.max()) + 1, int(strata.max()) + 1))
    np.add.at(table, (groups, strata), 1.0)
    totals = np.maximum(table.sum(0), 1)
    active = np.flatnonzero(shares > 0)
    lacking = shares[active, None] * totals[None]
    sizes = np.zeros(len(active))
    home = np.zeros(len(table), dtype=np.int64)
    order = rng.permutation(len(table))
    for group in order[np.argsort(-table[order].sum(1), kind="stable")]:
        lack = lacking @ (table[group] / totals)
        part = int(np.argmin(np.where(lack > lack.max() - 1e-9, sizes, np.inf)) if level else np.argmax(lack))
        lacking[part] -= table[group]
        sizes[part] += table[group].sum()
        home[group] = part
    repair(home, table, len(active))
    return active[home][groups]


def rotated_rows(strata: Integers, k: int, rng: np.random.Generator) -> Integers:
    """Return each row's fold, shape `(N,)`, 0 to k − 1: sizes differ by at most one row, in every class and in all.

    Rows, sorted by class and at random within one, are dealt in turn, so that no class begins at the first fold.
    """
    folds = np.empty(len(strata), dtype=np.int64)
    folds[np.lexsort((rng.permutation(len(strata)), strata))] = np.arange(len(strata)) % k
    return folds


def rotated_groups(strata: Integers, groups: Integers, k: int, rng: np.random.Generator) -> Integers:
    """Return each row's fold, shape `(N,)`, 0 to k − 1; a group is never divided, no fold is empty.

    What does not come out even rotates over the folds. Needs at least k groups.
    """
    return divided_groups(strata, groups, np.full(k, 1 / k), rng, level=True)


def repair(home: Integers, table: Reals, parts: int) -> None:
    """Move groups, in place, towards parts that have each class; no move takes a part's last group of a class."""
    holds = table > 0
    for stratum in np.argsort(holds.sum(0), kind="stable"):
        holders = np.flatnonzero(holds[:, stratum])
        for part in range(parts):
            held = np.bincount(home[holders], minlength=parts)
            if held[part] or held.max() < 2:
                continue
            left = np.stack([holds[home == place].sum(0) for place in range(parts)])
            free = np.array([(left[home[group]][holds[group]] > 1).all() for group in holders])
            richest = free & (home[holders] == int(np.argmax(held)))
            givers = holders[richest if richest.any() else free]
            if len(givers):
                home[givers[int(np.argmin(table[givers].sum(1)))]] = part
