"""A whole run: data, network, training, and the predictions on the test part."""

import logging
from contextlib import nullcontext
from pathlib import Path

import torch
from lightning_fabric import Fabric
from timm.utils import ModelEmaV3

from danil.data import write_atomically
from danil.data.loading import loader
from danil.data.manifest import Manifest
from danil.data.samplers import ClassBalanced, RankedByLoss, Shuffled
from danil.data.siblings import sibling_warnings
from danil.models import create_model
from danil.runs import Recipe, RecipeError, RunFolder, kept_memory, latest_checkpoint, open_run, predictions_table
from danil.runs.prediction import Normalization
from danil.runs.threads import fit_threads
from danil.training.estimate import estimate
from danil.training.failures import hints, others_named
from danil.training.hardware import check_cores, deterministic
from danil.training.interruption import Requests, stop_requests
from danil.training.log import Log
from danil.training.loop import Loop, fit
from danil.training.objective import check_layer, check_tasks, create_objective
from danil.training.optimization import create_optimizer, create_schedule
from danil.training.preparation import Prepared, prepared_images
from danil.training.progress import Bar, decoding_bar, progress_bar
from danil.training.saving import Saver
from danil.training.start import begun_without, check_start, started
from danil.training.state import Training, check_whole

LOGGER = logging.getLogger(__name__)


@kept_memory()
def train_run(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    skip_bad: bool = False,
    quiet: bool = False,
) -> RunFolder | None:
    """Train as the recipe says into the run folder `out` and predict its test and validation parts.

    With `resume` the run goes on from its last checkpoint, or from step 0 without one; the data must be the same. Under
    several processes only the first one returns the folder, the others `None`.

    Raises:
        RunError, RecipeError, DataError: the input is wrong; nothing was written.
        Interrupted: the run was stopped by a signal, after saving.
    """
    with deterministic(recipe.train.deterministic):
        fabric = create_fabric(recipe)
        fabric.launch()
        torch.manual_seed(recipe.seed)
        folder, first = RunFolder(Path(out)), fabric.is_global_zero
        if first:
            check_start(folder, recipe, resume, overwrite)
        fit_threads()
        check_cores(recipe.data.workers)
        with begun_without(folder, resume), decoding_bar(quiet=quiet or not first) as progress:
            prepared = prepared_images(recipe, skip_bad=skip_bad, notice=fabric.print, progress=progress)
        manifest = prepared.manifest
        for told in sibling_warnings(manifest.table, manifest.grouped) if first else ():
            LOGGER.warning(told)
        check_shares(recipe, manifest, fabric)
        training = create_training(recipe, manifest, fabric)
        if not first:
            torch.manual_seed(recipe.seed + fabric.global_rank)  # else all processes would drop out the same units
        with started(folder, recipe, manifest, resume, overwrite) if first else nullcontext():
            with others_named(fabric):
                fabric.barrier()
            with hints(folder, training, recipe.train.epochs):
                trained(recipe, prepared, fabric, folder, training, resume, quiet)
                if first:
                    write_predictions(folder, prepared, fabric.device.type)
    return folder if first else None


def trained(
    recipe: Recipe,
    prepared: Prepared,
    fabric: Fabric,
    folder: RunFolder,
    training: Training,
    resume: bool,
    quiet: bool,
) -> None:
    """Train from the last sound checkpoint, where `resume` and there is one, to the end."""
    steps, requests = all_steps(recipe, prepared.manifest), Requests()
    with progress_bar(steps, quiet=quiet or not fabric.is_global_zero) as bar:
        loop = create_loop(recipe, prepared, fabric, folder, training, requests, bar)
        last = folder.checkpoint("last")
        found = latest_checkpoint(last) if resume else None
        if found is not None:
            check_whole(found, training)
        fabric.barrier()
        if found is not None:
            training.restore(found.state, fabric.global_rank)
            if found.path != last and fabric.is_global_zero:
                found.path.replace(last)  # else the next save would keep the damaged file instead of the sound one
        if not quiet and not training.position.finished:
            bar.say(estimate(loop, training, steps))
        with stop_requests(requests), others_named(fabric):
            fit(loop, training)


def create_fabric(recipe: Recipe) -> Fabric:
    """Return the Fabric of the recipe's device, precision and processes.

    Raises:
        RecipeError: the batch cannot be shared evenly, or there is no such accelerator, or not one of ours.
    """
    train = recipe.train
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = automatic if train.accelerator == "auto" else train.accelerator
    try:
        fabric = Fabric(accelerator=chosen, devices=train.devices, precision=train.precision)
    except (ValueError, RuntimeError) as error:
        raise RecipeError(
            f"`train.accelerator` is `{train.accelerator}`, `train.devices` {train.devices}: {error}"
        ) from error
    if fabric.device.type == "mps":
        raise RecipeError(
            f"`train.accelerator` is `{train.accelerator}`, here Apple's `mps`, which lacks the float64 that the log "
            "needs. Use `cpu`."
        )
    if train.batch_size % fabric.world_size:
        raise RecipeError(
            f"`train.batch_size` is {train.batch_size}, the batch over all {fabric.world_size} processes; "
            "it must be a multiple of their number."
        )
    return fabric


