"""The distractor-aware loss of DANIL, on top of any loss per image."""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from danil.objectives.batch_statistics import BatchStatistics
from danil.objectives.cross_entropy import base_loss
from danil.objectives.distractors import Distractors, Rival, distance_quantiles, found_distractors
from danil.objectives.eval_mode import check_same_logits
from danil.objectives.feature_layer import tensor_at
from danil.objectives.gradient_ratio import GradientRatio
from danil.objectives.image_loss import ImageLoss, share_wrong
from danil.objectives.inference import ordinary, ordinary_targets
from danil.objectives.margins import Distance, Form, Formulation, map_differences, penalties, squared_distances
from danil.objectives.ranks import global_count
from danil.objectives.recall import Recall
from danil.objectives.requirements import (
    check_coupled,
    check_images,
    check_module,
    check_network,
    choice,
    number,
    unwritten,
    with_hard_labels,
)
from danil.objectives.row_operations import rows
from danil.objectives.second_order import twice_differentiable
from danil.objectives.second_pass import bare_module, eager, is_compiled, received_images, second_pass
from danil.objectives.targets import known_images
from danil.objectives.terms import Logits, Targets, Terms, detached, unhooked

Normalization = Literal["frozen", "coupled", "running"]
MapScale = Literal["sample", "batch"]
Passes = tuple[Logits, Tensor, Tensor, dict[str, Distractors], dict[str, Tensor]]
"""The first pass's logits, losses and their shares, the distractors found, and each task's d."""


