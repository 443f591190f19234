"""Measure what compiling the first pass saves, and what the numbers to log cost.

    python benchmarks/step_options.py            # about 2 minutes on two cores, most of it compilation

Steps as in benchmarks/step_cost.py: forward and backward of 32 images at 112 px, a quarter of them wrong, of ResNet18;
all in turn, medians of 10 rounds after two to compile and warm up. Writes results/step_options.json and a table in
docs/second_order.md between its two markers.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from marked import write_between
from torch import Tensor, nn

import danil
from danil.data.atomic import write_atomically
from danil.objectives.distractors import QUANTILES

ROOT = Path(__file__).parents[1]
RECORD, PAGE = ROOT / "results" / "step_options.json", ROOT / "docs" / "second_order.md"
MARKS = ("<!-- options: start -->", "<!-- options: end -->")
BATCH, WRONG, CLASSES, SIZE = 32, 8, 7, 112
BASE = "cross-entropy"


def steps(model: nn.Module) -> dict[str, Callable[[Tensor, Tensor], danil.Terms]]:
    compiled = torch.compile(model)
    plain, ours, measured = danil.CrossEntropy(), danil.DistractorAware(), danil.DistractorAware(measure_every=1)
    return {
        BASE: lambda images, labels: plain(model, images, labels),
        "cross-entropy, compiled": lambda images, labels: plain(compiled, images, labels),
        "distractor-aware": lambda images, labels: ours(model, images, labels),
        "distractor-aware, compiled": lambda images, labels: ours(compiled, images, labels),
        "distractor-aware, ratio of gradients measured in this step": lambda images, labels: measured(
            model, images, labels
        ),
    }


def seconds(rounds: int) -> dict[str, float]:
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=CLASSES).train()
    images = torch.randn(BATCH, 3, SIZE, SIZE)
    with torch.no_grad():
        predicted = model(images).argmax(1)
    labels = torch.where(torch.arange(BATCH) < WRONG, (predicted + 1) % CLASSES, predicted)
    found: dict[str, list[float]] = {}
    every = steps(model)
    for turn in range(rounds + 2):
        for name, step in every.items():
            model.zero_grad(set_to_none=True)
            began = time.perf_counter()
            step(images, labels).total.backward()
            if turn > 1:
                found.setdefault(name, []).append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in found.items()}


def quantile_seconds(calls: int = 1000) -> float:
    """Return the time for all quantiles of d in one step."""
    distances, levels = torch.rand(WRONG), torch.tensor(list(QUANTILES.values()))
    began = time.perf_counter()
    for _ in range(calls):
        distances.quantile(levels)
    return (time.perf_counter() - began) / calls


def table(record: dict[str, float]) -> str:
    lines = ["| step | time ÷ cross-entropy |", "|---|---|"]
    lines += [f"| {name} | {taken / record[BASE]:.2f} |" for name, taken in record.items() if name != "quantiles"]
    part = record["quantiles"] / record[BASE]
    return "\n".join([*lines, f"| quantiles of d, in every distractor-aware step | {part:.5f} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="timed rounds")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.table:
        record = seconds(options.repeats) | {"quantiles": quantile_seconds()}
        write_atomically(RECORD, json.dumps(record, indent=1) + "\n")
    write_between(PAGE, MARKS, table(json.loads(RECORD.read_text())))


if __name__ == "__main__":
    main()
