"""Cross-entropy, with class weights, label smoothing and several tasks."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from danil.objectives.image_loss import ImageLoss
from danil.objectives.targets import SINGLE, UNKNOWN, matched_tasks
from danil.objectives.terms import Logits, Targets

Weights = Tensor | Sequence[float]


class CrossEntropy(ImageLoss):
    """Average the cross-entropy over the images whose label is known; sum over tasks.

    Class weights normalise as in PyTorch: Σ w_y · loss / Σ w_y, so they do not change the loss's scale. The loss is
    computed in float32 at least, also under autocast. A batch without any known label has loss 0, with a graph.

    Args:
        class_weights: K positive numbers; with several tasks, a mapping from task to its numbers (others: unweighted).
        label_smoothing: share in [0, 1) of the target spread evenly over the classes.

    Raises:
        ValueError: a weight is negative or not finite, or `label_smoothing` is outside [0, 1); later, weights by task
            where the network answers with one tensor, or one vector where it answers by task: they would not act.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
        >>> terms = CrossEntropy()(model, torch.zeros(2, 3, 2, 2), torch.tensor([0, -1]))
        >>> sorted(terms.parts)
        ['cross_entropy']
    """

    def __init__(self, class_weights: Weights | Mapping[str, Weights] | None = None, label_smoothing: float = 0.0):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"`label_smoothing` is {label_smoothing}; it is the share of the target spread over all classes "
                "and must lie in [0, 1). Use 0 for none."
            )
        if class_weights is None:
            class_weights = {}
        elif not isinstance(class_weights, Mapping):
            class_weights = {SINGLE: class_weights}
        self.label_smoothing = label_smoothing
        self.class_weights = {task: _checked_weights(task, values) for task, values in class_weights.items()}

    def per_image(self, logits: Logits, targets: Targets) -> Tensor:
        """Return the losses `(B,)`, summed over tasks, scaled so that their mean is the loss described above."""
        losses = [self._task_losses(task, *pair) for task, pair in matched_tasks(logits, targets).items()]
        return torch.stack(losses).sum(0)

    def _task_losses(self, task: str, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        weights = self._weights(task, logits)
        losses = functional.cross_entropy(
            logits, labels, weights, ignore_index=UNKNOWN, reduction="none", label_smoothing=self.label_smoothing
        )
        known = labels != UNKNOWN
        mass = known.to(logits) if weights is None else weights[labels.clamp_min(0)] * known
        total = mass.sum()
        return losses * (len(labels) / torch.where(total > 0, total, 1.0))

    def _weights(self, task: str, logits: Tensor) -> Tensor | None:
        weights = self.class_weights.get(task)
        if weights is None:
            if self.class_weights and (task == SINGLE or SINGLE in self.class_weights):
                given, answers = ("by task", "one tensor") if task == SINGLE else ("of one task", f"the task {task!r}")
                raise ValueError(
                    f"`class_weights` are {given}, but the network answers with {answers}, so they would not act. "
                    "Give weights by task (`{'grade': weights}`) to a network that answers by task, else one vector."
                )
            return None
        if len(weights) != logits.shape[1]:
            raise ValueError(
                f"`class_weights` has {len(weights)} numbers{f' for {task!r}' if task else ''}; the network has "
                f"{logits.shape[1]} classes. Give one weight per class, in the order of the class list."
            )
        if weights.device != logits.device or weights.dtype != logits.dtype:
            with torch.inference_mode(False):  # kept for steps whose graph must hold them
                weights = self.class_weights[task] = weights.to(logits)
        return weights


def base_loss(base: object) -> ImageLoss:
    """Return the loss that another objective builds on: cross-entropy where `base` is `None`.

    Raises:
        TypeError: `base` is no `ImageLoss`.
    """
    if base is None:
        return CrossEntropy()
    if not isinstance(base, ImageLoss):
        raise TypeError(
            f"`base` is a {type(base).__name__}; a loss of each image is needed, an `ImageLoss`. In place of PyTorch's "
            "cross-entropy use `CrossEntropy(class_weights=…, label_smoothing=…)` of danil.objectives."
        )
    return base


def _checked_weights(task: str, values: Weights) -> Tensor:
    weights = torch.as_tensor(values, dtype=torch.float64).detach().clone()
    if weights.ndim != 1 or not all(math.isfinite(w) and w >= 0 for w in weights.tolist()) or weights.sum() == 0:
        raise ValueError(
            f"`class_weights{f'[{task!r}]' if task else ''}` is {values}; K finite numbers ≥ 0, not all 0, are needed. "
            "Inverse class frequencies are the usual choice."
        )
    return weights
