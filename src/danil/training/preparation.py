"""From a recipe to the images, the parts and the network of a training."""

from collections.abc import Callable

from danil.data import UnreadableImages, assign_splits, limit, read_source, read_split, unreadable, without
from danil.data.manifest import Manifest
from danil.runs.recipe import Recipe, RecipeError


def prepared_manifest(
    recipe: Recipe, *, skip_bad: bool = False, notice: Callable[[str], None] = lambda text: None
) -> Manifest:
    """Return the recipe's data: read, checked for unreadable images, divided and limited.

    Raises:
        DataError: as the reader and the split say; `UnreadableImages` lists all bad images unless `skip_bad`.
        RecipeError: the recipe asks for what the data do not have.
    """
    if recipe.data.source is None:
        raise RecipeError("`data.source` is not set: it says where the images come from, as READER:PATH.")
    manifest = divided(read_source(recipe.data.source, several=recipe.objective.system == "multitask"), recipe)
    if recipe.data.limit is not None:
        manifest = limit(manifest, recipe.data.limit, seed=recipe.split.seed)
    faults = unreadable(manifest)
    if faults and not skip_bad:
        raise UnreadableImages(faults)
    if faults:
        notice(f"left out {len(faults)} image(s) that cannot be read: " + "; ".join(str(fault) for fault in faults))
        manifest = without(manifest, [fault.path for fault in faults])
    if recipe.train.select == "best" and not (manifest.table["split"] == "validation").any():
        raise RecipeError(
            "`train.select` is `best`, but there is no validation part to choose the epoch on. "
            "Set `split.validation` above 0, or `train.select=last`."
        )
    return manifest


def divided(manifest: Manifest, recipe: Recipe) -> Manifest:
    """Return the manifest with every image in a part."""
    wanted = recipe.split
    if wanted.file is not None:
        return read_split(wanted.file, manifest)
    kind = wanted.kind
    if kind == "auto" and not wanted.groups:
        kind = "official" if manifest.table["split"].notna().any() else "random"
    return assign_splits(manifest, kind, test=wanted.test, validation=wanted.validation, seed=wanted.seed)
