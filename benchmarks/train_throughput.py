"""Compare our Base training, end to end, with a plain loop, in one run, alternating.

    python benchmarks/train_throughput.py [--rounds 5]

Plain: timm model, torchvision `ImageFolder` + `DataLoader` with 2 workers and the same augmentations of torchvision v2.
Ours: `danil.training`'s own loop with the recipe's defaults for loading. Same backbone, size, batch, optimiser, images
(../shared/data/crc_tiles) and threads; each round trains one epoch of each from the same start. Writes
results/train_throughput.json: images per second, medians, and their ratio.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import timm
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from danil.runs import Recipe, read_recipe
from danil.training import train_run

ROOT = Path(__file__).parents[1]
TILES = ROOT.parent / "shared" / "data" / "crc_tiles"
BACKBONE, SIZE, BATCH = "tf_efficientnet_b0", 96, 32


def plain_loop(epochs: int) -> list[float]:
    """Return the seconds of each epoch of the plain loop, worker start-up left out by persistent workers."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, scale=(0.7225, 1.0), ratio=(1.0, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomChoice([v2.RandomRotation((angle, angle)) for angle in (0, 90, 180, 270)]),
            v2.ColorJitter(0.1, 0.1, 0.1, 0.02),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    images = ImageFolder(str(TILES / "train"), transform)
    batches = DataLoader(images, BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)
    model = timm.create_model(BACKBONE, num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    seconds: list[float] = []
    for _ in range(epochs):
        began = time.perf_counter()
        model.train()
        for inputs, targets in batches:
            loss = nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
        seconds.append(time.perf_counter() - began)
    return seconds


def our_loop(epochs: int) -> list[float]:
    """Return the seconds of each epoch of ours, from the run's log."""
    with tempfile.TemporaryDirectory() as folder:
        run = train_run(recipe(epochs), Path(folder) / "run", quiet=True)
        assert run is not None
        lines = run.log.read_text().splitlines()
        column = lines[0].split(",").index("seconds")
        return [float(line.split(",")[column]) for line in lines[1:]]


def recipe(epochs: int) -> Recipe:
    """Return the recipe `paper` with the method Base, at the benchmark's size."""
    settings = [f"data.source='folder:{TILES}'", f"data.size={SIZE}", f"train.epochs={epochs}", "objective.name=base"]
    return read_recipe("paper", [*settings, f"model.backbone={BACKBONE}", "model.weights=none"], seed=0)


def main() -> None:
    """Alternate the two loops and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    images = sum(1 for _ in (TILES / "train").rglob("*.jpg")) // BATCH * BATCH
    rates: dict[str, list[float]] = {"plain": [], "danil": []}
    for _ in range(rounds):
        rates["plain"].append(images / plain_loop(2)[-1])
        rates["danil"].append(images / our_loop(2)[-1])
    ratio = statistics.median(ours / plain for ours, plain in zip(rates["danil"], rates["plain"], strict=True))
    record = {
        "command": f"python benchmarks/train_throughput.py --rounds {rounds}",
        "backbone": BACKBONE, "size": SIZE, "batch": BATCH,
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "images_per_second": {name: [round(rate, 2) for rate in values] for name, values in rates.items()},
        "median": {name: round(statistics.median(values), 2) for name, values in rates.items()},
        "ratio": round(ratio, 3),
    }  # fmt: skip
    (ROOT / "results" / "train_throughput.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
