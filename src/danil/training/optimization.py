"""Optimisers and learning-rate schedules, from timm."""

from typing import Any

from timm.optim import create_optimizer_v2, list_optimizers
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from danil.data.sources import nearest
from danil.runs.recipe import RecipeError
from danil.runs.sections import Train

PLAIN = {"sgd": "momentum", "nesterov": "sgd"}
"""Our names → timm's: in timm `sgd` means Nesterov momentum, here and in the paper it means the plain one."""

SECOND_ORDER = "adahessian"
"""timm's one optimiser whose step needs second derivatives."""


def create_optimizer(model: nn.Module, train: Train) -> Optimizer:
    """Return timm's optimiser of this name; biases and normalisation weights are not decayed.

    Raises:
        RecipeError: the name is unknown to timm (the nearest known names are offered), or cannot be used here.
    """
    name = train.optimizer.lower()
    known = {*PLAIN, *map(str, list_optimizers())} - {SECOND_ORDER}
    if name == SECOND_ORDER:
        raise RecipeError(
            f"`train.optimizer` is `{train.optimizer}`, which needs second derivatives of the loss at every "
            "step; the training does not make them. Choose another, e.g. `adamw`."
        )
    if name not in known:
        raise RecipeError(f"`train.optimizer` is `{train.optimizer}`, which timm does not know.{nearest(name, known)}")
    momentum: dict[str, Any] = {"momentum": train.momentum} if name in PLAIN else {}
    try:
        return create_optimizer_v2(
            model, opt=PLAIN.get(name, name), lr=train.lr, weight_decay=train.weight_decay, **momentum
        )
    except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as error:
        raise RecipeError(
            f"`train.optimizer` is `{train.optimizer}`, which cannot be made here: {error}. "
            "Choose another, e.g. `adamw`."
        ) from error


def create_schedule(optimizer: Optimizer, train: Train, steps_per_epoch: int) -> Scheduler | None:
    """Return a schedule updated every step, or `None` for a constant rate without warm-up.

    A constant rate with warm-up rises linearly over the warm-up epochs and stays; `cosine` falls to 1 % of `lr` from
    step 0 on, where the warm-up, whose last epoch is the last but one at most, does not stand in its place.
    """
    if train.schedule == "constant" and train.warmup_epochs == 0:
        return None
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched="cosine" if train.schedule == "cosine" else "step",
        num_epochs=train.epochs,
        decay_epochs=2 * train.epochs + 1,
        min_lr=train.lr / 100,
        warmup_lr=train.lr / 100,
        warmup_epochs=min(train.warmup_epochs, train.epochs - 1),
        warmup_prefix=False,
        step_on_epochs=False,
        updates_per_epoch=steps_per_epoch,
    )
    return schedule
