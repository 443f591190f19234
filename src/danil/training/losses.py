"""The latest loss of every training image, for samplers that draw by loss."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from danil.objectives import CrossEntropy, DistractorAware, ImageLoss, Logits, Targets, WeightedTasks
from danil.objectives.targets import UNKNOWN, matched_tasks
from danil.objectives.terms import detached
from danil.runs.prediction import evaluating

Array = np.ndarray[Any, Any]


def image_losses(model: nn.Module, objective: nn.Module, batches: Iterable[tuple[Tensor, Targets]]) -> Tensor:
    """Return the loss of each image, `(N,)`, as `own_losses`, the model in eval mode and left as it was found."""
    logits: list[Logits] = []
    targets: list[Targets] = []
    with evaluating(model), torch.no_grad():
        for images, labels in batches:
            logits.append(model(images))
            targets.append(labels)
    return own_losses(objective, joined(logits), joined(targets))


def own_losses(objective: nn.Module, logits: Logits, targets: Targets) -> Tensor:
    """Return the loss of each image, `(B,)`, detached, times its class's weight, whatever else is in the batch.

    DANIL's term is left out, as in `Terms.losses`, which also divides by the mean weight of the batch's classes: losses
    of several batches could not be ranked among each other.
    """
    loss = objective.base if isinstance(objective, DistractorAware) else objective
    entropy = loss.base if isinstance(loss, WeightedTasks) else loss
    assert isinstance(loss, ImageLoss)
    assert isinstance(entropy, CrossEntropy)
    losses: list[Tensor] = []
    for task, (output, labels) in matched_tasks(detached(logits), targets).items():
        normalised = loss.per_image({task: output}, {task: labels})
        weights, known = entropy.class_weights.get(task), labels != UNKNOWN
        mean = 1.0 if weights is None else weights[labels[known]].sum() / known.sum().clamp_min(1)
        losses.append(normalised * mean)
    return torch.stack(losses).sum(0)


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
