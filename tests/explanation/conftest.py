"""Small runs with random weights: folder and checkpoint as training leaves them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from danil.data import read_source
from danil.models import create_model
from danil.runs import open_run, read_recipe, write_checkpoint
from runs.made import made_run


def untrained_run(path, source, size, predictions=True, objective="base"):
    manifest = read_source(source)
    split = np.where(np.arange(len(manifest)) % 2, "test", "train")
    manifest = replace(manifest, table=manifest.table.assign(split=split))
    settings = (f"data.source='{source}'", f"data.size={size}", "model.backbone=test_resnet")
    recipe = read_recipe("paper", [*settings, "model.weights=none", f"objective.name={objective}"])
    folder = made_run(path, recipe, manifest)
    torch.manual_seed(0)
    model = create_model("test_resnet", manifest.tasks, weights="none", head=recipe.head)
    write_checkpoint(folder.checkpoint("last"), {"model": model.state_dict()})
    if predictions:
        test = manifest.part("test")
        table = open_run(path).predict([test.store.read(name) for name in test.table["path"]])
        table["path"] = test.table["path"]
        table.insert(1, "label", test.table[test.task])
        table.insert(1, "group", test.table["group"])
        table.to_csv(folder.predictions, index=False)
    return folder


@pytest.fixture(scope="session")
def synthetic_run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("runs") / "synthetic", "synthetic:dermoscopy?images=24&size=48", 48)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Three classes of images on disk, not square; class `b`'s first image also lies beside them turned by EXIF."""
    folder = tmp_path_factory.mktemp("photographs") / "data"
    generator = np.random.default_rng(0)
    for name in "abc":
        (folder / name).mkdir(parents=True)
        for place in range(4):
            coarse = Image.fromarray(generator.integers(0, 256, (5, 7, 3), dtype=np.uint8))
            coarse.resize((70, 50), Image.Resampling.BICUBIC).save(folder / name / f"{name}{place}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(folder / "b" / "b0.png") as upright:
        upright.transpose(Image.Transpose.ROTATE_90).save(folder.parent / "turned.png", exif=exif)
    return folder


@pytest.fixture(scope="session")
def photograph_run(photographs, tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("runs") / "photographs", f"folder:{photographs}", 40)
