"""Running statistics of BatchNorm recomputed over many training images, with the weights of the moment."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from danil.runs.prediction import evaluating


@dataclass
class Moments:
    """Add up a layer's values per channel: how many, their sum and their sum of squares, in float64."""

    total: Tensor

    def add(self, count: int, mean: Tensor, variance: Tensor) -> None:
        """Count a batch of `count` values a channel by its mean and biased variance."""
        self.total += count * torch.stack([torch.ones_like(mean), mean, variance + mean.square()])

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and unbiased variance of all values counted."""
        count, total, squares = self.total
        mean = total / count
        biased = (squares / count - mean.square()).clamp(min=0)
        return mean, biased * count / (count - 1).clamp(min=1)


def recompute_statistics(
    model: nn.Module, batches: Iterable[Tensor], add_up: Callable[[Tensor], Tensor] = lambda total: total
) -> None:
    """Set the running mean and variance of each BatchNorm layer to those of its inputs over all these batches.

    The running statistics kept while training are an average over the last few batches (ten, at momentum 0.1), of
    activations whose weights have since moved on; at a high learning rate they are noise at evaluation. Here each layer
    normalises by its batch, as in training, while everything else is in eval mode, and batches are pooled exactly:
    the mean of all values, and the mean of the batches' variances plus the variance of their means, unbiased as
    PyTorch keeps it. One batch gives what PyTorch stores at momentum 1. `momentum`, `num_batches_tracked`, weights,
    modes and random state stay as they are; a layer without running statistics, or one that no batch reaches, too.

    Args:
        model: the bare network, not a wrapper that talks to other processes.
        batches: normalised images `(B, 3, S, S)`, best in the batch size of training.
        add_up: sums a float64 tensor over the processes that share the images; by default there is one.

    Reference:
        Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, section 3 ("PreciseBN").
    """
    layers = [
        module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    moments = [Moments(torch.zeros(3, layer.num_features, dtype=torch.float64)) for layer in layers]
    with torch.no_grad(), batch_normalising(model, layers), caught(layers) as found:
        for images in batches:
            model.forward(images)  # not `model(images)`: a compiled network would not call the layers' hooks
            for place, count, mean, variance in found:
                moments[place].add(count, mean.cpu().double(), variance.cpu().double())
            found.clear()
    for layer, moment in zip(layers, moments, strict=True):
        moment.total = add_up(moment.total)
        if moment.total[0, 0] > 0:
            for buffer, value in zip((layer.running_mean, layer.running_var), moment.statistics(), strict=True):
                assert isinstance(buffer, Tensor)
                buffer.copy_(value)


@contextmanager
def batch_normalising(model: nn.Module, layers: Iterable[_BatchNorm]) -> Generator[None]:
    """Put all in eval mode but these layers, which normalise by the batch and do not touch their running statistics."""
    tracked = [(layer, layer.track_running_stats) for layer in layers]
    with evaluating(model):
        try:
            for layer, _ in tracked:
                layer.training, layer.track_running_stats = True, False
            yield
        finally:
            for layer, tracks in tracked:
                layer.track_running_stats = tracks


@contextmanager
def caught(layers: Iterable[_BatchNorm]) -> Generator[list[tuple[int, int, Tensor, Tensor]]]:
    """Yield a list to which each call of a layer adds its place, values a channel, mean and biased variance."""
    found: list[tuple[int, int, Tensor, Tensor]] = []

    def catcher(place: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def catch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0]
            axes = [axis for axis in range(values.dim()) if axis != 1]
            variance, mean = torch.var_mean(values.float(), dim=axes, correction=0)
            found.append((place, values.numel() // values.shape[1], mean, variance))

        return catch

    handles = [layer.register_forward_pre_hook(catcher(place)) for place, layer in enumerate(layers)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
