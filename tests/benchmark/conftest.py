"""A suite of tiny trainings, and records made by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danil.benchmark.records import FORMAT, KIND, packed, write_record

SUITE = """
name = "tiny"
title = "Tiny"
recipe = "paper"
settings = ["data.size=32", "model.weights=none", "train.batch_size=8", "train.epochs=2", "train.lr=0.05"]
seeds = [0, 1]
[[datasets]]
name = "dermoscopy"
source = "synthetic:dermoscopy?images=40&size=32"
[[backbones]]
name = "test_resnet"
settings = ["model.backbone=test_resnet"]
[[methods]]
name = "base"
settings = ["objective.name=base"]
"""


@pytest.fixture
def suite_file(tmp_path) -> Path:
    """The file of a suite with one method and two seeds."""
    path = tmp_path / "tiny.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def add_record(tmp_path):
    """Write a record of labels and predictions into `tmp_path/results` and return its path."""

    def add(labels: list[int], found: list[int], **changes: Any) -> Path:
        content = {
            "kind": KIND, "format": FORMAT, "suite": "s", "title": "Suite s", "part": "test",
            "dataset": ["ham10000", "HAM10000"], "backbone": ["resnet50", "ResNet50"], "method": ["base", "Base"],
            "paper": None, "seed": 0, "data": "d", "images": 10, "further": {}, "code": "c", "digest": "x",
            "recipe": {}, "classes": ["a", "b", "c"][: max(labels) + 1], "test_digest": "t", "groups": None,
            "labels": packed(np.array(labels)), "predictions": packed(np.array(found)),
            **changes,
        }  # fmt: skip
        names = [content[kind][0] for kind in ("dataset", "backbone", "method")]
        path = tmp_path / "results" / content["suite"] / ("-".join([*names, str(content["seed"])]) + ".json")
        write_record(path, content)
        return path

    return add


def scores(path: Path) -> tuple[str, str]:
    """Return the digest and the predictions of a record."""
    content = json.loads(path.read_text())
    return content["digest"], content["predictions"]
