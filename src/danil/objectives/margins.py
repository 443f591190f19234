"""The mathematics of the distractor-aware loss, as pure functions of tensors (docs/method.md, "What is computed")."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from danil.objectives.checkpointing import refuse_checkpointing

Formulation = Literal["margin", "literal"]
Distance = Literal["mean", "sum"]
Form = Literal["reciprocal", "log"]


def widened(values: Tensor) -> Tensor:
    """Return `values` in float32, or as they are where they are wider: what autocast must not compute in half."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def strongest_rivals(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the class with the highest logit other than the label, `(B,)`; the prediction itself where it is wrong."""
    return logits.detach().scatter(1, labels.clamp_min(0)[:, None], -torch.inf).argmax(1)


def margins(logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
    """Return z_rival − z_label, `(B,)`, which equals L⁺ − L⁻ because the log-sum-exp of both losses cancels."""
    wide = widened(logits)
    return (wide.gather(1, rivals[:, None]) - wide.gather(1, labels.clamp_min(0)[:, None])).squeeze(1)


def map_differences(
    inputs: Tensor,
    logits: Tensor,
    images: Tensor,
    labels: Tensor,
    rivals: Tensor,
    formulation: Formulation = "margin",
    graph: bool = True,
) -> Tensor:
    """Return A⁺ − A⁻ of n of the B images, `(n, C, H, W)`, differentiable again when `graph` is true.

    `"margin"` takes one gradient, ∇ₓ(z_rival − z_label); `"literal"` takes those of both softmax losses, as Algorithm 1
    is printed. Both are exact and equal. Each image's own loss is differentiated (no division by B); where images
    influence each other (coupled batch statistics) the gradient is that of the n images' sum.

    Args:
        inputs: the tensor that the logits were computed from, `(B, C, H, W)`, or a layer's output, `(B, …)`.
        logits: `(B, K)`.
        images: the n images' indices, ascending.
        labels: their labels, `(n,)`.
        rivals: their pseudo labels, `(n,)`.
        formulation: see above.
        graph: keep the graph of the gradient, so that it can be differentiated with respect to the parameters.

    Raises:
        ValueError: the logits do not depend differentiably on `inputs`.
    """
    every = len(images) == len(logits)
    chosen = widened(logits if every else logits[images])
    if formulation == "margin":
        losses = [margins(chosen, labels, rivals)]
    else:
        losses = [functional.cross_entropy(chosen, classes, reduction="none") for classes in (labels, rivals)]
    maps = [input_gradient(loss.sum(), inputs, graph) for loss in losses]
    difference = widened(maps[0]) if len(maps) == 1 else widened(maps[0]) - widened(maps[1])
    return difference if every else difference[images]


def input_gradient(loss: Tensor, inputs: Tensor, graph: bool = False) -> Tensor:
    """Return the gradient of a scalar at `inputs`, differentiable again when `graph` is true; the loss keeps its graph.

    Raises:
        ValueError: the loss does not depend differentiably on `inputs`, or through reentrant checkpointing only.
    """
    gradient: Tensor | None = None
    if loss.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(loss, inputs, create_graph=graph, retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            if "use_reentrant" not in str(error):
                raise
            refuse_checkpointing(
                "with `use_reentrant=True`, through which no gradient at the images can be taken", error
            )
    if gradient is None:
        raise ValueError(
            "the logits do not depend differentiably on the tensor that response maps are taken at: part of the "
            "network runs under `torch.no_grad()` or detaches a tensor. Let gradients through, or name with `layer=` a "
            "module behind that part."
        )
    return gradient


def squared_distances(differences: Tensor, distance: Distance) -> Tensor:
    """Return d = ‖A⁺ − A⁻‖² of each image, `(B,)`: Eq. 5's sum over C·H·W, or the mean over them."""
    squares = differences.flatten(1).square()
    return squares.sum(1) if distance == "sum" else squares.mean(1)


def penalties(distances: Tensor, epsilon: float, form: Form) -> Tensor:
    """Return L_d of each image: 1/(d + ε) (Eq. 5), or the scale-free −log(d + ε)."""
    shifted = distances + epsilon
    return shifted.reciprocal() if form == "reciprocal" else -shifted.log()


def gradient_norm(value: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of the gradient of a scalar, detached; the graph and every `.grad` stay as they are."""
    if not value.requires_grad or not parameters:
        return torch.zeros_like(value)
    gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    present = [g for g in gradients if g is not None]  # pyright: ignore[reportUnnecessaryComparison]
    norms = [torch.linalg.vector_norm(widened(g)) for g in present]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros_like(value)
