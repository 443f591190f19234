"""Run folders with predictions, made without training."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from danil.statistics import Predictions

CLASSES = ("bkl", "mel", "nv")


@pytest.fixture
def made() -> Callable[..., Predictions]:
    """Predictions of n images of three classes, right more often than not."""

    def make(n=90, *, seed=0, skill=1.5, labels=None, per_group=1, classes=CLASSES) -> Predictions:
        random = np.random.default_rng(seed)
        truth = np.arange(n) % 3 if labels is None else np.asarray(labels)
        logits = random.normal(size=(n, 3))
        logits[np.arange(n), truth] += skill
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        paths = [f"images/{row:03}.jpg" for row in range(n)]
        groups = paths if per_group == 1 else [f"p{row // per_group}" for row in range(n)]
        return Predictions.of(truth, probabilities, groups=groups, classes=classes, paths=paths)

    return make


@pytest.fixture
def run_folder(made, tmp_path) -> Callable[..., Path]:
    """A run folder: predictions on 90 test images, 60 training images (mostly nv), metadata, recipe."""

    def make(name="run", *, seed=0, objective="danil", predictions=None, validation=None, **options) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        table = (made(seed=seed, **options) if predictions is None else predictions).table()
        trained = pd.DataFrame({"path": [f"train/{row}.jpg" for row in range(60)], "label": ["nv"] * 40 + ["mel"] * 20})
        test = table[["path", "group", "label"]].assign(split="test", sex=["f", "m"] * (len(table) // 2))
        manifest = pd.concat([test, trained.assign(split="train", group=trained["path"], sex="f")])
        if validation is not None:
            held_out = validation.table().assign(path=lambda rows: "held/" + rows["path"])
            held_out.to_csv(folder / "validation_predictions.csv", index=False)
            manifest = pd.concat([manifest, held_out[["path", "group", "label"]].assign(split="validation", sex="f")])
        manifest.rename(columns={"label": "dx"}).to_csv(folder / "manifest.csv", index=False)
        table.to_csv(folder / "predictions.csv", index=False)
        (folder / "data.json").write_text(json.dumps({"tasks": {"dx": list(CLASSES)}}))
        (folder / "recipe.toml").write_text(f'seed = {seed}\n[objective]\nname = "{objective}"\n')
        return folder

    return make
