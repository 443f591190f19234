"""The training loop: flat, on Lightning Fabric."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from sklearn.metrics import f1_score
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from danil.data.dataset import Batch, Images
from danil.data.loading import earlier_turns, loader
from danil.data.samplers import RankedByLoss, Shuffled
from danil.objectives import Targets, Terms, check_finite, small_maps
from danil.runs import Recipe, RunFolder, write_checkpoint
from danil.runs.prediction import Normalization, predicted_probabilities
from danil.training.log import Log, Row
from danil.training.losses import gathered_losses, image_losses, own_losses
from danil.training.population_statistics import recompute_statistics
from danil.training.progress import Bar
from danil.training.saving import Diverged, Saver, check_weights
from danil.training.state import Training


@dataclass(frozen=True)
class Loop:
    """Hold what stays the same while training."""

    fabric: Fabric
    recipe: Recipe
    folder: RunFolder
    model: nn.Module
    optimizer: Optimizer
    schedule: Scheduler | None
    images: Images
    validation: Images
    normalize: Normalization
    saver: Saver
    log: Log
    bar: Bar


def fit(loop: Loop, training: Training) -> None:
    """Train from where `training` stands to the last epoch, saving as the recipe says.

    Raises:
        Interrupted: a signal to stop came; the step was finished and saved.
        Diverged: the loss or the weights are not finite.
    """
    position, train = training.position, loop.recipe.train
    while position.epoch < train.epochs and not position.finished:
        started = time.perf_counter()
        run_epoch(loop, training)
        spent: Row = {"seconds": round(time.perf_counter() - started, 3)}
        final = position.epoch + 1 == train.epochs or position.steps == train.max_steps
        if train.recompute_statistics and (final or len(loop.validation)):
            spent["statistics_seconds"] = population_statistics(loop, training)
        check_weights(training)  # before they are validated, and kept as the best
        row = loop.fabric.broadcast(epoch_row(loop, training, spent))
        score = float(row.get("validation_macro_f1", -1.0))
        better = score > position.best_score
        if better:
            position.best_score, position.best_epoch = score, position.epoch
        position.epoch, position.step, training.order = position.epoch + 1, 0, None
        patient = train.patience is None or position.epoch - 1 - position.best_epoch < train.patience
        position.finished = position.epoch == train.epochs or (train.select == "best" and not patient)
        position.finished |= train.max_steps is not None and position.steps >= train.max_steps
        training.tally = type(training.tally)()
        if loop.fabric.is_global_zero:
            loop.log.add(row)
            if better and train.select == "best":
                write_checkpoint(loop.folder.checkpoint("best"), {"model": training.predictor.state_dict()})
        loop.bar.epoch(row)
        loop.saver.after_epoch(training)


def run_epoch(loop: Loop, training: Training) -> None:
    """Train one epoch, from the position inside it."""
    position, train = training.position, loop.recipe.train
    if training.order is None:
        if isinstance(training.sampler, RankedByLoss) and training.sampler.refresh(position.epoch):
            refresh_losses(loop, training, training.sampler)
        training.order = torch.from_numpy(training.sampler.order(position.epoch))
    for batch in epoch_batches(loop, training):
        if train.max_steps is not None and position.steps >= train.max_steps:
            return
        images, targets = loop.normalize(batch.images), prepared_targets(loop, batch)
        loop.model.train()
        with loop.fabric.autocast(), small_maps(loop.model):
            terms = training.objective(loop.model, images, targets)
        check(terms, training, loop, batch.indices)
        loop.optimizer.zero_grad()
        loop.fabric.backward(terms.total)
        if train.clip is not None:
            loop.fabric.clip_gradients(loop.model, loop.optimizer, max_norm=train.clip, error_if_nonfinite=False)
        loop.optimizer.step()
        position.step, position.steps = position.step + 1, position.steps + 1
        after_step(loop, training, terms, batch.indices, targets)


def refresh_losses(loop: Loop, training: Training, sampler: RankedByLoss) -> None:
    """Tell the sampler the loss of every image, each as this epoch shows it first, each process its share of them.

    A signal leaves before the sampler has been told anything: resumed, the run begins this again.
    """
    rank, ranks = loop.fabric.global_rank, loop.fabric.world_size
    loop.images.epoch = training.position.epoch
    rows = np.arange(len(loop.images))[rank::ranks]
    batches = loader(loop.images, rows, batch_size=64, workers=loop.recipe.data.workers)
    heeded = heeding(loop, training, batches)
    pairs = ((loop.normalize(batch.images), prepared_targets(loop, batch)) for batch in heeded)
    with loop.fabric.autocast():
        losses = image_losses(training.model, training.objective, pairs)
    sampler.update(*gathered_losses(loop.fabric, torch.from_numpy(rows), losses, -(-len(loop.images) // ranks)))


def after_step(loop: Loop, training: Training, terms: Terms, rows: Tensor, targets: Targets) -> None:
    """Move schedule, average, sampler and tally on; save and stop where asked."""
    position, train = training.position, loop.recipe.train
    if loop.schedule is not None:
        loop.schedule.step_update(position.steps)
    if training.average is not None:
        training.average.update(training.model, step=position.steps)
    if isinstance(training.sampler, RankedByLoss):
        share = train.batch_size // loop.fabric.world_size
        losses = own_losses(training.objective, terms.logits, targets)
        training.sampler.update(*gathered_losses(loop.fabric, rows, losses, share))
    training.tally.add({"loss": terms.total, **terms.parts, **terms.stats}, len(rows))
    loop.bar.advance(f"epoch {position.epoch + 1}/{train.epochs}", position.steps, training.tally.means)
    loop.saver.after_step(training)


def epoch_batches(loop: Loop, training: Training) -> Iterator[Batch]:
    """Yield what is left of this epoch, this rank's share of each global batch; a last incomplete batch is left out."""
    assert training.order is not None
    loop.images.epoch = training.position.epoch
    return shared_batches(loop, training.order.numpy(), start=training.position.step)


