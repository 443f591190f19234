"""Intrinsic response maps of single images, for people to look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from danil.objectives.eval_mode import are_probabilities, refuse_probabilities
from danil.objectives.feature_layer import tensor_at
from danil.objectives.inference import ordinary
from danil.objectives.margins import input_gradient, strongest_rivals, widened
from danil.objectives.replaced_functions import ReplacedFunctions
from danil.objectives.requirements import check_images, check_network
from danil.objectives.second_pass import (
    bare_module,
    eager,
    received_images,
    switched_modes,
    unmixed_batch_norm,
    untracked_instance_norm,
)
from danil.objectives.targets import UNKNOWN, described, matched_tasks

_STAND_INS = {functional.batch_norm: unmixed_batch_norm, functional.instance_norm: untracked_instance_norm}


@dataclass(frozen=True)
class ResponseMaps:
    """Hold A⁺ (`truth`), A⁻ (`rival`) and A⁺ − A⁻ (`difference`), `(B, C, H, W)`; `rivals` `(B,)`; `logits` `(B, K)`.

    All detached, in float32 or wider. A⁺ and A⁻ differ in scale by orders of magnitude: A⁻ vanishes on images that the
    network is sure to be of the rival class. Show each at its own scale, with its norm.
    """

    truth: Tensor
    rival: Tensor
    difference: Tensor
    rivals: Tensor
    logits: Tensor


def response_maps(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    rivals: Tensor | None = None,
    task: str | None = None,
    layer: str | None = None,
) -> ResponseMaps:
    """Return each image's gradients of the softmax loss for its label and for its rival class (Eq. 2).

    The network runs in eval mode, so no image influences another; modes, random state, and every `.grad` are left as
    found. With two classes both maps are the same picture up to sign and scale.

    Args:
        model: returns `(B, K)` logits, or a mapping from task to logits.
        images: `(B, C, H, W)`.
        labels: `(B,)` int64, all known.
        rivals: `(B,)` int64, the pseudo labels; by default the strongest class other than the label, which is the
            prediction where that is wrong.
        task: the head to explain, where the network has several.
        layer: take the gradients at the output of the module of this name instead of at the images; maps then have that
            output's shape.

    Raises:
        TypeError: the network returns something else than logits in eval mode.
        ValueError: it returns probabilities there, `task` is needed or unknown, labels do not fit the logits, there is
            no such `layer`, the images are not of a floating dtype, the logits do not depend differentiably on them, or
            a layer uses batch statistics in eval mode too, so that images would influence each other.
    """
    check_images(images, layer)
    check_network(model)
    bare = bare_module(model)
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng([images.device] if images.device.type == "cuda" else []),
        switched_modes(list(bare.modules())),
        eager(),
        ReplacedFunctions(_STAND_INS),
        tensor_at(bare, layer) as source,
    ):
        inputs = received_images(model, ordinary(images).detach()).requires_grad_(layer is None)
        logits = _head(bare(inputs.clone()), task)  # the network may write to what it receives
        place = source(inputs)
        labels, rivals = ordinary(labels), None if rivals is None else ordinary(rivals)
        for name, classes in (("labels", labels), ("rivals", labels if rivals is None else rivals)):
            _check(name, logits, classes)
        if are_probabilities(logits):
            refuse_probabilities()
        chosen = strongest_rivals(logits, labels) if rivals is None else rivals
        truth, rival = (_gradient(logits, classes, place) for classes in (labels, chosen))
    return ResponseMaps(truth, rival, truth - rival, chosen, logits.detach())


def _gradient(logits: Tensor, classes: Tensor, place: Tensor) -> Tensor:
    loss = functional.cross_entropy(widened(logits), classes, reduction="sum")
    return widened(input_gradient(loss, place))


def _head(logits: Any, task: str | None) -> Tensor:
    if isinstance(logits, Tensor):
        return logits
    if not isinstance(logits, Mapping):
        raise TypeError(
            f"in eval mode the network returns {described(logits)}; `(B, K)` logits are needed, or a mapping from task "
            "to such logits."
        )
    if task is None or task not in logits:
        raise ValueError(f"`task` is {task!r}; the network has the heads {sorted(logits)}. Name the one to explain.")
    return logits[task]


def _check(name: str, logits: Tensor, classes: Tensor) -> None:
    matched_tasks({name: logits}, {name: classes})
    if bool((classes == UNKNOWN).any()):
        raise ValueError(f"`{name}` holds −1 (unknown); a response map needs a class for every image. Leave those out.")
