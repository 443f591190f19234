"""Compare our Base training, end to end, with a plain loop, in one run, alternating.

    python benchmarks/train_throughput.py [--rounds 3] [--epochs 2]   # measures, records, writes README's line
    python benchmarks/train_throughput.py --rounds 0                  # the line again, from the record

Plain: timm model, torchvision `ImageFolder` + `DataLoader` with 2 workers (which decode while the network trains) and
the same variation of images by torchvision v2. Ours: what `danil train` does with recipe `paper`, method Base. Both use
the same backbone, size, batch, optimiser, images (../shared/data/crc_tiles) and threads, and both start from nothing in
every round: reading the folder, decoding and worker start-up count, making the network does not. Ours decodes once, so
more epochs would only help it. Writes results/train_throughput.json.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import timm
import torch
from marked import write_between
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from danil.runs import Recipe, read_recipe
from danil.training import train_run
from danil.training.preparation import prepared_images

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "results" / "train_throughput.json"
TILES = ROOT.parent / "shared" / "data" / "crc_tiles"
BACKBONE, SIZE, BATCH = "tf_efficientnet_b0", 96, 32
MARKS = (
    "<!-- throughput: made by `python benchmarks/train_throughput.py --rounds 0` -->",
    "<!-- end of throughput -->",
)


def plain_seconds(epochs: int) -> float:
    """Return the seconds of a plain loop over so many epochs."""
    model = timm.create_model(BACKBONE, num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    began = time.perf_counter()
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
    for _ in range(epochs):
        model.train()
        for inputs, targets in batches:
            loss = nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    return time.perf_counter() - began


def our_seconds(epochs: int) -> float:
    """Return the seconds of ours: reading, checking and decoding the data, and the epochs as the run's log has them."""
    chosen = recipe(epochs)
    began = time.perf_counter()
    prepared_images(chosen)
    decoding = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        run = train_run(chosen, Path(folder) / "run", quiet=True)
        assert run is not None
        lines = run.log.read_text().splitlines()
        columns = [place for place, name in enumerate(lines[0].split(",")) if name.endswith("seconds")]
        return decoding + sum(float(line.split(",")[place] or 0) for line in lines[1:] for place in columns)


def recipe(epochs: int) -> Recipe:
    """Return the recipe `paper` with the method Base, at the benchmark's size."""
    settings = [f"data.source='folder:{TILES}'", f"data.size={SIZE}", f"train.epochs={epochs}", "objective.name=base"]
    return read_recipe("paper", [*settings, f"model.backbone={BACKBONE}", "model.weights=none"], seed=0)


def measured(rounds: int, epochs: int) -> dict[str, object]:
    """Return the record of alternating rounds: images per second, and the median of the rounds' ratios."""
    images = epochs * (sum(1 for _ in (TILES / "train").rglob("*.jpg")) // BATCH * BATCH)
    rates: dict[str, list[float]] = {"plain": [], "danil": []}
    for number in range(rounds):
        loops = [("plain", plain_seconds), ("danil", our_seconds)]
        for name, seconds in loops if number % 2 == 0 else loops[::-1]:
            rates[name].append(images / seconds(epochs))
            print(f"round {number + 1}: {name} {rates[name][-1]:.1f} images/s", flush=True)
    ratios = [ours / plain for ours, plain in zip(rates["danil"], rates["plain"], strict=True)]
    return {
        "command": f"python benchmarks/train_throughput.py --rounds {rounds} --epochs {epochs}",
        "backbone": BACKBONE, "size": SIZE, "batch": BATCH, "epochs": epochs, "rounds": rounds,
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "images_per_second": {name: [round(rate, 2) for rate in values] for name, values in rates.items()},
        "median": {name: round(statistics.median(values), 2) for name, values in rates.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }  # fmt: skip


def write_line() -> None:
    """Put the sentence of the record between its marks in the README."""
    found = json.loads(RECORD.read_text())
    plain, ours, ratios = found["median"]["plain"], found["median"]["danil"], found["ratios"]
    sentence = (
        f"Base training runs at {ours:.0f} images per second end to end, {found['ratio']:.2f} times a plain loop "
        f"({plain:.0f}; timm, torchvision `ImageFolder`, `DataLoader` with 2 workers): `{found['backbone']}`, "
        f"{found['size']} px, batch {found['batch']}, {found['epochs']} epoch(s), {found['threads']} CPU thread(s), "
        f"median of {found['rounds']} alternating rounds (ratios {min(ratios):.2f} to {max(ratios):.2f})."
    )
    write_between(ROOT / "README.md", MARKS, sentence)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.rounds:
        RECORD.write_text(json.dumps(measured(arguments.rounds, arguments.epochs), indent=1) + "\n")
    write_line()
