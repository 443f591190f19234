"""Algorithm 1 of the paper, transcribed literally and slowly: two gradients, one image at a time where that is defined.

Imports nothing of the package. One function per meaning of BatchNorm in the pass that the response maps come from. With
`at` the maps are taken before that part of a sequential network.
"""

import copy
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import cross_entropy


@dataclass
class Answer:
    """What Algorithm 1 makes of one batch; `distraction` is not yet times λ; gradients of the total and of it alone."""

    total: Tensor
    classification: Tensor
    distraction: Tensor
    distances: list[float]
    gradients: list[Tensor]
    distraction_gradients: list[Tensor]


def running(network: nn.Module, images: Tensor, labels: Tensor, **constants: float | str) -> Answer:
    """Maps in eval mode, one image at a time; predictions and L⁺ in train mode."""
    network = copy.deepcopy(network)
    logits = network(images)
    network.eval()
    return _one_by_one(network, logits, images, labels, **constants)


def frozen(network: nn.Module, images: Tensor, labels: Tensor, **constants: float | str) -> Answer:
    """Maps one image at a time, each BatchNorm with the whole batch's mean and biased variance put in as constants."""
    network = copy.deepcopy(network)
    statistics: list[tuple[nn.Module, Tensor, Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if module.training:
            over = [d for d in range(inputs[0].dim()) if d != 1]
            x = inputs[0].detach()
            statistics.append((module, x.mean(over), x.var(over, unbiased=False)))

    hooks = [m.register_forward_pre_hook(keep) for m in network.modules() if _is_batch_norm(m)]
    logits = network(images)
    for hook in hooks:
        hook.remove()
    network.eval()
    for module, mean, variance in statistics:
        module.running_mean, module.running_var = mean, variance
    return _one_by_one(network, logits, images, labels, **constants)


def coupled(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    weight: float = 1e-5,
    epsilon: float = 1e-4,
    distance: str = "sum",
    divisor: float = 1,
    at: int = 0,
) -> Answer:
    """Maps of the whole batch in one train-mode graph, through the batch statistics."""
    network = copy.deepcopy(network)
    x, logits = _halves(network, images, at)
    pseudo = logits.argmax(1)
    (plus,) = torch.autograd.grad(cross_entropy(logits, labels, reduction="sum") / divisor, x, create_graph=True)
    (minus,) = torch.autograd.grad(cross_entropy(logits, pseudo, reduction="sum") / divisor, x, create_graph=True)
    terms, distances = [], []
    for i in range(len(images)):
        if pseudo[i] != labels[i]:
            d = _squared(plus[i] - minus[i], distance)
            terms.append(1 / (d + epsilon))
            distances.append(float(d.detach()))
    return _answer(network, logits, labels, terms, distances, weight)


def _one_by_one(
    network: nn.Module,
    logits: Tensor,
    images: Tensor,
    labels: Tensor,
    weight: float = 1e-5,
    epsilon: float = 1e-4,
    distance: str = "sum",
    divisor: float = 1,
    at: int = 0,
) -> Answer:
    pseudo = logits.argmax(1)
    terms, distances = [], []
    for i in range(len(images)):
        if pseudo[i] == labels[i]:
            continue
        with patch.object(functional, "batch_norm", _batch_norm):
            x, z = _halves(network, images[i : i + 1], at)
        (plus,) = torch.autograd.grad(cross_entropy(z, labels[i : i + 1]) / divisor, x, create_graph=True)
        (minus,) = torch.autograd.grad(cross_entropy(z, pseudo[i : i + 1]) / divisor, x, create_graph=True)
        d = _squared(plus - minus, distance)
        terms.append(1 / (d + epsilon))
        distances.append(float(d.detach()))
    return _answer(network, logits, labels, terms, distances, weight)


def _halves(network: nn.Module, images: Tensor, at: int) -> tuple[Tensor, Tensor]:
    """Return what the maps are gradients with respect to, and the logits computed from it."""
    x = images.clone().requires_grad_()
    if not at:
        return x, network(x)
    hidden = network[:at](x)
    return hidden, network[at:](hidden.clone())


def _batch_norm(
    x: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Write the constants in as printed; PyTorch's own kernel has wrong gradients for one image in odd strides."""
    if training or mean is None or variance is None:
        return functional_batch_norm(x, mean, variance, weight, bias, training, momentum, eps)
    shape = [1, -1] + [1] * (x.dim() - 2)
    x = (x - mean.view(shape)) / torch.sqrt(variance.view(shape) + eps)
    return x if weight is None or bias is None else x * weight.view(shape) + bias.view(shape)


functional_batch_norm = functional.batch_norm


def _squared(difference: Tensor, distance: str) -> Tensor:
    return (difference**2).sum() if distance == "sum" else (difference**2).mean()


def _answer(
    network: nn.Module, logits: Tensor, labels: Tensor, terms: list[Tensor], distances: list[float], weight: float
) -> Answer:
    classification = cross_entropy(logits, labels)
    distraction = sum(terms, start=torch.zeros_like(classification)) / len(labels)
    total = classification + weight * distraction
    return Answer(
        total=total.detach(),
        classification=classification.detach(),
        distraction=distraction.detach(),
        distances=distances,
        gradients=_gradients(total, network),
        distraction_gradients=_gradients(distraction, network),
    )


def _gradients(value: Tensor, network: nn.Module) -> list[Tensor]:
    parameters = list(network.parameters())
    if not value.requires_grad:
        return [torch.zeros_like(p) for p in parameters]
    found = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
