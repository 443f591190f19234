"""Measure what quick rules for convolutions on small maps (`danil.objectives.small_maps`) save on a CPU.

    python benchmarks/small_maps.py            # about 3 minutes on two quiet cores
    python benchmarks/small_maps.py --table    # only write the table again

Cross-entropy steps (forward and backward of a batch of 32 images in channels-last memory, no optimiser) outside and
inside the context in turn, freed memory kept: medians of seven pairs after one to warm up, and the quartiles of the
pairs' ratios. Beside them the largest difference that the context makes to a kernel's gradient, in units of the largest
entry of that gradient. Then the weight gradient of single depthwise layers, PyTorch's and the rule's, beside the
forward: the least of seven. Writes results/small_maps.json and tables in docs/second_order.md between two markers.
"""

import argparse
import json
import statistics
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from marked import write_between
from step_cost import BATCH, CLASSES, base, seconds
from torch import Tensor, nn
from torch.nn import functional

from danil.data.atomic import write_atomically
from danil.objectives import small_maps
from danil.objectives.depthwise import weight_gradient
from danil.runs import kept_memory

ROOT = Path(__file__).parents[1]
RECORD, PAGE = ROOT / "results" / "small_maps.json", ROOT / "docs" / "second_order.md"
MARKS = ("<!-- small maps: start -->", "<!-- small maps: end -->")
NETWORKS = {
    "tf_efficientnet_b0": (64, 112, 224), "mobilenetv3_large_100": (64,), "convnext_tiny": (64,), "resnet50": (64,),
}  # fmt: skip
LAYERS = ((1152, 2, 5), (1152, 2, 3), (672, 4, 5), (1152, 4, 5))
"""Channels, pixels a side, kernel."""
PAIRS = 7


def quick(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with small_maps(model):
        return base(model, images, labels)


def deviation(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return how far the gradients of kernels are apart, each relative to its largest entry.

    Those of biases before a normalisation are zero but for rounding, and so are left out.
    """
    found: list[list[Tensor]] = []
    for step in (base, quick):
        model.zero_grad()
        step(model, images, labels).backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None and p.dim() == 4])
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found, strict=True))


@kept_memory()
def measured(network: str, size: int) -> dict[str, Any]:
    torch.manual_seed(0)
    model = timm.create_model(network, num_classes=CLASSES).train().to(memory_format=torch.channels_last)
    for scale in (p for p in model.parameters() if p.dim() == 1):
        nn.init.uniform_(scale, 0.5, 1.5)  # some networks start with blocks that are switched off by a scale of 0
    images = torch.randn(BATCH, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH,))
    found: dict[str, list[float]] = {"outside": [], "inside": []}
    for _ in range(PAIRS + 1):
        for name, step in (("outside", base), ("inside", quick)):
            found[name].append(seconds(step, model, images, labels))
    outside, inside = (values[1:] for values in found.values())
    ratios = [b / a for a, b in zip(outside, inside, strict=True)]
    record = {
        "network": network, "size": size, "outside": statistics.median(outside), "inside": statistics.median(inside),
        "ratio": statistics.quantiles(ratios, n=4), "deviation": deviation(model, images, labels),
        "threads": torch.get_num_threads(),
    }  # fmt: skip
    print(record, flush=True)
    return record


@kept_memory()
def layer_times(channels: int, side: int, kernel: int) -> dict[str, Any]:
    """Return the milliseconds of a depthwise layer's forward, of PyTorch's weight gradient and of the rule's."""
    x, g = (torch.randn(BATCH, channels, side, side).to(memory_format=torch.channels_last) for _ in range(2))
    w, pad = torch.randn(channels, 1, kernel, kernel), kernel // 2
    geometry = (1, 1), (pad, pad), (1, 1)
    whole = (*geometry, False, (0, 0), channels, (False, True, False))
    work: dict[str, Callable[[], Any]] = {
        "forward": lambda: functional.conv2d(x, w, None, *geometry, channels),
        "pytorch": lambda: torch.ops.aten.convolution_backward(g, x, w, None, *whole),
        "rule": lambda: weight_gradient(x, g, (kernel, kernel), *geometry),
    }
    return {"layer": [channels, side, kernel]} | {
        name: 1000 * min(timeit.repeat(run, number=1, repeat=PAIRS + 1)[1:]) for name, run in work.items()
    }


def layer_table(layers: list[dict[str, Any]]) -> str:
    lines = ["| depthwise layer | forward, ms | weight gradient, PyTorch | the rule |", "|---|---|---|---|"]
    for one in layers:
        channels, side, kernel = one["layer"]
        what = f"{channels} channels, {side} × {side} px, kernel {kernel} × {kernel}"
        lines.append(f"| {what} | {one['forward']:.2f} | {one['pytorch']:.1f} | {one['rule']:.2f} |")
    return "\n".join(lines)


def table(records: list[dict[str, Any]]) -> str:
    lines = ["| network | seconds outside | inside | ÷ (quartiles) | gradients differ by |", "|---|---|---|---|---|"]
    for record in records:
        low, middle, high = record["ratio"]
        lines.append(
            f"| {record['network']}, {record['size']} px | {record['outside']:.2f} | {record['inside']:.2f} "
            f"| **{middle:.2f}** ({low:.2f}–{high:.2f}) | {record['deviation']:.0e} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="measure nothing")
    if not parser.parse_args().table:
        layers = [layer_times(*layer) for layer in LAYERS]
        steps = [measured(name, size) for name, sizes in NETWORKS.items() for size in sizes]
        write_atomically(RECORD, json.dumps({"layers": layers, "steps": steps}, indent=1) + "\n")
    record = json.loads(RECORD.read_text())
    write_between(PAGE, MARKS, f"{layer_table(record['layers'])}\n\n{table(record['steps'])}")


if __name__ == "__main__":
    main()
