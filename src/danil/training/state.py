"""The complete state of a training, so that a resumed run ends bit-equal to one never interrupted."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim import Optimizer

from danil.models import Classifier
from danil.runs import Checkpoint, CheckpointError
from danil.training.log import Row, Tally


@dataclass
class Position:
    """Say where a training stands: the epoch, the steps done in it and in all, and the best validation score so far."""

    epoch: int = 0
    step: int = 0
    steps: int = 0
    best_score: float = -1.0
    best_epoch: int = -1
    finished: bool = False


@dataclass
class Training:
    """Hold everything that changes while training; what does not change comes from the recipe.

    `precision` is Fabric's precision plug-in, whose state is the scale of fp16 gradients; `saved` is how many steps the
    last checkpoint holds.
    """

    model: Classifier
    objective: nn.Module
    optimizer: Optimizer
    average: ModelEmaV3 | None
    sampler: Any
    precision: Any
    position: Position = field(default_factory=Position)
    tally: Tally = field(default_factory=Tally)
    rows: list[Row] = field(default_factory=list[Row])
    order: torch.Tensor | None = None
    saved: int | None = None

    @property
    def predictor(self) -> nn.Module:
        """Return the network to evaluate: the weights' moving average where one is kept."""
        return self.model if self.average is None else self.average.module

    def state(self) -> dict[str, Any]:
        """Return the tree that a checkpoint holds."""
        return {
            "model": self.predictor.state_dict(),
            "training_model": None if self.average is None else self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "sampler": self.sampler.state_dict() if hasattr(self.sampler, "state_dict") else {},
            "position": vars(self.position),
            "tally": [self.tally.state()],
            "rows": self.rows,
            "order": self.order,
            "random": [random_state()],
        }

    def restore(self, state: Mapping[str, Any], rank: int = 0) -> None:
        """Go on from a checkpoint's tree, with the random state and the tally of this process."""
        self.predictor.load_state_dict(state["model"])
        if self.average is not None:
            self.model.load_state_dict(state["training_model"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        if state["sampler"]:
            self.sampler.load_state_dict(state["sampler"])
        self.position = Position(**state["position"])
        tally = state["tally"]
        self.tally.restore(tally[rank] if isinstance(tally, list) else tally)  # older checkpoints: the first one's
        self.rows[:] = state["rows"]
        self.order = state["order"]
        self.saved = self.position.steps
        restore_random_state(state["random"][rank])


def check_whole(found: Checkpoint, training: Training) -> None:
    """Refuse a checkpoint that holds weights, as `best` does, but not the state of a training.

    Raises:
        CheckpointError: naming what it lacks.
    """
    missing = [f"`{key}`" for key in training.state() if key not in found.state]
    if missing:
        raise CheckpointError(
            f"checkpoint `{found.path}` is sound, but holds no training to go on with: it has no {', '.join(missing)}. "
            "Put the run's own `last.safetensors` back, or start again with `--overwrite`."
        )


def random_state() -> dict[str, Any]:
    """Return the state of every random generator a network or a library may draw from; of GPUs, this process's own."""
    kind, keys, place, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [],
        "python": random.getstate(),
        "numpy": [str(kind), keys, int(place), int(has_gauss), float(gauss)],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put every random generator back."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():  # older checkpoints hold the states of all devices
        torch.cuda.set_rng_state(state["cuda"][min(torch.cuda.current_device(), len(state["cuda"]) - 1)])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, place, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys, place, has_gauss, cached))  # noqa: NPY002
