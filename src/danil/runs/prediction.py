"""The one prediction loop that every verb shares, and the predictions table."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from danil.data.manifest import Manifest
from danil.runs.memory import kept_memory

Probabilities = dict[str, np.ndarray[Any, np.dtype[np.float64]]]
"""Task → `(N, K)` class probabilities."""


class Normalization:
    """Turn `(B, 3, H, W)` uint8 images into what the network receives: `(x / 255 − mean) / std`, on its device."""

    def __init__(self, mean: Iterable[float], std: Iterable[float], device: torch.device, channels_last: bool) -> None:
        spread = torch.tensor(tuple(std), device=device).view(1, 3, 1, 1)
        self.scale = 1 / (255 * spread)
        self.shift = torch.tensor(tuple(mean), device=device).view(1, 3, 1, 1) / spread
        self.device = device
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        """Return the normalised batch."""
        moved = images.to(self.device, non_blocking=True).to(torch.float32, memory_format=self.layout)
        return moved.mul_(self.scale).sub_(self.shift)


def tasked(output: Tensor | Mapping[str, Tensor], task: str) -> dict[str, Tensor]:
    """Return the final logits by task, auxiliary ones left out."""
    if isinstance(output, Tensor):
        return {task: output}
    return {name: logits for name, logits in output.items() if not name.startswith("aux/")}


def symmetries(images: Tensor, views: int) -> list[Tensor]:
    """Return the first `views` of the 8 symmetries of the square, the image itself first."""
    if views == 1:
        return [images]
    return [torch.rot90(images if view < 4 else images.flip(3), view % 4, (2, 3)) for view in range(views)]


@kept_memory()
def predicted_probabilities(
    model: nn.Module,
    batches: Iterable[Tensor],
    task: str,
    *,
    normalize: Normalization,
    views: int = 1,
    advance: Callable[[int], None] = lambda images: None,
) -> Probabilities:
    """Return each task's class probabilities, the mean over the views, for batches of uint8 images.

    The model is put in eval mode and left as it was found. `advance` is told how many images are done.
    """
    found: dict[str, list[Tensor]] = {}
    done = 0
    with evaluating(model):
        for images in batches:
            for name, probabilities in fused_probabilities(model, normalize(images), task, views).items():
                found.setdefault(name, []).append(probabilities.cpu())
            done += len(images)
            advance(done)
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


@torch.inference_mode()
def fused_probabilities(model: nn.Module, images: Tensor, task: str, views: int) -> dict[str, Tensor]:
    """Return each task's class probabilities `(B, K)` float64, the mean over the views."""
    fused: dict[str, Tensor] = {}
    for view in symmetries(images, views):
        for name, logits in tasked(model(view), task).items():
            share = logits.double().softmax(1) / views
            fused[name] = fused[name] + share if name in fused else share
    return fused


def predictions_table(manifest: Manifest, probabilities: Probabilities, task: str) -> pd.DataFrame:
    """Return a row per image: `path, group, label, prediction, probability_<class>…`; unknown labels are empty."""
    names = manifest.tasks[task]
    table = pd.DataFrame({"path": manifest.table["path"], "group": manifest.table["group"]})
    table["label"] = manifest.table.get(task, None)
    table["prediction"] = [names[index] for index in probabilities[task].argmax(1)]
    for index, name in enumerate(names):
        table[f"probability_{name}"] = probabilities[task][:, index]
    return table


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Put the model in eval mode inside; after it, each module is in its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        model.train()  # timm's LeViT drops a cache of parameters in a `train` of its own
        for module, training in modes:
            module.training = training


@contextmanager
def frozen(model: nn.Module) -> Generator[None]:
    """Put the model in eval mode and let its parameters get no gradient inside, so that images may; all left as found.

    An `inference_mode` outside is switched off.
    """
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with evaluating(model), torch.inference_mode(False):
        model.requires_grad_(False)
        try:
            yield
        finally:
            for parameter, required in wanted:
                parameter.requires_grad_(required)
