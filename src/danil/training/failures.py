"""What a training that fails says: where it stands, and how to go on."""

import signal
from collections.abc import Generator
from contextlib import contextmanager

from lightning_fabric import Fabric

from danil.runs import RunFolder
from danil.training.interruption import Interrupted
from danil.training.saving import Diverged, TrainingError
from danil.training.state import Training

AGAIN = " Go on with the same command and `--resume` (in Python `train_run(…, resume=True)`)."


@contextmanager
def others_named(fabric: Fabric) -> Generator[None]:
    """Say in words that another process of the training is gone, where its connection breaks."""
    try:
        yield
    except RuntimeError as error:
        words = ("connection", "gloo", "nccl", "socket")
        if fabric.world_size > 1 and any(word in str(error).lower() for word in words):
            reason = str(error).splitlines()[0].partition(". ")[0]
            raise TrainingError(
                f"another process of this training has died ({reason}); see its message, if any."
            ) from error
        raise


@contextmanager
def hints(folder: RunFolder, training: Training, epochs: int) -> Generator[None]:
    """Add to an error where the run of so many `epochs` stands and how to go on.

    Raises:
        Interrupted: Ctrl-C came a second time, or while the predictions were made; nothing is saved beyond what was.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        stopped = Interrupted(signal.SIGINT)
        stopped.add_note(standing(folder, training, epochs) + AGAIN)
        raise stopped from error
    except Exception as error:
        error.add_note(standing(folder, training, epochs) + ("" if isinstance(error, Diverged) else AGAIN))
        raise


def standing(folder: RunFolder, training: Training, epochs: int) -> str:
    """Return how far a run has come, what of it is saved, and where its log ends."""
    position, rows = training.position, training.rows
    saved = "nothing was saved yet" if training.saved is None else f"step {training.saved} is saved"
    logged = f"`{folder.log}` ends with epoch {rows[-1]['epoch']}" if rows else "no epoch is in the log yet"
    epoch = min(position.epoch + 1, epochs)
    return f"`{folder.path}` stopped after step {position.steps} (epoch {epoch}); {saved}; {logged}."
