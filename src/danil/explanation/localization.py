"""Where maps lie on synthetic images: inside evidence and distractors, beside what an untrained network's maps do."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from danil.explanation.evidence import pointing, score_intervals, share_inside
from danil.explanation.map_methods import RESPONSES, check_methods, further_maps
from danil.explanation.run_scores import batches, masked_images, seen_masks
from danil.models import BackboneError, WeightsError, create_model
from danil.objectives import response_maps
from danil.runs import FittedClassifier, RunError, kept_memory

SCORES = ("in_evidence", "evidence_gain", "in_distractors", "distractor_gain", "pointing")
Document = dict[str, Any]


@kept_memory()
def localization_run(
    run: str | Path,
    *,
    methods: Sequence[str] = (),
    data: str | None = None,
    limit: int | None = 128,
    tolerance: int = 0,
    seeds: int = 3,
) -> tuple[pd.DataFrame, Document]:
    """Score a run's maps on its synthetic test images against pixel masks, beside those of untrained networks.

    The networks: `trained`; `start`, the weights the run began with under a new last layer (left out where they cannot
    be had); `random`, freshly initialised with BatchNorm statistics taken from these images, mean over `seeds` of them;
    `random_raw`, the same without that, mean 0 and variance 1 in each BatchNorm.

    Args:
        run: a run folder, K ≥ 3 classes.
        methods: maps beside A⁺, A⁻ and their difference, see `TITLES`.
        data: the run's data, where they have moved to.
        limit: at most so many test images, evenly spaced.
        tolerance: pixels by which the pointing game widens the mask.
        seeds: random networks of each kind; with 0 the run's own network is scored alone.

    Returns:
        A row per image, network and map with the columns of `map_scores`, and the means with intervals over groups:
        `networks` (network → map → score → mean, low, high) and `differences` (other → map → score, trained − other,
        paired by image).

    Raises:
        RunError: the run's data are not synthetic, or it has fewer than 3 classes.
        AttributionError: a method is not known or not defined on the network.
    """
    check_methods(methods)
    fitted, manifest, store = masked_images(run, data, limit)
    if len(fitted.classes) < 3:
        raise RunError(f"`{run}` has {len(fitted.classes)} classes: A⁺ and A⁻ are then one picture; 3 are needed.")
    parts = list(batches(fitted, manifest))
    seen = seen_masks(fitted, store, manifest.table["path"])
    keys = manifest.table[["path", "group"]].reset_index(drop=True)
    tables: list[pd.DataFrame] = []
    for name, models in networks(fitted, [prepared for _, prepared, _ in parts], seeds):
        found = [magnitudes(fitted, model, parts, methods) for model in models]
        for kind in found[0]:
            scores = [map_scores(one[kind], seen[0], seen[1], tolerance=tolerance) for one in found]
            mean = pd.concat(scores).groupby(level=0).mean() if len(scores) > 1 else scores[0]
            tables.append(pd.concat([keys.assign(network=name, map=kind), mean], axis=1))
    table = pd.concat(tables, ignore_index=True)
    return table, summary_of(table, {"limit": limit, "tolerance": tolerance, "seeds": seeds})


def networks(fitted: FittedClassifier, images: Sequence[Tensor], seeds: int) -> Iterator[tuple[str, list[nn.Module]]]:
    """Yield each kind of network with its members, all in eval mode; the global random state is left as found."""
    yield "trained", [fitted.model]
    if not seeds:
        return
    weights = fitted.recipe.model.weights
    try:
        if weights != "none":
            yield "start", [untrained(fitted, weights, fitted.recipe.seed)]
    except (BackboneError, WeightsError, OSError):
        pass
    random = [untrained(fitted, "none", seed) for seed in range(seeds)]
    yield "random_raw", random
    for model in random:
        take_statistics(model, images)
    yield "random", random


def untrained(fitted: FittedClassifier, weights: str, seed: int) -> nn.Module:
    """Return the run's network as it is before the first step."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = create_model(fitted.recipe.model.backbone, fitted.tasks, weights=weights, head=fitted.recipe.head)
    return model.to(fitted.normalize.device).eval()


