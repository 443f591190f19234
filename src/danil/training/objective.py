"""The training objective a recipe names, made for the data at hand."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from danil.data.manifest import Manifest
from danil.models import Classifier
from danil.objectives import CrossDisease, CrossEntropy, DistractorAware, HardExamples, ImageLoss, WeightedTasks
from danil.objectives.feature_layer import tensor_at
from danil.runs.recipe import Recipe, RecipeError


def create_objective(recipe: Recipe, train: Manifest) -> nn.Module:
    """Return the objective of `objective.name`; class weights come from the training part.

    Raises:
        RecipeError: the objective does not fit the data.
    """
    chosen = recipe.objective
    base = create_base(recipe, train)
    if chosen.name != "danil":
        return base
    return DistractorAware(
        weight=chosen.weight,
        epsilon=chosen.epsilon,
        formulation=chosen.formulation,
        normalization=chosen.normalization,
        map_scale=chosen.map_scale,
        distance=chosen.distance,
        form=chosen.form,
        strength=chosen.strength,
        detach=chosen.detach,
        rival=chosen.rival,
        layer=chosen.layer,
        measure_every=recipe.train.measure_every,
        base=base,
    )


def check_layer(recipe: Recipe, model: Classifier, device: torch.device) -> None:
    """Refuse an `objective.layer` that gives no response maps, before anything is written.

    Raises:
        LayerError: naming the layer and the nearest known ones.
    """
    layer, size = recipe.objective.layer, recipe.data.size
    if layer is None:
        return
    blank = torch.zeros(2, 3, size, size, device=device)
    model.eval()
    with torch.no_grad(), tensor_at(model, layer) as source:
        model(blank)
        source(blank)
    model.train()


def create_base(recipe: Recipe, train: Manifest) -> ImageLoss:
    """Return the loss of each image, to which DANIL may be added; with several tasks each has its weight."""
    chosen = recipe.objective
    weights = class_weights(train) if recipe.train.balance == "weights" else None
    if isinstance(weights, Tensor) and recipe.by_task:
        weights = {train.task: weights}
    loss: ImageLoss = CrossEntropy(class_weights=weights, label_smoothing=chosen.label_smoothing)
    if len(train.tasks) > 1:
        shares = {task: 1.0 if task == train.task else chosen.task_weight for task in train.tasks}
        loss = WeightedTasks(shares, base=loss)
    if chosen.system in ("canet", "canet_single"):
        return CrossDisease(chosen.auxiliary_weight, base=loss)
    return HardExamples(keep=chosen.keep, base=loss) if chosen.system == "ohem" else loss


def check_tasks(system: str, train: Manifest) -> None:
    """Refuse a system that needs another number of tasks than the data have.

    Raises:
        RecipeError: saying how to name more label columns, or fewer.
    """
    if system == "multitask" and len(train.tasks) == 1:
        raise RecipeError(
            f"the objective is `multitask`, but `{train.source}` has one task, `{train.task}`. "
            "Name more label columns, e.g. `ham10000:FOLDER?tasks=dx,localization` or `csv:FILE?label=grade,edema`."
        )
    if system == "canet_single" and len(train.tasks) > 1:
        raise RecipeError(
            f"the objective is `canet_single`, which grades one disease, but `{train.source}` has the tasks "
            f"{', '.join(train.tasks)}. Use `canet`, or name one, e.g. `idrid:FOLDER?task=DR`."
        )


def class_weights(train: Manifest) -> Tensor | Mapping[str, Tensor]:
    """Return N / (K · n_k) per class, so that every class has the same total weight; one tensor per task.

    A class without training images gets weight 0: nothing can be learned of it.
    """
    weights: dict[str, Tensor] = {}
    for task, names in train.tasks.items():
        labels = torch.from_numpy(train.labels(task))
        counts = torch.bincount(labels[labels >= 0], minlength=len(names)).double()
        weights[task] = torch.where(counts > 0, counts.sum() / (len(names) * counts), 0.0).float()
    return weights if len(weights) > 1 else weights[train.task]
