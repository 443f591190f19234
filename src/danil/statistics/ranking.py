"""ROC-AUC and average precision under many weightings at once.

The scores are sorted once. What a weighting can change is how many positives and how many images lie in each *block* of
the ranking: a block is one distinct score, or a run of scores without any positive, which no resample can tell apart.
"""

import numpy as np
from scipy import sparse

from danil.statistics.confusion import ratio
from danil.statistics.predictions import Flags, Floats, Integers


class Ranking:
    """Hold one class's ranking of images, best score first, by group: `(blocks, G)` counts of positives and of all."""

    def __init__(self, scores: Floats, positive: Flags, codes: Integers, groups: int) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked, hit, owner = scores[order], positive[order], codes[order]
        distinct = np.concatenate(([0], np.cumsum(ranked[1:] != ranked[:-1])))
        holds = np.bincount(distinct, weights=hit) > 0
        starts = np.concatenate(([False], holds[1:] | holds[:-1]))
        block = np.cumsum(starts)[distinct]
        shape = (int(block[-1]) + 1, groups)
        self.all = sparse.csr_array((np.ones(len(block)), (block, owner)), shape=shape)
        self.positives = sparse.csr_array((np.ones(int(hit.sum())), (block[hit], owner[hit])), shape=shape)

    def __call__(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return ROC-AUC and average precision, each `(b,)`, for group weights `(G, b)`; ties count one half.

        NaN where positives or (for the AUC) negatives are absent. Both equal scikit-learn's with `sample_weight`.
        """
        hits = np.ascontiguousarray(np.asarray(self.positives @ weights).T)
        images = np.ascontiguousarray(np.asarray(self.all @ weights).T)
        sums = np.empty((3, len(hits)))
        above, seen, precision = np.zeros((3, hits.shape[1]))  # written anew for each resample, while in the cache
        for place, (hit, count) in enumerate(zip(hits, images, strict=True)):
            np.cumsum(hit, out=above)
            np.cumsum(count, out=seen)
            np.divide(above, np.maximum(seen, 1, out=precision), out=precision)
            sums[0, place] = np.einsum("n,n->", hit, precision)
            np.multiply(hit, 0.5, out=precision)
            np.subtract(above, precision, out=precision)
            count -= hit
            sums[1:, place] = np.einsum("n,n->", count, precision), above[-1]
        average, area, total = sums
        everything = images.sum(1) + total
        return ratio(area, total * (everything - total)), ratio(average, total)
