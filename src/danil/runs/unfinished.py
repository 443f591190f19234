"""Whether a run's training came to its end."""

from typing import Any

from danil.runs.checkpoint import CheckpointError, stored_value
from danil.runs.folder import RunFolder


def unfinished(folder: RunFolder) -> str | None:
    """Return, in words, where a training stands that has not come to its end; `None` where it has, or nothing says so.

    A run passed on without its `last` checkpoint says nothing.
    """
    position = last_position(folder)
    if position is None or position.get("finished") is not False:
        return None
    epochs = folder.read_recipe().train.epochs
    done = f"after epoch {position['epoch']} of {epochs}"
    if not position["epoch"]:
        done = f"in epoch 1 of {epochs}, after step {position['steps']}"
    return (
        f"training of `{folder.path}` is not finished: it stopped {done} (finish it with `danil train … --out "
        f"{folder.path} --resume`)."
    )


def last_position(folder: RunFolder) -> dict[str, Any] | None:
    """Return the position in the `last` checkpoint's header, `None` where there is no sound one."""
    try:
        position = stored_value(folder.checkpoint("last"), "position")
    except CheckpointError:
        return None
    return position if isinstance(position, dict) and {"epoch", "steps", "finished"} <= set(position) else None