def check_shares(recipe: Recipe, manifest: Manifest, fabric: Fabric) -> None:
    """Refuse a training part that does not fill one batch over several processes: their shares would differ.

    Raises:
        RecipeError: naming both numbers.
    """
    images = int((manifest.table["split"] == "train").sum())
    if fabric.world_size > 1 and images < recipe.train.batch_size:
        raise RecipeError(
            f"`train.batch_size` is {recipe.train.batch_size}, but there are {images} training images; "
            f"{fabric.world_size} processes need at least one whole batch. Lower it, or set `train.devices=1`."
        )


def create_training(recipe: Recipe, manifest: Manifest, fabric: Fabric) -> Training:
    """Return network, objective, optimiser, average and sampler before the first step."""
    train_part = manifest.part("train")
    check_tasks(recipe.objective.system, train_part)
    model = create_model(
        recipe.model.backbone,
        manifest.tasks,
        weights=recipe.model.weights,
        head=recipe.head,
        dropout=recipe.model.dropout,
    )
    if recipe.train.channels_last:
        model = model.to(memory_format=torch.channels_last)
    model = model.to(fabric.device)
    check_layer(recipe, model, fabric.device)
    return Training(
        model=model,
        objective=create_objective(recipe, train_part).to(fabric.device),
        optimizer=create_optimizer(model, recipe.train),
        average=ModelEmaV3(model, decay=recipe.train.ema) if recipe.train.ema else None,
        sampler=create_sampler(recipe, train_part),
        precision=fabric.strategy.precision,
    )


def create_sampler(recipe: Recipe, train: Manifest) -> Shuffled | ClassBalanced | RankedByLoss:
    """Return what orders the images of an epoch."""
    chosen = recipe.objective
    if chosen.system == "batch_selection":
        first, last = chosen.pressure, chosen.pressure_end
        return RankedByLoss(len(train), recipe.seed, recipe.train.epochs, first, last, chosen.refresh_every)
    if recipe.train.balance == "sampler":
        return ClassBalanced(train.labels(), recipe.seed)
    return Shuffled(len(train), recipe.seed)


def create_loop(
    recipe: Recipe,
    prepared: Prepared,
    fabric: Fabric,
    folder: RunFolder,
    training: Training,
    requests: Requests,
    bar: Bar,
) -> Loop:
    """Return what stays the same while training."""
    if recipe.train.compile:
        training.model.compile()
    wrapped, optimizer = fabric.setup(training.model, training.optimizer)
    return Loop(
        fabric=fabric,
        recipe=recipe,
        folder=folder,
        model=wrapped,
        optimizer=optimizer,
        schedule=create_schedule(training.optimizer, recipe.train, steps_per_epoch(recipe, prepared.manifest)),
        images=prepared.parts["train"],
        validation=prepared.parts["validation"],
        normalize=Normalization(training.model.mean, training.model.std, fabric.device, recipe.train.channels_last),
        saver=Saver(fabric, folder, recipe.train, requests),
        log=Log(folder.log, training.rows),
        bar=bar,
    )


def steps_per_epoch(recipe: Recipe, manifest: Manifest) -> int:
    """Return the number of whole batches of the training part, at least one."""
    return max(1, int((manifest.table["split"] == "train").sum()) // recipe.train.batch_size)


def all_steps(recipe: Recipe, manifest: Manifest) -> int:
    """Return the number of steps of the whole run, as far as it does not stop early."""
    steps = recipe.train.epochs * steps_per_epoch(recipe, manifest)
    return steps if recipe.train.max_steps is None else min(steps, recipe.train.max_steps)


def write_predictions(folder: RunFolder, prepared: Prepared, device: str) -> None:
    """Write the predictions on the test part, and on the validation part where there is one; a table per task."""
    fitted = open_run(folder.path, device=device)
    for part, prefix in (("test", ""), ("validation", "validation_")):
        images = prepared.parts[part]
        if not len(images):
            continue
        probabilities = fitted.probabilities(batch.images for batch in loader(images, batch_size=64))
        for task in prepared.manifest.tasks:
            name = f"{prefix}predictions.csv" if task == fitted.task else f"{prefix}predictions_{task}.csv"
            table = predictions_table(images.manifest, probabilities, task)
            write_atomically(folder.path / name, table.to_csv(index=False))
