"""How much the distractor term moves the parameters beside the base loss: measured, and held at a set strength."""

import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

from danil.objectives.margins import gradient_norm
from danil.objectives.ranks import summed_over_ranks

DECAY = 0.9
SCALES = (2.0**10, 1.0, 2.0**-10, 2.0**-20)
"""Losses are measured times the first of these powers of two at which no gradient leaves fp16's range."""


class GradientRatio(nn.Module):
    """Measure ‖∇L⁺‖ and ‖∇L_d‖ (λ = 1) every n steps and average them over time.

    The averages and the step count are buffers, part of any checkpoint. Over several ranks the norms are those of each
    rank's own gradient, averaged over the ranks that hold a wrong image, so that λ is the same on all.

    Args:
        strength: the ratio ‖∇λL_d‖/‖∇L⁺‖ to hold, or `None` to measure only.
        every: measure at every n-th step; 0 for never, or for 16 where there is a strength to hold.
    """

    steps: Tensor
    norms: Tensor

    def __init__(self, strength: float | None, every: int):
        super().__init__()
        if not isinstance(every, Integral) or every < 0:
            raise ValueError(f"`measure_every` is {every!r}; a whole number of steps is needed, or 0 for never.")
        self.strength = strength
        self.every = 16 if strength is not None and not every else every
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("norms", torch.zeros(2))

    def due(self) -> bool:
        """Say whether the coming step is measured: its first pass is then gone through backward twice."""
        if not self.every or not torch.is_grad_enabled():
            return False
        return int(self.steps) % self.every == 0 or (self.strength is not None and not bool(self.norms[1]))

    def measured(self, loss: Tensor, penalty: Tensor, parameters: Sequence[Tensor]) -> Tensor | None:
        """Return this step's norms of both gradients, `(2,)`, where the step is due, else `None`; count the step."""
        if not self.every or not torch.is_grad_enabled():
            return None
        due = self.due()
        self.steps += 1
        if not due:
            return None
        wanted = [p for p in parameters if p.requires_grad]
        norms = torch.stack([scaled_norm(value, wanted) for value in (loss, penalty)]).float()
        if self.strength is not None:
            self._average(norms)
        return norms

    def weight(self) -> Tensor:
        """Return the λ that holds the strength: s · ‖∇L⁺‖/‖∇L_d‖ of the running averages; 0 before the first."""
        assert self.strength is not None
        return torch.where(self.norms[1] > 0, self.strength * self.norms[0] / self.norms[1], 0.0)

    def _average(self, norms: Tensor) -> None:
        counts = (norms[1] > 0) & norms.isfinite().all()
        sums = summed_over_ranks(torch.where(counts, torch.cat([norms, norms.new_ones(1)]), 0.0))
        if bool(sums[2] > 0):
            mean = (sums[:2] / sums[2]).to(self.norms)
            self.norms.copy_(torch.lerp(mean, self.norms, DECAY) if bool(self.norms[1]) else mean)


def scaled_norm(value: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return the norm of the gradient of a scalar at the first of the `SCALES` where it is finite, NaN at none."""
    norms = (gradient_norm(value * scale, parameters) / scale for scale in SCALES)
    return next((norm for norm in norms if bool(norm.isfinite())), value.new_tensor(math.nan))
