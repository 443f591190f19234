"""Train every recipe of the paper's rows small, on every backbone, record each cell, and write the tables.

    python benchmarks/paper_systems.py train [RECIPE …]   # what has no record yet; can be stopped and started again
    python benchmarks/paper_systems.py table              # README and docs/systems.md from results/systems.json

A cell is a recipe × a backbone. `small`: 2 epochs at 64 px (Inception 96) on a sample, then evaluated on a sample of
the test part. `full`: 20 steps of 2 images at 224 px. The sizes stand in `SMALL` and `FULL`. They show that a system
works, not how good it is. Expects the images in ../shared/data and weights in ../shared/weights beside the checkout;
CRC-MSI is not there: colorectal tiles in a folder stand in for it.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from marked import write_between

from danil.data import write_atomically
from danil.evaluation import evaluate_run
from danil.runs import Recipe, read_recipe
from danil.training import train_run

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "results" / "systems.json"
SHARED = ROOT.parent / "shared"
DATA = {
    "ham10000": ("HAM10000", f"ham10000:{SHARED}/data/ham10000"),
    "aptos2019": ("APTOS2019", f"aptos2019:{SHARED}/data/aptos2019"),
    "crc_msi": ("CRC-MSI (stand-in: colorectal tiles)", f"folder:{SHARED}/data/crc_tiles"),
}
BACKBONES = {
    "tf_efficientnet_b0": ("EfficientNet-b0", f"{SHARED}/weights/tf_efficientnet_b0_imagenet.safetensors"),
    "resnet50": ("ResNet50", f"{SHARED}/weights/resnet50_imagenet_fp16_nohead.safetensors"),
    "inception_v4": ("Inception-v4", "none"),
    "vgg11": ("VGGNet11", "none"),
}
SMALL = {"data.limit": 64, "train.batch_size": 16, "train.epochs": 2}
FULL = {"data.size": 224, "data.limit": 10, "train.batch_size": 2, "train.epochs": 4, "train.max_steps": 20}
SYSTEMS = ("base", "multitask", "dil", "canet", "ohem", "danil")
MARKS = ("<!-- systems: made by `python benchmarks/paper_systems.py table` -->", "<!-- end of systems -->")


def names() -> list[str]:
    found = [path.stem for path in (ROOT / "recipes").glob("*.toml")]
    return sorted(found, key=lambda name: (list(DATA).index(name.split("-")[0]), SYSTEMS.index(name.split("-")[1])))


def recipe_of(name: str, backbone: str, part: str) -> Recipe:
    """Return the recipe of a cell's part, everything but its size as in the file."""
    size = {"data.size": 96 if backbone == "inception_v4" else 64, **SMALL} if part == "small" else FULL
    chosen = {**size, "model.backbone": backbone, "model.weights": BACKBONES[backbone][1]}
    settings = [f"{key}={value}" for key, value in chosen.items()]
    return read_recipe(str(ROOT / "recipes" / f"{name}.toml"), settings, 0, DATA[name.split("-")[0]][1])


def measured(name: str, backbone: str, part: str) -> dict[str, object]:
    """Train a cell's part and return its record; CPU seconds are of this process, so other load counts little."""
    with tempfile.TemporaryDirectory() as place:
        began = time.process_time()
        run = train_run(recipe_of(name, backbone, part), Path(place) / "run", quiet=True)
        seconds = time.process_time() - began
        assert run is not None
        log = pd.read_csv(run.log)
        record: dict[str, object] = {
            "steps": int(log["step"].iloc[-1]),
            "losses": [round(float(loss), 4) for loss in log["loss"]],
            "cpu_seconds": round(seconds, 1),
            "seconds_in_steps": round(float(log["seconds"].sum()), 1),
            "tables": sorted(path.name for path in run.path.glob("predictions*.csv")),
        }
        if "distractor" in log:
            record["distractor"] = [float(f"{value:.3g}") for value in log["distractor"]]
        if part == "small":
            found = evaluate_run(run.path, resamples=100)
            record["metrics"] = scores(found)
            record["tasks"] = {task: scores(document) for task, document in found["tasks"].items()}
            record["constant"] = {key: round(found["constant"]["metrics"][key], 3) for key in ("macro_f1", "accuracy")}
    return record


