"""Measure what a training step costs with the distractor-aware loss, relative to plain cross-entropy.

    python benchmarks/step_cost.py                # about 30 minutes on two quiet cores; skips cells that it has
    python benchmarks/step_cost.py --table        # only write docs/step_cost.md again

A step is forward and backward of a batch of 32 images (112 px, Inception 128), no optimiser. The share r of wrong
images is imposed: the label is the first pass's arg-max for right ones and the next class for wrong ones. Of each
backbone all steps run in turn, round after round in a new order: `base` (cross-entropy), and for each share `ours`
(`danil.DistractorAware()`) and `stock` (the margin identity on the wrong images with PyTorch's own kernels), and
`literal` (Algorithm 1 on the whole batch: two input gradients, PyTorch's own kernels). A step's time is taken relative
to the base step of its own round, and the median of all rounds counts; a cell measured `--again` keeps the rounds it
had, so that a lucky visit replaces nothing. Freed memory is kept (`danil.runs.kept_memory`), as in `danil train`; what
that saves is measured by benchmarks/kept_memory.py. Writes results/step_cost.json, a record per cell, and
docs/step_cost.md.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

import danil
from danil.data.atomic import write_atomically
from danil.runs import kept_memory

ROOT = Path(__file__).parents[1]
RECORDS, TABLE = ROOT / "results" / "step_cost.json", ROOT / "docs" / "step_cost.md"
BACKBONES = {"resnet50": 112, "vgg11": 112, "inception_v4": 128, "efficientnet_b0": 112}
SMOOTH = {"efficientnet_b0"}  # SiLU: the second backward must go through the forward as well
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
BATCH, CLASSES, WEIGHT, EPSILON = 32, 7, 1e-5, 1e-4

Step = Callable[[nn.Module, Tensor, Tensor], Tensor]


def base(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return danil.CrossEntropy()(model, images, labels).total


def ours(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return danil.DistractorAware(weight=WEIGHT, epsilon=EPSILON)(model, images, labels).total


def stock(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Take the margin's gradient on the wrong images by stock kernels, in eval mode: its normalisation is constant."""
    logits = model(images)
    loss = cross_entropy(logits, labels)
    rivals = logits.detach().argmax(1)
    wrong = (rivals != labels).nonzero().squeeze(1)
    if len(wrong):
        inputs = images[wrong].requires_grad_()
        z = model.eval()(inputs)
        model.train()
        margin = z.gather(1, rivals[wrong, None]) - z.gather(1, labels[wrong, None])
        (gradient,) = torch.autograd.grad(margin.sum(), inputs, create_graph=True)
        loss = loss + WEIGHT * (1 / (gradient.square().flatten(1).mean(1) + EPSILON)).sum() / len(images)
    return loss