def take_statistics(model: nn.Module, images: Sequence[Tensor]) -> None:
    """Set each BatchNorm's running statistics to the mean over these batches; the network is left in eval mode.

    A batch of one image has no statistics where a map has one place; it is left out beside others.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None
        module.train()
    with torch.no_grad():
        for batch in [each for each in images if len(each) > 1] or images:
            model(batch)
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    model.eval()


def magnitudes(
    fitted: FittedClassifier, model: nn.Module, parts: Sequence[tuple[Any, Tensor, Tensor]], methods: Sequence[str]
) -> dict[str, Tensor]:
    """Return map → Σ over channels of its magnitudes, `(N, S, S)` on the CPU, for one network."""
    found: dict[str, list[Tensor]] = {}
    for _, prepared, labels in parts:
        maps = response_maps(model, prepared, labels, task=fitted.task)
        every = {name: getattr(maps, name) for name in RESPONSES}
        every |= further_maps(fitted, prepared, labels, maps, methods, model)
        for name, values in every.items():
            found.setdefault(name, []).append(values.abs().sum(1).cpu())
    return {name: torch.cat(values) for name, values in found.items()}


def map_scores(magnitude: Tensor, evidence: Tensor, distractors: Tensor, *, tolerance: int = 0) -> pd.DataFrame:
    """Return a row per image: what share of a map lies inside each mask, and how much of that is this image's doing.

    `in_evidence` is Σ inside the mask over Σ everywhere. `evidence_area` is the mask's share of the image: a map that
    knows nothing. `evidence_position` is what the mean map of all *other* images puts into this image's mask: a map
    that knows only where such networks look (the middle, since zero padding starves the borders) and where evidence
    usually lies. `evidence_gain` = `in_evidence` − `evidence_position` is the image's own part. Likewise for
    distractors. `pointing` is 1 where the largest magnitude lies in the evidence. Missing where a mask is empty.

    Args:
        magnitude: `(N, S, S)`, ≥ 0.
        evidence: `(N, S, S)` boolean.
        distractors: likewise.
        tolerance: pixels by which the pointing game widens the mask.

    Raises:
        ValueError: a mask is not boolean, or of another shape than the maps.
    """
    for name, mask in (("evidence", evidence), ("distractors", distractors)):
        if mask.shape != magnitude.shape or mask.dtype != torch.bool:
            needed = f"boolean {tuple(magnitude.shape)} is needed"
            raise ValueError(f"`{name}` is {mask.dtype} of shape {tuple(mask.shape)}; {needed}.")
    values = magnitude.double()
    shares = values / values.sum((1, 2), keepdim=True)
    known = shares.nan_to_num(0.0)
    others = (known.sum(0) - known) / max(1, len(known) - 1)
    columns = {"pointing": pointing(values, evidence, tolerance)}
    for name, mask in (("evidence", evidence), ("distractor", distractors)):
        inside = share_inside(values, mask)
        position = torch.where(inside.isnan(), torch.nan, (others * mask).sum((1, 2)))
        plural = name if name == "evidence" else "distractors"
        columns |= {f"in_{plural}": inside, f"{name}_position": position, f"{name}_gain": inside - position}
        columns[f"{name}_area"] = mask.double().mean((1, 2))
    return pd.DataFrame({name: column.numpy() for name, column in columns.items()})


def summary_of(table: pd.DataFrame, settings: Document) -> Document:
    """Return means with intervals over groups of every network and map, and paired differences to the trained one."""
    scores = [name for name in table if name not in {"path", "group", "network", "map"}]
    found: Document = {}
    differences: Document = {}
    for (network, kind), rows in table.groupby(["network", "map"], sort=False):
        trained = table[(table["network"] == "trained") & (table["map"] == kind)]
        groups = rows["group"].tolist()
        found.setdefault(str(network), {})[str(kind)] = intervals(rows[scores], groups)
        if network != "trained":
            change = trained[list(SCORES)].reset_index(drop=True) - rows[list(SCORES)].reset_index(drop=True)
            differences.setdefault(str(network), {})[str(kind)] = intervals(change, groups)
    images = int((table["network"] == "trained").sum() / table["map"].nunique())
    return {"images": images, **settings, "networks": found, "differences": differences}


def intervals(scores: pd.DataFrame, groups: list[str]) -> Document:
    """Return score → mean, low, high."""
    found = score_intervals(scores.reset_index(drop=True), groups)
    return {
        str(name): {key: None if pd.isna(row[key]) else float(row[key]) for key in ("mean", "low", "high")}
        for name, row in found.iterrows()
    }
