"""The images of a run that explanations are scored on: their masks, their deletion and insertion curves."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from danil.data.manifest import Manifest
from danil.data.synthetic import SyntheticImages
from danil.data.transforms import squared
from danil.explanation.faithfulness import FaithfulnessCurves, faithfulness_curves
from danil.explanation.map_methods import chance_map, check_methods, further_maps
from danil.objectives import response_maps
from danil.runs import FittedClassifier, RunError, RunFolder, open_run
from danil.runs.images import scored_part

BATCH = 16
CURVES = ("integrated_gradients", "grad_cam")
"""Maps that faithfulness curves are drawn for beside the response maps, unless others are asked for."""


def masked_images(
    run: str | Path, data: str | None, limit: int | None
) -> tuple[FittedClassifier, Manifest, SyntheticImages]:
    """Return the run's network, its test images and their store, which knows pixel masks.

    Raises:
        RunError: the run's data are not synthetic.
    """
    fitted, manifest = open_run(run), scored_part(RunFolder(Path(run)), data, limit)
    if not isinstance(manifest.store, SyntheticImages):
        raise RunError(f"`{run}` was trained on `{manifest.source}`; pixel masks exist for `synthetic:…` data only.")
    return fitted, manifest, manifest.store


def seen_masks(fitted: FittedClassifier, store: SyntheticImages, paths: Iterable[object]) -> tuple[Tensor, Tensor]:
    """Return the images' masks of evidence and of distractors as the network sees them, each `(n, S, S)` boolean."""
    shown = [(store.masks(str(path)), store.read(str(path))) for path in paths]
    evidence, distractors = (
        torch.stack([seen_mask(fitted, masks[kind], image) for masks, image in shown]) for kind in (0, 1)
    )
    return evidence, distractors


def seen_mask(
    fitted: FittedClassifier, mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]], image: Image.Image | None = None
) -> Tensor:
    """Return the mask of an image in the geometry in which the network sees that image, `(S, S)` boolean."""
    data = fitted.recipe.data
    picture = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    return squared(picture, data.size, data.fit, data.preprocess, like=image or picture)[0] >= 128


def measured_curves(
    run: str | Path, methods: Sequence[str], data: str | None, limit: int | None, steps: int
) -> Iterator[tuple[Manifest, str, FaithfulnessCurves, FaithfulnessCurves]]:
    """Yield, batch by batch of the scored images, each map's name, its curves, and its curves when moved.

    Maps are |A⁺| (`truth`), |A⁺ − A⁻| (`difference`), the `methods`, and `random`, a ranking of pixels by chance. A map
    must beat itself moved to a random place (around the edges, fixed seed): as smooth or coarse as it is, but knowing
    nothing of the image. A smooth map gains over a ranking of single pixels by its smoothness alone. Probabilities are
    those of the image's label.

    Raises:
        AttributionError: a method is not known, or not defined on the network.
    """
    check_methods(methods)
    fitted, manifest = open_run(run), scored_part(RunFolder(Path(run)), data, limit)
    generator = torch.Generator().manual_seed(0)
    for part, prepared, labels in batches(fitted, manifest):
        maps = response_maps(fitted.model, prepared, labels, task=fitted.task)
        importance = {"truth": maps.truth.norm(dim=1), "difference": maps.difference.norm(dim=1)}
        further = further_maps(fitted, prepared, labels, maps, methods)
        for name, values in further.items():  # where a map has a sign, what speaks for the label comes first
            importance[name] = (-values if name == "contribution" else values).sum(1)
        importance["random"] = chance_map(prepared, generator)
        for name, values in importance.items():
            both = [
                faithfulness_curves(fitted.model, prepared, labels, each, task=fitted.task, steps=steps)
                for each in (values, moved(values, generator))
            ]
            yield part, name, both[0], both[1]


def moved(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Return each map `(B, H, W)` shifted to a place drawn evenly, what leaves at one edge entering at the other."""
    drawn = [torch.randint(side, (len(maps),), generator=generator).tolist() for side in maps.shape[1:]]
    return torch.stack([one.roll(place, (0, 1)) for one, *place in zip(maps, *drawn, strict=True)])


def batches(fitted: FittedClassifier, manifest: Manifest) -> Iterator[tuple[Manifest, Tensor, Tensor]]:
    """Yield parts of the manifest with the tensors the network receives and the labels' indices."""
    for start in range(0, len(manifest), BATCH):
        part = manifest.take(range(start, min(start + BATCH, len(manifest))))
        prepared = fitted.prepare([part.store.read(str(path)) for path in part.table["path"]])
        yield part, prepared, torch.from_numpy(part.labels()).to(prepared.device)
