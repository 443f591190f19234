"""Random predictions whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest

from danil.statistics import Predictions


@pytest.fixture
def made() -> Callable[..., Predictions]:
    """Predictions of n images over k classes, right more often than not; `per_group` images share a group."""

    def make(n=200, k=3, *, seed=0, per_group=1, skill=1.5, labels=None, **options) -> Predictions:
        random = np.random.default_rng(seed)
        truth = random.integers(0, k, n) if labels is None else np.asarray(labels)
        logits = random.normal(size=(n, k))
        logits[np.arange(n), truth] += skill
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        groups = None if per_group == 1 else [f"g{row // per_group}" for row in range(n)]
        return Predictions.of(truth, probabilities, groups=groups, **options)

    return make
