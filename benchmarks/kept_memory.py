"""Measure what keeping freed memory (`danil.runs.kept_memory`) saves on a CPU.

    python benchmarks/kept_memory.py            # about 5 minutes on two quiet cores
    python benchmarks/kept_memory.py --table    # only write the table again

Predictions, cross-entropy steps and distractor-aware steps (a quarter of the images wrong) of four networks: medians of
three after one to warm up. Beside the times, the pages that the system had to clear in a step. Without and with kept
memory are different processes, since a heap that was once kept serves the process ever after; an empty setting of
glibc's switches it off. Writes results/kept_memory.json and a table in docs/second_order.md between its two markers.
It depends on the machine: a virtual one pays more for a page than a real one.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from marked import write_between
from step_cost import BATCH, CLASSES, base, labels_for, ours, seconds
from torch import Tensor, nn

from danil.data.atomic import write_atomically
from danil.runs import kept_memory

ROOT = Path(__file__).parents[1]
RECORD, PAGE = ROOT / "results" / "kept_memory.json", ROOT / "docs" / "second_order.md"
MARKS = ("<!-- memory: start -->", "<!-- memory: end -->")
NETWORKS = {"efficientnet_b0": (64, 224), "resnet50": (224,), "vgg11": (112,), "inception_v4": (128,)}
SHARE, TIMED = 0.25, 3
WORK = {"prediction": "predictions", "base": "cross-entropy step", "ours": "distractor-aware step"}


def prediction_seconds(model: nn.Module, images: Tensor) -> float:
    began = time.perf_counter()
    with torch.inference_mode():
        model.eval()(images)
    taken = time.perf_counter() - began
    model.train()
    return taken


@kept_memory()
def medians(network: str, size: int) -> dict[str, list[float]]:
    """Return, for each kind of work, its seconds and cleared pages."""
    torch.manual_seed(0)
    model = timm.create_model(network, num_classes=CLASSES).train()
    images = torch.randn(BATCH, 3, size, size)
    with torch.no_grad():
        predicted = model(images).argmax(1)
    labels = labels_for(SHARE, predicted)
    work: dict[str, Callable[[], float]] = {
        "prediction": lambda: prediction_seconds(model, images),
        "base": lambda: seconds(base, model, images, labels),
        "ours": lambda: seconds(ours, model, images, labels),
    }
    found: dict[str, list[float]] = {}
    for name, run in work.items():
        run()
        each: list[tuple[float, int]] = []
        for _ in range(TIMED):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            taken = run()
            each.append((taken, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
        found[name] = [statistics.median(values) for values in zip(*each, strict=True)]
    return found


def measured(network: str, size: int) -> dict[str, Any]:
    record: dict[str, Any] = {"network": network, "size": size}
    for way, setting in (("left", {"GLIBC_TUNABLES": ""}), ("kept", {})):
        command = [sys.executable, __file__, "--one", network, str(size)]
        done = subprocess.run(command, env=os.environ | setting, stdout=subprocess.PIPE, text=True, check=True)
        record[way] = json.loads(done.stdout)
    print(record, flush=True)
    return record


def table(records: list[dict[str, Any]]) -> str:
    lines = ["| network | work | seconds | with kept memory | ÷ | pages cleared | with kept memory |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for record in records:
        for name, words in WORK.items():
            (left, cleared), (kept, still) = record["left"][name], record["kept"][name]
            where = f"{record['network']}, {record['size']} px"
            lines.append(
                f"| {where} | {words} | {left:.2f} | {kept:.2f} | {kept / left:.2f} | {cleared:,.0f} | {still:,.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "SIZE"), help="measure this in this process; used inside")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(medians(options.one[0], int(options.one[1]))))
        return
    if not options.table:
        records = [measured(name, size) for name, sizes in NETWORKS.items() for size in sizes]
        write_atomically(RECORD, json.dumps(records, indent=1) + "\n")
    write_between(PAGE, MARKS, table(json.loads(RECORD.read_text())))


if __name__ == "__main__":
    main()