def scores(document: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    return {key: round(document["metrics"][key]["value"], 3) for key in ("macro_f1", "accuracy")}


def train(chosen: list[str]) -> None:
    """Measure what has no record, cheap backbones first."""
    torch.set_num_threads(1)
    for backbone in BACKBONES:
        for part in ("small", "full"):
            for name in chosen or names():
                cells = read()
                if part not in cells.get(f"{name}/{backbone}", {}):
                    found = measured(name, backbone, part)
                    cells = read()
                    cells.setdefault(f"{name}/{backbone}", {})[part] = found
                    write(cells)
                    print(f"{name}/{backbone} {part}: {found['cpu_seconds']} CPU seconds", flush=True)


def read() -> dict[str, dict[str, dict[str, object]]]:
    return json.loads(RECORD.read_text())["cells"] if RECORD.exists() else {}


def write(cells: dict[str, dict[str, dict[str, object]]]) -> None:
    content = {
        "command": "python benchmarks/paper_systems.py train",
        "small": SMALL,
        "full": FULL,
        "weights": {backbone: Path(weights).name for backbone, (_, weights) in BACKBONES.items()},
        "torch": torch.__version__,
        "cells": cells,
    }
    write_atomically(RECORD, json.dumps(content, indent=1) + "\n")


def worked(cells: list[dict[str, dict[str, object]]], part: str) -> str:
    """Return on how many backbones a part was trained with finite losses and predicted, of those that were run."""
    run = [cell[part] for cell in cells if part in cell]
    good = [one for one in run if one["tables"] and all(map(math.isfinite, one["losses"]))]
    missing = len(cells) - len(run)
    return f"{len(good)} of {len(run)}" + (f" ({missing} not run)" if missing else "")


def full_table(cells: dict[str, dict[str, dict[str, object]]]) -> str:
    """Return a row per cell."""
    head = "| data | system | backbone | macro-F1 (constant) | loss, epoch 1 → 2 | 224 px: loss | CPU s a step |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name in names():
        for backbone, (title, _) in BACKBONES.items():
            cell = cells.get(f"{name}/{backbone}", {})
            small, full = cell.get("small"), cell.get("full")
            data, system = name.split("-")
            row = [DATA[data][0], system, title, *["not run"] * 4]
            if small:
                row[3] = f"{small['metrics']['macro_f1']:.3f} ({small['constant']['macro_f1']:.3f})"
                row[4] = " → ".join(f"{loss:.2f}" for loss in small["losses"])
            if full:
                row[5] = " → ".join(f"{loss:.2f}" for loss in full["losses"])
                row[6] = f"{full['cpu_seconds'] / full['steps']:.2f}"
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def short_table(cells: dict[str, dict[str, dict[str, object]]]) -> str:
    """Return a row per recipe: on how many backbones it works, and its scores there."""
    titles = ", ".join(title for title, _ in BACKBONES.values())
    lines = [
        f"| data | system | works, 2 epochs | works, 224 px | macro-F1 after 2 epochs ({titles}) |",
        "|---|---|---|---|---|",
    ]
    for name in names():
        found = [cells.get(f"{name}/{backbone}", {}) for backbone in BACKBONES]
        values = [f"{cell['small']['metrics']['macro_f1']:.2f}" if "small" in cell else "–" for cell in found]
        data, system = name.split("-")
        link = f"[{system}](recipes/{name}.toml)"
        columns = [DATA[data][0], link, worked(found, "small"), worked(found, "full"), " / ".join(values)]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def write_tables() -> None:
    """Put both tables between their marks."""
    cells = read()
    write_between(ROOT / "README.md", MARKS, short_table(cells))
    write_between(ROOT / "docs" / "systems.md", MARKS, full_table(cells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["train", "table"])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="names in recipes/, all by default")
    arguments = parser.parse_args()
    if arguments.action == "train":
        train(arguments.recipes)
    write_tables()
