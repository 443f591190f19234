"""Saving and stopping: when it happens, decided alike in all processes."""

import time
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from danil.runs import RunFolder, write_checkpoint
from danil.runs.sections import Train
from danil.training.interruption import Interrupted, Requests
from danil.training.state import Training, random_state


class TrainingError(RuntimeError):
    """Say at which step a training went wrong, on which images, and how to go on."""

    exit_code = 1


class Diverged(TrainingError):
    """Say that a loss or a weight is not finite: going on from the last save would come to the same end."""


class Saver:
    """Save a training every so many steps and minutes, and when a signal asks to stop.

    Saving changes nothing in the training, so that when it happens does not matter to the result. Minutes are counted
    on a clock that nobody can set.
    """

    def __init__(self, fabric: Fabric, folder: RunFolder, train: Train, requests: Requests) -> None:
        self.fabric = fabric
        self.folder = folder
        self.train = train
        self.requests = requests
        self.began = time.monotonic()

    def after_step(self, training: Training) -> None:
        """Save where it is due; where a signal came, save and leave.

        Raises:
            Interrupted: a signal to stop came to any of the processes.
        """
        minutes, steps = self.train.save_minutes, self.train.save_every
        due = bool(minutes) and time.monotonic() - self.began >= 60 * minutes
        number, late = self.agreed(self.requests.number or 0, int(due))
        if number or late or (steps and training.position.steps % steps == 0):
            self.save(training)
        if number:
            raise Interrupted(number)

    def after_epoch(self, training: Training) -> None:
        """Save, and leave where a signal came meanwhile.

        Raises:
            Interrupted: as in `after_step`.
        """
        self.save(training)
        (number,) = self.agreed(self.requests.number or 0)
        if number:
            raise Interrupted(number)

    def while_evaluating(self, training: Training) -> None:
        """Save and leave where a signal came; the epoch's evaluation is done again after that.

        Only with one process: of several, one evaluates and the others cannot be asked.
        """
        if self.requests.number is not None and self.fabric.world_size == 1:
            self.save(training)
            raise Interrupted(self.requests.number)

    def save(self, training: Training) -> None:
        """Write the checkpoint `last`, once for all processes.

        Raises:
            Diverged: the weights are not finite any more; the checkpoint there is left as it is.
            OSError: it could not be written; the checkpoint there is left as it is.
        """
        check_weights(training)
        each = {"random": self.gathered(random_state()), "tally": self.gathered(training.tally.state())}
        fault: OSError | None = None
        if self.fabric.is_global_zero:
            try:
                write_checkpoint(self.folder.checkpoint("last"), {**training.state(), **each})
            except OSError as error:
                fault = error
        (failed,) = self.agreed(int(fault is not None))
        if failed:
            raise fault or TrainingError("the first process could not save; see its message.")
        training.saved = training.position.steps
        self.began = time.monotonic()

    def gathered(self, mine: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the state that every process gives, by rank."""
        if self.fabric.world_size == 1:
            return [mine]
        states: list[dict[str, Any]] = [{} for _ in range(self.fabric.world_size)]
        torch.distributed.all_gather_object(states, mine)
        return states

    def agreed(self, *numbers: int) -> list[int]:
        """Return the largest of each number over the processes."""
        if self.fabric.world_size == 1:
            return list(numbers)
        largest = self.fabric.all_reduce(torch.tensor(numbers, device=self.fabric.device), reduce_op="max")
        assert isinstance(largest, Tensor)
        return [int(number) for number in largest]


def check_weights(training: Training) -> None:
    """Refuse to save weights that are not finite: nothing could go on from them.

    Raises:
        Diverged: naming the first such tensor.
    """
    networks: list[nn.Module] = [training.model, training.predictor]
    for network in networks:
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise Diverged(
                    f"`{name}` is not finite after step {training.position.steps} (epoch {training.position.epoch + 1})"
                    "; it is not saved. The same recipe would come here again: start anew (`--overwrite`) with a lower "
                    "`train.lr`, or with `train.clip`."
                )
