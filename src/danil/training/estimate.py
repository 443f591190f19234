"""What a training will take, said before its first epoch."""

import copy
import sys
import time
from importlib import import_module, util

import numpy as np
import torch

from danil.objectives import small_maps
from danil.training.loop import Loop, prepared_targets
from danil.training.progress import duration
from danil.training.state import Training


def estimate(loop: Loop, training: Training, steps: int) -> str:
    """Return how long the steps that are left will take and how much memory, from two trial steps on copies.

    Everything that trains, and every random generator, is left as it was. The trial is an upper bound for DANIL, whose
    steps get cheaper as fewer images are wrong, and for a compiled network, which is tried uncompiled.
    """
    seconds = trial_seconds(loop, training)
    left = max(0, steps - training.position.steps)
    pixels = loop.images.pixels
    cached = "" if pixels is None else f", of which {pixels.numel() / 2**30:.2f} are decoded training images"
    held, device = resident_bytes(), loop.normalize.device
    memory = "" if held is None else f"; memory about {held / 2**30:.1f} GiB{cached}"
    if device.type == "cuda":
        memory += f"; on the GPU about {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    time_left = f"about {duration(left * seconds)} ({seconds:.2g} s a step)"
    return f"{left} steps of {loop.recipe.train.batch_size} images, {time_left}{memory}"


def trial_seconds(loop: Loop, training: Training) -> float:
    """Return the seconds of the second of two forward and backward passes on the first rows."""
    model, objective = copy.deepcopy(training.model).train(), copy.deepcopy(training.objective)
    size, ranks = loop.recipe.train.batch_size, loop.fabric.world_size
    rows = np.arange(len(loop.images))[:size][loop.fabric.global_rank :: ranks]
    device = loop.normalize.device
    seconds = 0.0
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for _ in range(2):
            began = time.perf_counter()
            batch = loop.images.batch(rows)
            with loop.fabric.autocast(), small_maps(model):
                terms = objective(model, loop.normalize(batch.images), prepared_targets(loop, batch))
            terms.total.backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - began
    return seconds


def resident_bytes() -> int | None:
    """Return the most memory this process has held so far, in bytes; `None` where the system does not tell."""
    if util.find_spec("resource") is None:
        return None
    resource = import_module("resource")
    peak = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else 1024 * peak
