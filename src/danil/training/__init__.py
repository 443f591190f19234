"""Training: one loop on Lightning Fabric (floor 3)."""

from danil.training.interruption import Interrupted
from danil.training.preparation import prepared_manifest
from danil.training.run import train_run
from danil.training.saving import TrainingError

__all__ = ["Interrupted", "TrainingError", "prepared_manifest", "train_run"]
