"""The training objective a recipe names, made for the data at hand."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from danil.data.manifest import Manifest
from danil.models import Classifier
from danil.objectives import CrossDisease, CrossEntropy, DistractorAware, HardExamples
from danil.objectives.feature_layer import tensor_at
from danil.runs.recipe import Recipe, RecipeError


def create_objective(recipe: Recipe, train: Manifest) -> nn.Module:
    """Return the objective of `objective.name`; class weights come from the training part.

    Raises:
        RecipeError: the objective does not fit the recipe's other choices.
    """
    chosen = recipe.objective
    if chosen.name == "danil" and chosen.label_smoothing:
        raise RecipeError(
            f"`objective.label_smoothing` is {chosen.label_smoothing}, but DANIL needs one hard label per image. "
            "Set it to 0, or use `objective.name=base`."
        )
    weights = class_weights(train) if recipe.train.balance == "weights" else None
    base = CrossEntropy(class_weights=weights, label_smoothing=chosen.label_smoothing)
    if chosen.name == "multitask" and len(train.tasks) == 1:
        raise RecipeError(
            f"`objective.name` is `multitask`, but `{train.source}` has one task, `{train.task}`. "
            "Name more label columns, e.g. `ham10000:FOLDER?tasks=dx,localization` or `csv:FILE?label=grade,edema`."
        )
    if chosen.name in ("canet", "canet_single"):
        return CrossDisease(base=base)
    if chosen.name == "ohem":
        return HardExamples(keep=chosen.keep, base=base)
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
