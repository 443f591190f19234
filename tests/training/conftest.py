"""Tiny runs that train in seconds."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from danil.runs import Recipe, RunFolder, read_checkpoint, read_recipe
from danil.training import train_run

TINY = (
    "data.source='synthetic:dermoscopy?images=60&size=32'",
    "data.size=32",
    "model.backbone=test_resnet",
    "model.weights=none",
    "train.batch_size=8",
    "train.epochs=2",
    "train.lr=0.01",
)


@pytest.fixture
def tiny() -> Callable[..., Recipe]:
    """A recipe of a few seconds, with further settings."""
    return lambda *settings, recipe="paper", seed=0: read_recipe(recipe, [*TINY, *settings], seed)


@pytest.fixture
def trained(tiny, tmp_path) -> RunFolder:
    """A finished tiny run."""
    folder = train_run(tiny(), tmp_path / "trained", quiet=True)
    assert folder is not None
    return folder


def outcome(folder: Path | RunFolder) -> tuple[dict[str, torch.Tensor], str, pd.DataFrame]:
    """Return weights, predictions and log (time columns aside) of a run."""
    run = folder if isinstance(folder, RunFolder) else RunFolder(folder)
    weights = read_checkpoint(run.checkpoint("last")).state["model"]
    log = pd.read_csv(run.log)
    return weights, run.predictions.read_text(), log.drop(columns=[name for name in log if name.endswith("seconds")])


def assert_bit_equal(one: Path | RunFolder, other: Path | RunFolder) -> None:
    """Compare two runs to the last bit."""
    (weights, predictions, log), (weights2, predictions2, log2) = outcome(one), outcome(other)
    assert weights.keys() == weights2.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, weights2[name]), name
    assert predictions == predictions2
    pd.testing.assert_frame_equal(log, log2, check_exact=True)