class DistractorAware(nn.Module):
    """Add λ · L_d to a base loss, L_d = 1/(‖A⁺ − A⁻‖² + ε) on the wrongly classified images (Eq. 5, 6).

    A⁺ and A⁻ are the gradients, at the tensor the network receives, of the plain softmax losses for the label and for
    the predicted class; the parameters' gradient goes through both. L_total = Σᵢ shareᵢ (L⁺ᵢ + λ L_d,ᵢ), shares from
    `base`: 1/B, or 1/⌈ρB⌉ on the images that OHEM keeps. Class weights act on L⁺ only. With several tasks each has its
    own margin, averaged over the images whose label is known, times the base's task weight.

    The defaults for `distance` and `map_scale` decide whether the term acts at all: see docs/method.md, "The scale of
    the distance", and log `Terms.stats`: `share_wrong`, quantiles of d (NaN where no image is wrong), and
    `gradient_ratio` = ‖∇λL_d‖/‖∇L⁺‖ at every `measure_every`-th step (NaN between).

    Autocast: use it around the call as usual; margin, norm and 1/(d + ε) are in float32 at least. With fp16 and a
    gradient scaler, scale `Terms.total` only: A is taken from unscaled margins, so there is nothing to unscale.
    Distributed: DDP, plain or through Fabric; every rank takes part in the same collectives whatever its images.
    Gradients at the images, or at anything before the network, hold the base loss only, but under `"coupled"`. Every
    operation between A and the logits needs a second derivative; where one has none, name with `layer=` a module
    behind it.

    Args:
        weight: λ ≥ 0; ignored with `strength`.
        epsilon: ε > 0.
        formulation: `"margin"` (one gradient) or `"literal"` (Algorithm 1's two); equal, the first is faster.
        normalization: what BatchNorm does in the pass that A is taken from. `"frozen"`: this batch's statistics, as
            constants, on the wrong images only; `"coupled"`: one graph for the whole batch, gradient through the
            statistics; `"running"`: eval mode.
        map_scale: A from the image's own loss (`"sample"`), or from the mean loss over all ranks' batch (`"batch"`).
        distance: the mean of the squares over C·H·W, or their `"sum"` (Eq. 5 to the letter).
        base: the loss of each image; cross-entropy by default. Label smoothing is refused: it has no single label.
        form: `"reciprocal"` (the paper), or `"log"`: L_d = −log(d + ε), whose gradient ignores the scale of A.
        strength: set λ so that ‖∇λL_d‖/‖∇L⁺‖ is about this number, from running averages kept as buffers.
        detach: let no gradient through A. L_d then has no gradient, as a literal misreading of the paper would have it.
        rival: the pseudo label. `"predicted"`: the arg-max, on wrong images; `"runner_up"`: the strongest wrong class,
            on every image.
        layer: take A at the output of the module of this name instead of at the input; C·H·W are then that output's.
        measure_every: measure `gradient_ratio` every n steps, at about one more backward pass each, in which a compiled
            network runs eagerly; 0 for never (with `strength`: 16).

    Raises:
        TypeError: `base` is no loss of each image, or a number is none; when called, a model, targets or logits of a
            wrong kind.
        ValueError: an argument is out of range, or `base` smooths labels; when called, a `layer` that does not fit, or
            images or a network at which maps cannot be taken, each with the way out.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> terms = DistractorAware()(model, torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0]))
        >>> terms.total.backward()
        >>> sorted(terms.parts)
        ['cross_entropy', 'distractor']
    """

    def __init__(
        self,
        weight: float = 1e-5,
        epsilon: float = 1e-4,
        formulation: Formulation = "margin",
        normalization: Normalization = "frozen",
        map_scale: MapScale = "sample",
        distance: Distance = "mean",
        base: ImageLoss | None = None,
        form: Form = "reciprocal",
        strength: float | None = None,
        detach: bool = False,
        rival: Rival = "predicted",
        measure_every: int = 0,
        layer: str | None = None,
    ):
        super().__init__()
        self.weight = number("weight", weight, positive=False)
        self.epsilon = number("epsilon", epsilon, positive=True)
        self.formulation: Formulation = choice("formulation", formulation, Formulation)
        self.normalization: Normalization = choice("normalization", normalization, Normalization)
        self.map_scale: MapScale = choice("map_scale", map_scale, MapScale)
        self.distance: Distance = choice("distance", distance, Distance)
        self.form: Form = choice("form", form, Form)
        self.rival: Rival = choice("rival", rival, Rival)
        self.detach = detach
        self.layer = layer
        self.base = with_hard_labels(base_loss(base))
        if strength is not None and detach:
            raise ValueError(
                "`strength` has no meaning with `detach=True`: there is no gradient to scale. Give `weight`."
            )
        self.ratio = GradientRatio(
            None if strength is None else number("strength", strength, positive=True), measure_every
        )

    def forward(self, model: nn.Module, images: Tensor, targets: Targets) -> Terms:
        """Run the model on `images` `(B, C, H, W)`, then its wrong ones a second time, and return the loss."""
        check_module(model)
        if torch.is_inference_mode_enabled():  # there nothing can be differentiated, not even for a map
            check_network(model)
            with torch.inference_mode(False), torch.no_grad():
                return self.forward(model, ordinary(images), ordinary_targets(targets))
        check_images(images, self.layer)
        bare = bare_module(model)
        images = received_images(model, images)
        passes = self._one_pass if self.normalization == "coupled" else self._two_passes
        logits, losses, shares, found, distances = passes(model, bare, images, targets)
        scale = global_count(images) if self.map_scale == "batch" else 1
        distances = {task: d / scale**2 for task, d in distances.items()}
        return self._terms(bare, logits, targets, losses, shares, found, distances)

    def _one_pass(self, model: nn.Module, bare: nn.Module, images: Tensor, targets: Targets) -> Passes:
        """Run the images once, in a graph that holds their maps as well."""
        check_coupled(list(bare.modules()))
        graph, inputs = torch.is_grad_enabled(), images
        if self.layer is None and not images.requires_grad:
            inputs = images.detach().requires_grad_()
        with torch.enable_grad(), eager(), twice_differentiable(bare), tensor_at(bare, self.layer) as source:
            logits: Logits = model(inputs.clone())  # the network may write to what it receives
            losses, shares, found = self._first_losses(logits, targets)
            with unhooked(logits):
                distances = self._distances(source(inputs), logits, found, graph)
        return logits if graph else detached(logits), losses, shares, found, distances

    def _two_passes(self, model: nn.Module, bare: nn.Module, images: Tensor, targets: Targets) -> Passes:
        """Run the images, and then the wrong ones again."""
        modules, due = list(bare.modules()), self.ratio.due()
        compiled = is_compiled(model, modules) and not due
        statistics = BatchStatistics(modules if self.normalization == "frozen" else [], compiled=compiled)
        recall = Recall(modules, statistics, compiled=compiled)
        # A step to be measured goes backward through its first pass twice, which compiled code may not allow.
        with eager() if due else nullcontext(), unwritten(images), statistics.caught(images), recall.recorded(images):
            logits: Logits = model(images)
        losses, shares, found = self._first_losses(logits, targets)
        return logits, losses, shares, found, self._second_distances(bare, modules, images, recall, logits, found)

    def _first_losses(self, logits: Logits, targets: Targets) -> tuple[Tensor, Tensor, dict[str, Distractors]]:
        losses = self.base.per_image(logits, targets)
        shares = self.base.shares(losses.detach(), known_images(targets))
        return losses, shares, found_distractors(logits, targets, shares, self.base, self.rival)

    def _second_distances(
        self,
        bare: nn.Module,
        modules: list[nn.Module],
        images: Tensor,
        recall: Recall,
        first: Logits,
        found: Mapping[str, Distractors],
    ) -> dict[str, Tensor]:
        """Run the wrong images of all tasks once more, and return each task's d."""
        each = [distractors.images for distractors in found.values()]
        wrong = each[0] if len(each) == 1 else torch.cat(each).unique()
        if not len(wrong):
            return {}
        graph = torch.is_grad_enabled()
        among = {task: distractors.among(wrong) for task, distractors in found.items()}
        for recalling in (True, False):
            with (
                torch.enable_grad(),
                recall.statistics.frozen(len(wrong)) as batch_norm,
                second_pass(bare, modules, images, batch_norm),
                tensor_at(bare, self.layer) as source,
            ):
                inputs = rows(images.detach(), wrong).requires_grad_(self.layer is None)
                with recall.again(inputs, wrong) if recalling else nullcontext() as again:
                    logits: Logits = bare(inputs)
                if again is None or not again.astray:
                    check_same_logits(first, logits, found, wrong)
                    return self._distances(source(inputs), logits, among, graph)
        raise AssertionError  # nothing goes astray that is not recalled

    def _distances(
        self, inputs: Tensor, logits: Logits, found: Mapping[str, Distractors], graph: bool
    ) -> dict[str, Tensor]:
        distances: dict[str, Tensor] = {}
        for task, one in found.items():
            if len(one.images):
                z = logits if isinstance(logits, Tensor) else logits[task]
                graph = graph and not self.detach
                differences = map_differences(inputs, z, one.images, one.labels, one.rivals, self.formulation, graph)
                distances[task] = squared_distances(differences, self.distance)
        return distances

    def _terms(
        self,
        bare: nn.Module,
        logits: Logits,
        targets: Targets,
        losses: Tensor,
        shares: Tensor,
        found: Mapping[str, Distractors],
        distances: Mapping[str, Tensor],
    ) -> Terms:
        """Put both parts together, at the set λ or at the λ that holds the strength."""
        loss = (shares * losses).sum()
        each = [(found[t].weights * penalties(d, self.epsilon, self.form)).sum() for t, d in distances.items()]
        penalty = torch.stack(each).sum() if each else loss * 0
        # A term of 0 needs no backward, which would talk to other ranks once more than theirs do.
        with unhooked(logits):
            norms = self.ratio.measured(loss, penalty if each else penalty.detach(), list(bare.parameters()))
        weight = self.weight if self.ratio.strength is None else self.ratio.weight().to(penalty)
        parts = {self.base.part: loss, "distractor": weight * penalty}
        stats = {"share_wrong": share_wrong(logits, targets), **distance_quantiles(loss, distances)}
        if self.ratio.every:
            stats["gradient_ratio"] = loss.new_tensor(math.nan) if norms is None else weight * norms[1] / norms[0]
        if self.ratio.strength is not None:
            stats["distractor_weight"] = torch.as_tensor(weight)
        return Terms(loss + parts["distractor"], logits, parts, stats, losses.detach())
