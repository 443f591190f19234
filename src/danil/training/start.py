"""Starting a run: a new folder, or one to go on with, checked to be the same run."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from danil.data.atomic import remove_partial_files
from danil.data.manifest import Manifest
from danil.runs import Recipe, RunError, RunFolder
from danil.runs.folder import check_free, check_same_data, command_line, environment, write_run
from danil.runs.lock import only_writer

WITHOUT_EFFECT = {"data": ("source", "cache", "workers"), "train": ("save_every", "save_minutes")}
"""Keys that may change when a run is resumed: the result does not depend on them.

The source may name another place; the data found there are compared by digest.
"""


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
        cut_short = going_on and not folder.data.is_file() and not any(folder.path.glob("checkpoints/*"))
        if going_on and not cut_short:
            check_same_run(folder, recipe, manifest)
        else:
            write_run(folder, recipe, manifest, command_line())
        yield


def check_same_run(folder: RunFolder, recipe: Recipe, manifest: Manifest) -> None:
    """Refuse to go on with other data or another recipe; warn where the machine is another.

    Raises:
        RunError: naming what differs.
    """
    check_same_data(folder, manifest)
    was, now = (deciding(one.model_dump()) for one in (folder.read_recipe(), recipe))
    changed = [f"{section}: {was[section]} → {now[section]}" for section in now if was[section] != now[section]]
    if changed:
        raise RunError(
            f"`{folder.path}` was started with another recipe ({'; '.join(changed)}). Resume it with its own settings."
        )
    before, here = folder.read_environment(), environment([])
    differs = [f"{name} {old} → {new}" for name, old, new in differences(before, here)]
    if differs:
        warnings.warn(
            f"`{folder.path}` was started elsewhere ({'; '.join(differs)}): the run goes on, but its last bits may "
            "differ from those of a run that was never interrupted.",
            stacklevel=2,
        )


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
