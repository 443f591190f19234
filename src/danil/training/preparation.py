"""From a recipe to images: read, divided, limited, checked and decoded, all in one pass over the files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from danil.data import ImageError, UnreadableImages, assign_splits, limit, read_source, read_split, unreadable, without
from danil.data.dataset import Images
from danil.data.files import Progress
from danil.data.fixed import fixed
from danil.data.manifest import PARTS, Manifest
from danil.runs.recipe import Recipe, RecipeError


@dataclass(frozen=True)
class Prepared:
    """Hold a run's manifest and the images of its parts `train`, `validation` and `test`."""

    manifest: Manifest
    parts: Mapping[str, Images]


def prepared_images(
    recipe: Recipe,
    *,
    skip_bad: bool = False,
    notice: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> Prepared:
    """Return the recipe's data, every image decoded once: what is kept in memory is checked by being decoded.

    Args:
        recipe: whose data.
        skip_bad: leave unreadable images out instead of refusing them.
        notice: told which images were left out.
        progress: told how many images of a part are decoded, and of how many.

    Raises:
        DataError: as the reader and the split say; `UnreadableImages` lists the bad images of all parts.
        RecipeError: the recipe asks for what the data do not have.
    """
    manifest = fixed(prepared_manifest(recipe))
    decoded = {name: decoded_part(manifest, name, recipe, progress) for name in PARTS}
    faults = [fault for _, found in decoded.values() for fault in found]
    if faults and not skip_bad:
        raise UnreadableImages(faults)
    if faults:
        notice(f"left out {len(faults)} image(s) that cannot be read: " + "; ".join(str(fault) for fault in faults))
        manifest = without(manifest, [fault.path for fault in faults])
        check_selection(recipe, manifest)
    parts = {
        name: decoded_part(manifest, name, recipe, progress)[0] if images is None or found else images
        for name, (images, found) in decoded.items()
    }
    return Prepared(manifest, {name: images for name, images in parts.items() if images is not None})


def decoded_part(
    manifest: Manifest, name: str, recipe: Recipe, progress: Progress | None
) -> tuple[Images | None, list[ImageError]]:
    """Return a part's images and an error for each that cannot be decoded; no images where decoding met such errors."""
    part, data, trained = manifest.part(name), recipe.data, name == "train"
    try:
        images = Images(
            part,
            size=data.size,
            fit=data.fit,
            preprocess=data.preprocess,
            cache=data.cache,
            augmentation=recipe.augment if trained else None,
            seed=recipe.seed,
            progress=progress,
        )
    except UnreadableImages as error:
        return None, error.errors
    return images, [] if images.pixels is not None else unreadable(part, progress)


def prepared_manifest(recipe: Recipe) -> Manifest:
    """Return the recipe's data: read, divided and limited; no image is opened.

    Raises:
        DataError: as the reader and the split say.
        RecipeError: the recipe asks for what the data do not have.
    """
    manifest = listed_images(recipe, several=recipe.objective.system == "multitask")
    check_selection(recipe, manifest)
    return manifest


def listed_images(recipe: Recipe, several: bool) -> Manifest:
    """Return the recipe's data as `prepared_manifest`, with `several` tasks or those its source gives by itself.

    Whether the parts suffice for the recipe is not asked.
    """
    if recipe.data.source is None:
        raise RecipeError("`data.source` is not set: it says where the images come from, as READER:PATH.")
    manifest = divided(read_source(recipe.data.source, several=several), recipe)
    return manifest if recipe.data.limit is None else limit(manifest, recipe.data.limit, seed=recipe.split.seed)


def check_selection(recipe: Recipe, manifest: Manifest) -> None:
    """Refuse to choose the best epoch without images to choose it on.

    Raises:
        RecipeError: there is no validation part.
    """
    if recipe.train.select == "best" and not (manifest.table["split"] == "validation").any():
        raise RecipeError(
            "`train.select` is `best`, but there is no validation part to choose the epoch on. "
            "Set `split.validation` above 0, or `train.select=last`."
        )


def divided(manifest: Manifest, recipe: Recipe) -> Manifest:
    """Return the manifest with every image in a part."""
    wanted = recipe.split
    if wanted.file is not None:
        return read_split(wanted.file, manifest)
    kind = wanted.kind
    if kind == "auto" and not wanted.groups:
        kind = "official" if manifest.table["split"].notna().any() else "random"
    return assign_splits(manifest, kind, test=wanted.test, validation=wanted.validation, seed=wanted.seed)
