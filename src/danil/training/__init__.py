"""Training: one loop on Lightning Fabric (floor 3)."""

from danil.training.interruption import Interrupted
from danil.training.loop import TrainingError
from danil.training.preparation import prepared_manifest
from danil.training.run import train_run

__all__ = ["Interrupted", "TrainingError", "prepared_manifest", "train_run"]
