"""Starting a run: a new folder, or one to go on with, checked to be the same run."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from danil.data import UnreadableImages
from danil.data.atomic import remove_partial_files
from danil.data.manifest import Manifest
from danil.runs import Recipe, RunError, RunFolder
from danil.runs.folder import check_free, command_line, data_record, environment, write_data_record, write_run
from danil.runs.lock import only_writer
from danil.runs.recipe import flattened

WITHOUT_EFFECT = {"data": ("source", "cache", "workers"), "train": ("save_every", "save_minutes")}
"""Keys that may change when a run is resumed: the result does not depend on them.

The source may name another place; the data found there are compared by digest.
"""


@contextmanager
def begun_without(folder: RunFolder, resume: bool) -> Generator[None]:
    """Say of unreadable images that the run to resume was begun without them, where it was."""
    try:
        yield
    except UnreadableImages as error:
        if resume and folder.manifest.is_file():
            used = pd.read_csv(folder.manifest, dtype="str", keep_default_na=False, usecols=["path"])["path"]
            if set(used).isdisjoint(one.path for one in error.errors):
                error.add_note(f"`{folder.path}` was begun without them by `--skip-bad`: resume it with `--skip-bad`.")
        raise


@contextmanager
def started(folder: RunFolder, recipe: Recipe, manifest: Manifest, resume: bool, overwrite: bool) -> Generator[None]:
    """Make the run folder, or check that the one to resume fits, and keep other processes from writing to it.

    A folder whose making was cut short is made anew.

    Raises:
        RunError: the folder is there without `resume`, belongs to other data or another recipe, or is being written.
    """
    going_on = resume and folder.recipe.is_file()
    if not going_on:
        check_free(folder, overwrite)
    with only_writer(folder.path):
        remove_partial_files(folder.path)
        if going_on and not cut_short(folder):
            check_same_run(folder, recipe, manifest)
            record_place(folder, manifest)
        else:
            write_run(folder, recipe, manifest, command_line())
        yield


def check_start(folder: RunFolder, recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """Refuse, before data and weights are fetched, a folder to be left alone, or to go on with another recipe.

    Raises:
        RunError: as `started`.
    """
    if not (resume and folder.recipe.is_file()):
        check_free(folder, overwrite)
    elif not cut_short(folder):
        check_same_recipe(folder, recipe)


def cut_short(folder: RunFolder) -> bool:
    """Tell whether the making of a run folder was cut short, so that it holds nothing to go on with."""
    return not folder.data.is_file() and not any(folder.path.glob("checkpoints/*"))


def record_place(folder: RunFolder, manifest: Manifest) -> None:
    """Write where the run's data are now, where they have moved: later verbs look there."""
    if folder.record()["source"] != manifest.source:
        write_data_record(folder, manifest)


def check_same_run(folder: RunFolder, recipe: Recipe, manifest: Manifest) -> None:
    """Refuse to go on with other data or another recipe; warn where the machine is another.

    Raises:
        RunError: naming what differs.
    """
    check_same_data(folder, manifest)
    check_same_recipe(folder, recipe)
    before, here = folder.read_environment(), environment([])
    differs = [f"{name} {old} → {new}" for name, old, new in differences(before, here)]
    if differs:
        warnings.warn(
            f"`{folder.path}` was started elsewhere ({'; '.join(differs)}): the run goes on, but its last bits may "
            "differ from those of a run that was never interrupted.",
            stacklevel=2,
        )


def check_same_data(folder: RunFolder, manifest: Manifest) -> None:
    """Refuse data that are not those the run was started with.

    Raises:
        RunError: naming what differs.
    """
    was, now = folder.record(), data_record(manifest)
    if was["tasks"] != now["tasks"]:
        classes = [", ".join(name for names in one["tasks"].values() for name in names) for one in (was, now)]
        raise RunError(
            f"`{folder.path}` was trained on the classes {classes[0]}; the data now have {classes[1]}. Start a new run."
        )
    if was["digest"] != now["digest"]:
        raise RunError(
            f"`{folder.path}` was started on other data (digest {was['digest'][:12]}, now {now['digest'][:12]}): "
            "images, labels, groups or split have changed. Restore the data, or start a new run with another `--out`."
        )


def check_same_recipe(folder: RunFolder, recipe: Recipe) -> None:
    """Refuse to go on with a recipe that gives another result.

    Raises:
        RunError: naming each key that differs, with both values.
    """
    was, now = (flattened(deciding(one.model_dump())) for one in (folder.read_recipe(), recipe))
    changed = [f"`{key}`: {shown(was[key])} → {shown(now[key])}" for key in now if was[key] != now[key]]
    if changed:
        raise RunError(
            f"`{folder.path}` was started with another recipe ({', '.join(changed)}). Resume it with its own settings, "
            f"e.g. by `--recipe {folder.recipe}`, or start a new run with another `--out`."
        )


def shown(value: object) -> str:
    """Return a key's value as `--set` takes it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's keys without those that do not change the result."""
    return {
        section: {key: value for key, value in values.items() if key not in WITHOUT_EFFECT.get(section, ())}
        if isinstance(values, dict)
        else values
        for section, values in settings.items()
    }


def differences(before: dict[str, Any], here: dict[str, Any]) -> list[tuple[str, object, object]]:
    """Return what of libraries, threads, processor and devices differs, with both values."""
    old, new = ({**one.get("versions", {}), **one} for one in (before, here))
    names = [*here["versions"], "threads", "processor", "devices"]
    return [(name, old[name], new[name]) for name in names if name in old and old[name] != new[name]]
