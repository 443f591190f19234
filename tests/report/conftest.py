"""Run folders made without training, for pages."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from danil.data import assign_splits, read_source
from danil.models import create_model
from danil.runs import RunFolder, predictions_table, read_recipe, write_checkpoint
from runs.made import made_run

LOG = """epoch,step,lr,loss,cross_entropy,distractor,share_wrong,distance_median,validation_macro_f1,seconds
1,10,0.001,1.43,1.40,0.03,0.71,0.002,0.31,4.5
2,20,0.0005,1.02,1.00,0.02,0.45,0.004,0.50,4.4
3,30,0.0001,0.81,0.80,0.01,0.33,0.009,0.58,4.4
"""

MakeRun = Callable[..., RunFolder]


def probabilities(labels: np.ndarray, classes: int, skill: float, seed: int) -> np.ndarray:
    """Return softmax scores in which the label's logit is raised by `skill`."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += skill
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Return a function that writes a run folder: synthetic images, drawn predictions, random weights."""

    def make(
        name: str = "run",
        *,
        source: str = "synthetic:dermoscopy?images=60&size=32",
        settings: tuple[str, ...] = (),
        skill: float = 1.5,
        seed: int = 0,
        weights: bool = True,
    ) -> RunFolder:
        recipe = read_recipe(
            "quick",
            [f"data.source={source!r}", "data.size=32", "model.backbone=test_resnet", "model.weights=none", *settings],
        )
        manifest = assign_splits(read_source(source), "grouped", test=0.5, validation=0.1, seed=0)
        folder = made_run(tmp_path_factory.mktemp("runs") / name, recipe, manifest, ["danil", "train", "a b"])
        folder.log.write_text(LOG)
        test = manifest.part("test")
        found = {test.task: probabilities(test.labels(), len(test.classes), skill, seed)}
        predictions_table(test, found, test.task).to_csv(folder.predictions, index=False)
        if weights:
            torch.manual_seed(0)
            model = create_model("test_resnet", manifest.tasks, weights="none")
            write_checkpoint(folder.checkpoint("best"), {"model": model.state_dict()})
        return folder

    return make