def shared_batches(loop: Loop, order: np.ndarray[Any, Any], start: int = 0) -> Iterator[Batch]:
    """Yield this rank's share of each whole global batch of these rows, from batch `start` on."""
    size, ranks = loop.recipe.train.batch_size, loop.fabric.world_size
    places = np.arange(len(order) // size * size or len(order))
    share = np.concatenate([batch[loop.fabric.global_rank :: ranks] for batch in np.split(places, places[size::size])])
    return loader(
        loop.images,
        order[share],
        batch_size=size // ranks,
        workers=loop.recipe.data.workers,
        start=start,
        turns=earlier_turns(order)[share],
    )


def population_statistics(loop: Loop, training: Training) -> float:
    """Give the network to evaluate the BatchNorm statistics of as many training images as the recipe says; the seconds.

    Their number is rounded down to whole batches, unless it fills none. The images are the same ones every time, drawn
    evenly whatever the sampler prefers, and varied as in training.
    """
    began = time.perf_counter()
    order = Shuffled(len(loop.images), loop.recipe.seed).order(0)[: loop.recipe.train.recompute_statistics]

    def add_up(total: Tensor) -> Tensor:
        summed = loop.fabric.all_reduce(total.to(loop.normalize.device), reduce_op="sum")
        assert isinstance(summed, Tensor)
        return summed.cpu()

    batches = (loop.normalize(batch.images) for batch in heeding(loop, training, shared_batches(loop, order)))
    recompute_statistics(training.predictor, batches, add_up if loop.fabric.world_size > 1 else lambda total: total)
    return round(time.perf_counter() - began, 3)


def prepared_targets(loop: Loop, batch: Batch) -> Tensor | dict[str, Tensor]:
    """Return the targets on the network's device; by task where the network answers by task."""
    device, targets = loop.normalize.device, batch.targets
    if isinstance(targets, Tensor) and not loop.recipe.by_task:
        return targets.to(device, non_blocking=True)
    tasks = {loop.images.manifest.task: targets} if isinstance(targets, Tensor) else targets
    return {task: labels.to(device, non_blocking=True) for task, labels in tasks.items()}


def check(terms: Terms, training: Training, loop: Loop, rows: Tensor) -> None:
    """Refuse a loss that is not finite in any process, naming the step and the images."""
    fault: FloatingPointError | None = None
    try:
        check_finite(terms)
    except FloatingPointError as error:
        fault = error
    (wrong,) = loop.saver.agreed(int(fault is not None))
    if wrong:
        place = f"step {training.position.steps} (epoch {training.position.epoch + 1})"
        if fault is None:
            raise Diverged(f"the loss of another process is not finite at {place}; see its message.")
        paths = ", ".join(str(loop.images.manifest.table["path"][int(row)]) for row in rows[:8])
        raise Diverged(
            f"{fault} at {place}; images: {paths}{' …' if len(rows) > 8 else ''}. The same recipe would come here "
            "again: start anew (`--overwrite`) with a lower `train.lr`, with `train.clip`, or a larger "
            "`objective.epsilon`."
        ) from fault


def epoch_row(loop: Loop, training: Training, spent: Row) -> Row:
    """Return the log's row of the epoch just run: means over its steps, validation scores, rate and the time spent.

    The means are over all processes. Only the first one validates; the others return an empty row.
    """
    tally = training.tally
    if loop.fabric.world_size > 1:
        tally = tally.joined(loop.saver.gathered(tally.state()))
    if not loop.fabric.is_global_zero:
        return {}
    position = training.position
    row: Row = {"epoch": position.epoch + 1, "step": position.steps, "lr": loop.optimizer.param_groups[0]["lr"]}
    row |= tally.means()
    if len(loop.validation):
        labels = loop.validation.manifest.labels()
        task = loop.validation.manifest.task
        validation = loader(loop.validation, None, batch_size=64)
        batches = (batch.images for batch in heeding(loop, training, validation))
        found = predicted_probabilities(
            training.predictor, batches, task, normalize=loop.normalize, views=loop.recipe.data.views
        )[task].argmax(1)
        known = labels >= 0
        row["validation_accuracy"] = float((found == labels)[known].mean())
        row["validation_macro_f1"] = float(
            f1_score(labels[known], found[known], labels=np.unique(labels[known]), average="macro", zero_division=0)  # pyright: ignore[reportArgumentType]
        )
    return row | spent


def heeding(loop: Loop, training: Training, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of an evaluation, as long as no signal asks to stop."""
    for batch in batches:
        loop.saver.while_evaluating(training)
        yield batch
