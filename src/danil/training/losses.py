"""The latest loss of every training image, for samplers that draw by loss."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from danil.objectives import DistractorAware, ImageLoss, Logits, Targets
from danil.runs.prediction import evaluating

Array = np.ndarray[Any, Any]


def image_losses(model: nn.Module, objective: nn.Module, batches: Iterable[tuple[Tensor, Targets]]) -> Tensor:
    """Return the loss of each image, `(N,)`, with the model in eval mode; it is left as it was found.

    DANIL's term is left out, as in `Terms.losses`. Class weights are normalised over all images, not by batch.
    """
    loss = objective.base if isinstance(objective, DistractorAware) else objective
    assert isinstance(loss, ImageLoss)
    logits: list[Logits] = []
    targets: list[Targets] = []
    with evaluating(model), torch.no_grad():
        for images, labels in batches:
            logits.append(model(images))
            targets.append(labels)
    return loss.per_image(joined(logits), joined(targets))


def joined(parts: list[Any]) -> Any:
    """Return the batches as one, tensors or mappings of tensors."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return {task: torch.cat([part[task] for part in parts]) for task in parts[0]}


def gathered_losses(fabric: Fabric, rows: Tensor, losses: Tensor, width: int) -> tuple[Array, Array]:
    """Return all processes' rows and losses, so that each keeps the same table; `width`: the most that one gives."""
    if fabric.world_size == 1:
        return rows.numpy(), losses.cpu().numpy()
    given = torch.full((2, width), -1.0, dtype=torch.float64, device=losses.device)
    given[0, : len(rows)], given[1, : len(rows)] = rows.to(given), losses.to(given)
    found = fabric.all_gather(given)
    assert isinstance(found, Tensor)
    table = found.cpu().transpose(0, 1).reshape(2, -1)
    table = table[:, table[0] >= 0].numpy()
    return table[0].astype(np.int64), table[1]