def literal(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Follow Algorithm 1 as printed, one graph for the whole batch."""
    inputs = images.clone().requires_grad_()
    logits = model(inputs)
    rivals = logits.detach().argmax(1)
    truth, rival = cross_entropy(logits, labels, reduction="none"), cross_entropy(logits, rivals, reduction="none")
    maps = [torch.autograd.grad(loss.sum(), inputs, create_graph=True)[0] for loss in (truth, rival)]
    distances = (maps[0] - maps[1]).square().flatten(1).mean(1)
    return (truth + WEIGHT * torch.where(rivals != labels, 1 / (distances + EPSILON), 0)).mean()


WAYS: dict[str, Step] = {"ours": ours, "stock": stock, "literal": literal}


def seconds(step: Step, model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.zero_grad(set_to_none=True)
    began = time.perf_counter()
    step(model, images, labels).backward()
    return time.perf_counter() - began


def peak_bytes(step: Step, model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Return the most bytes that tensors hold at once during a step: the model, the batch, and all allocated in it."""
    model.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step(model, images, labels).backward()
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    resident = [*model.parameters(), *model.buffers(), images]
    return peak + sum(t.numel() * t.element_size() for t in resident)


def labels_for(share: float, predictions: Tensor) -> Tensor:
    """Return labels that make exactly the first round(share · B) predictions wrong."""
    wrong = torch.arange(len(predictions)) < round(share * len(predictions))
    return torch.where(wrong, (predictions + 1) % CLASSES, predictions)


Cell = tuple[str, float | None]  # way and share; the literal form's cost does not depend on the share
Runs = dict[Cell, tuple[Step, Tensor]]  # what to run and with which labels


def cells(ways: list[str], shares: list[float]) -> list[Cell]:
    return [(way, share) for way in ways for share in (shares if way != "literal" else [None])]


def times(runs: Runs, model: nn.Module, images: Tensor, repeats: int) -> dict[Cell, list[float]]:
    """Time all in turn, `repeats` rounds after one to warm up, in a new order each: a step inherits its memory."""
    found: dict[Cell, list[float]] = {cell: [] for cell in runs}
    order, generator = list(runs), random.Random(0)
    for turn in range(repeats + 1):
        generator.shuffle(order)
        for cell in order:
            step, labels = runs[cell]
            taken = seconds(step, model, images, labels)
            if turn:
                found[cell].append(taken)
    return found


@kept_memory()
def backbone_records(backbone: str, wanted: list[Cell], repeats: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    size = BACKBONES[backbone]
    model = timm.create_model(backbone, num_classes=CLASSES)
    images = torch.randn(BATCH, 3, size, size)
    with torch.no_grad():
        predictions = model.train()(images).argmax(1)
    runs: Runs = {("base", None): (base, labels_for(0.25, predictions))}
    for way, share in wanted:
        runs[way, share] = WAYS[way], labels_for(0.25 if share is None else share, predictions)
    taken = times(runs, model, images, repeats)
    peaks = {cell: peak_bytes(step, model, images, labels) for cell, (step, labels) in runs.items()}
    whole = taken.pop(("base", None)), peaks["base", None]
    machine = {"threads": torch.get_num_threads(), "torch": torch.__version__, "machine": platform.machine()}
    records: list[dict[str, Any]] = []
    for (way, share), each in taken.items():
        cell = {"backbone": backbone, "way": way, "share": share, "size": size, "batch": BATCH}
        rounds = [round(one / step, 3) for one, step in zip(each, whole[0], strict=True)]
        values = {"seconds": statistics.median(each), "base_seconds": statistics.median(whole[0])}
        peak = peaks[way, share]
        values |= {"peak_bytes": peak, "memory_ratio": peak / whole[1], "base_peak_bytes": whole[1]}
        records.append(cell | values | machine | {"rounds": rounds})
        print(
            f"{backbone} {way} r={share}: {statistics.median(rounds):.2f} × time, {peak / whole[1]:.2f} × bytes",
            flush=True,
        )
    return records


def floor(backbone: str, share: float) -> float:
    """Return the fewest FLOPs of a step ÷ base: (3 + 3r)F or, with smooth activations, (3 + 5r)F, over 3F."""
    return 1 + (5 if backbone in SMOOTH else 3) * share / 3


def table(records: list[dict[str, Any]]) -> str:
    """Return the page of all records."""
    found = {(r["backbone"], r["way"], r["share"]): r for r in records}
    repeats, threads = _span(records, "repeats"), _span(records, "threads")
    lines = [
        f"""# What a step costs

Generated from `results/step_cost.json` by `python benchmarks/step_cost.py --table`; the script's header says what is
measured. Everything is relative to the same step with plain cross-entropy, measured in turn with it; r is the share of
wrong images. The floor counts no second forward: its convolutions are recalled from the first. The literal form runs
the whole batch whatever r is, so it was measured once per backbone.

Medians of {repeats} steps each, the quartiles in brackets, with freed memory kept (`danil.runs.kept_memory`).
PyTorch {records[0]["torch"]}, {threads} CPU threads, float32.
Bytes are the most that tensors hold at once, parameters and batch included.

| backbone | r | FLOP floor | ours | stock | literal | literal ÷ ours | bytes: ours | bytes: stock | bytes: literal |
|---|---|---|---|---|---|---|---|---|---|"""
    ]
    for backbone, share in sorted({(r["backbone"], r["share"]) for r in records if r["way"] == "ours"}):
        mine, theirs = found[backbone, "ours", share], found.get((backbone, "stock", share))
        paper = found.get((backbone, "literal", None))
        speed = "" if paper is None else f"{paper['time_ratio'] / mine['time_ratio']:.1f}"
        times = [f"**{_cell(mine, 'time_ratio')}**{_quartiles(mine)}"]
        times += [_cell(r, "time_ratio") for r in (theirs, paper)]
        bytes_ = [_cell(r, "memory_ratio") for r in (mine, theirs, paper)]
        row = [backbone, f"{share:g}", f"{floor(backbone, share):.2f}", *times, speed, *bytes_]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


def _cell(record: dict[str, Any] | None, name: str) -> str:
    return "" if record is None else f"{record[name]:.2f}"


def _quartiles(record: dict[str, Any]) -> str:
    low, _, high = statistics.quantiles(record["rounds"], n=4)
    return f" ({low:.2f}–{high:.2f})"


def _span(records: list[dict[str, Any]], name: str) -> str:
    values = sorted({r[name] for r in records})
    return "–".join(str(v) for v in dict.fromkeys((values[0], values[-1])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=list(BACKBONES))
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--repeats", type=int, default=10, help="timed steps of each way per cell")
    parser.add_argument("--again", action="store_true", help="measure cells that have a record for more rounds")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--page", type=Path, default=TABLE)
    options = parser.parse_args()
    records: list[dict[str, Any]] = json.loads(options.records.read_text()) if options.records.exists() else []
    for backbone in [] if options.table else options.backbones:
        done = {(r["way"], r["share"]) for r in records if r["backbone"] == backbone and not options.again}
        wanted = [cell for cell in cells(options.ways, options.shares) if cell not in done]
        new = backbone_records(backbone, wanted, options.repeats) if wanted else []
        before = {(r["backbone"], r["way"], r["share"]): r for r in records}
        for record in new:
            old = before.pop((backbone, record["way"], record["share"]), {"rounds": []})
            rounds = old["rounds"] + record["rounds"]
            record |= {"rounds": rounds, "repeats": len(rounds), "time_ratio": statistics.median(rounds)}
        records = [*before.values(), *new]
        write_atomically(options.records, json.dumps(records, indent=1) + "\n")
    write_atomically(options.page, table(records))


if __name__ == "__main__":
    main()
