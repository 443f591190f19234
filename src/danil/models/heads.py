"""Heads: from pooled features to the logits of one task or of several."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class LinearHead(nn.Module):
    """Map pooled features `(B, D)` to logits, one linear layer per task on shared features.

    One task gives a tensor `(B, K)`; several give a mapping task → `(B, K)`. Layers are numbered, not named after
    their task, since a label column may be called anything.
    """

    def __init__(self, features: int, tasks: Mapping[str, Sequence[str]], dropout: float = 0.0) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(nn.Linear(features, len(names)) for names in tasks.values())

    def forward(self, pooled: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the logits."""
        kept = self.dropout(pooled)
        if len(self.tasks) == 1:
            return self.layers[0](kept)
        return {task: layer(kept) for task, layer in zip(self.tasks, self.layers, strict=True)}

    @property
    def last_layer_names(self) -> tuple[str, ...]:
        """Return the names of the modules that give the logits, one per task."""
        return tuple(f"layers.{place}" for place in range(len(self.layers)))
