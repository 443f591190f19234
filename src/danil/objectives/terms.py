"""The one contract every training objective keeps."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

Targets = Tensor | Mapping[str, Tensor]
"""`(B,)` int64 class indices, or task → `(B,)`; −1 means unknown and is masked."""

Logits = Tensor | Mapping[str, Tensor]
"""`(B, K)`, or task → `(B, K)`; auxiliary heads under `aux/<task>`."""


def detached(logits: Logits) -> Logits:
    """Return the same logits without their graph."""
    return logits.detach() if isinstance(logits, Tensor) else {task: z.detach() for task, z in logits.items()}


@contextmanager
def unhooked(logits: Logits) -> Generator[None]:
    """Keep hooks that stand on the logits out of the gradients taken inside, which are the objective's own.

    Fabric's mixed precision sets one on all that a network returns, which refuses every backward but `fabric.backward`.
    """
    outputs = [logits] if isinstance(logits, Tensor) else logits.values()
    found = [(hooks, dict(hooks)) for output in outputs if (hooks := output._backward_hooks)]
    for hooks, _ in found:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, kept in found:
            hooks.update(kept)


@dataclass(frozen=True)
class Terms:
    """Hold what an objective made of one batch.

    `total` is the scalar to call `backward` on. `logits` is what the network returned for the batch (attached).
    `parts` are attached, already weighted scalars that sum to `total`. `stats` are detached 0-d tensors to log;
    they stay on the device, so reading one is the caller's synchronisation. `losses` is the detached loss of each
    image, `(B,)`, as `ImageLoss.per_image` scales it within the batch; `None` where no such number exists.
    """

    total: Tensor
    logits: Logits
    parts: Mapping[str, Tensor]
    stats: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    losses: Tensor | None = None


class Objective(Protocol):
    """Run the model on a batch and return its loss, ready for `backward`."""

    def __call__(self, model: nn.Module, images: Tensor, targets: Targets) -> Terms:
        """Return the terms of one batch; `images` is `(B, C, H, W)` as the network receives it."""
        ...
