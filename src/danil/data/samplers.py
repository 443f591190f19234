"""The order in which an epoch shows its images; a pure function of seed and epoch (and, where ranked, of losses)."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Rows = np.ndarray[Any, np.dtype[np.int64]]


class Shuffled:
    """Show each image once, in random order."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed = n, seed

    def order(self, epoch: int) -> Rows:
        """Return the rows of an epoch, shape `(N,)`."""
        return generator(self.seed, epoch).permutation(self.n)


class ClassBalanced:
    """Show each class equally often: `N / K` images a class, the remainder to random classes.

    Within a class all images are shown equally often to within one, so frequent classes show a different part each
    epoch and rare ones repeat. Rows without a label (−1) are left out, and N counts those with one.
    """

    def __init__(self, labels: np.ndarray[Any, Any], seed: int) -> None:
        if not (np.asarray(labels) >= 0).any():
            raise ValueError("`labels` has no known label, so classes cannot be balanced. Use `train.balance=none`.")
        self.labels, self.seed = np.asarray(labels), seed

    def order(self, epoch: int) -> Rows:
        """Return the rows of an epoch, shape `(N,)`."""
        rng = generator(self.seed, epoch)
        members = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels[self.labels >= 0])]
        total = sum(len(rows) for rows in members)
        counts = np.full(len(members), total // len(members))
        counts[rng.permutation(len(members))[: total % len(members)]] += 1
        drawn = [
            np.concatenate([rng.permutation(rows) for _ in range(-(-count // len(rows)))])[:count]
            for rows, count in zip(members, counts, strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))


class RankedByLoss:
    """Draw images the more often the higher their loss ranks: online batch selection.

    The image of rank r (0 = highest loss) is drawn, with replacement, with probability ∝ `exp(−r · ln(s) / N)`: the
    first is s times as likely as the last. The pressure s falls geometrically from `first` in epoch 0 to `last` in the
    last epoch. Images whose loss is unknown rank highest; equal losses rank in random order.

    Args:
        n: N, the number of images.
        seed: of the draws.
        epochs: over which the pressure falls.
        first: pressure of epoch 0, at least 1.
        last: pressure of the last epoch, at least 1 (1: uniform).
        every: epochs between refreshes of all losses, see `refresh`.

    Reference: Loshchilov & Hutter 2015, "Online Batch Selection for Faster Training of Neural Networks", Eq. 5–6.
    """

    def __init__(self, n: int, seed: int, epochs: int, first: float = 100.0, last: float = 1.0, every: int = 1) -> None:
        if first < 1 or last < 1 or every < 1:
            raise ValueError(f"`first` is {first}, `last` {last}, `every` {every}; none may be below 1.")
        self.seed, self.epochs, self.first, self.last, self.every = seed, epochs, first, last, every
        self.losses = np.full(n, np.inf)

    def pressure(self, epoch: int) -> float:
        """Return s of an epoch."""
        passed = min(1.0, epoch / max(1, self.epochs - 1))
        return math.exp((1 - passed) * math.log(self.first) + passed * math.log(self.last))

    def refresh(self, epoch: int) -> bool:
        """Tell whether the losses of all images should be computed anew before this epoch."""
        return epoch % self.every == 0

    def update(self, indices: np.ndarray[Any, Any], losses: np.ndarray[Any, Any]) -> None:
        """Note the latest losses of these rows."""
        self.losses[indices] = losses

    def probabilities(self, epoch: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return each row's probability, shape `(N,)`."""
        ranks = np.empty(len(self.losses))
        ranks[np.lexsort((rng.random(len(self.losses)), -self.losses))] = np.arange(len(self.losses))
        weights = np.exp(-ranks * math.log(self.pressure(epoch)) / len(self.losses))
        return weights / weights.sum()

    def order(self, epoch: int) -> Rows:
        """Return the rows of an epoch, shape `(N,)`, with repetitions."""
        rng = generator(self.seed, epoch)
        return rng.choice(len(self.losses), len(self.losses), p=self.probabilities(epoch, rng)).astype(np.int64)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        return {"losses": self.losses.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it was made for another number of images.
        """
        losses = np.array(state["losses"], dtype=np.float64)
        if losses.shape != self.losses.shape:
            raise ValueError(f"the sampler's state has {losses.size} losses, the data {self.losses.size} images.")
        self.losses = losses


def generator(seed: int, epoch: int) -> np.random.Generator:
    """Return the generator of an epoch."""
    return np.random.default_rng((seed % 2**64, epoch))
