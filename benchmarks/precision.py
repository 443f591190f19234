"""Measure what 16 bits do to the gradients of DANIL's loss on real images: float32 and bf16 autocast beside float64.

    python benchmarks/precision.py runs/ham-base [RUN …] [--batches 6]

Takes the trained network of each run and batches of its training images, in train mode without dropout. Writes
results/precision.json and the table in docs/second_order.md.
"""

from pathlib import Path

import numpy as np
import torch
from measured_runs import write_measured
from torch import Tensor, nn

from danil import DistractorAware
from danil.data import loader
from danil.runs import RunFolder, open_run, run_manifest

ARITHMETIC = {"float32": torch.float32, "bf16 autocast": torch.float32, "float64": torch.float64}
REFERENCE, AUTOCAST = "float64", "bf16 autocast"
PARTS = {"cross_entropy": "∇L⁺", "distractor": "∇L_d"}
MARKS = ("<!-- precision: made by `python benchmarks/precision.py` -->", "<!-- end of precision -->")

Gradients = dict[str, Tensor]


def gradients(model: nn.Module, images: Tensor, targets: Tensor, autocast: bool = False) -> tuple[Gradients, float]:
    """Return the gradient of each part of the loss at all parameters, as one vector, and the median of d."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        terms = DistractorAware()(model, images, targets)
    found: Gradients = {}
    for name, part in terms.parts.items():
        each = torch.autograd.grad(part, parameters, retain_graph=True, materialize_grads=True)
        found[name] = torch.cat([one.flatten() for one in each]).double()
    return found, float(terms.stats["distance_median"])


def trained(run: Path, dtype: torch.dtype) -> nn.Module:
    """Return the run's network in train mode, without the chance of dropout and drop path."""
    model = open_run(run).model.to(dtype).train()
    for module in model.modules():
        if "Drop" in type(module).__name__:
            module.eval()
    return model


def measured(run: Path, batches: int) -> list[dict[str, object]]:
    """Return a record per arithmetic: medians over batches of cosines and ratios to float64's gradients."""
    fitted = open_run(run)
    train = run_manifest(RunFolder(run)).part("train")
    order = np.random.default_rng(0).permutation(len(train))[: 32 * batches]
    given = [(fitted.normalize(one.images), one.targets) for one in loader(fitted.images(train), order, batch_size=32)]
    found: dict[str, list[tuple[Gradients, float]]] = {}
    for name, dtype in ARITHMETIC.items():
        model = trained(run, dtype)
        found[name] = [gradients(model, x.to(dtype), y, autocast=name == AUTOCAST) for x, y in given]
    exact = found.pop(REFERENCE)
    rows = {name: list(zip(each, exact, strict=True)) for name, each in found.items()}
    rows["float64, the next batch"] = list(zip(exact[1:], exact[:-1], strict=True))
    return [{"run": run.name, "arithmetic": name, **compared(pairs)} for name, pairs in rows.items()]


def compared(pairs: list[tuple[tuple[Gradients, float], tuple[Gradients, float]]]) -> dict[str, float]:
    """Return medians over pairs: the ratio of the medians of d; cosine and ratio of norms of each gradient."""
    values: dict[str, list[float]] = {"distance": [d / reference for (_, d), (_, reference) in pairs]}
    for part in PARTS:
        both = [(one[part], reference[part]) for (one, _), (reference, _) in pairs]
        values[f"{part}_cosine"] = [float(a @ b / (a.norm() * b.norm())) for a, b in both]
        values[f"{part}_ratio"] = [float(a.norm() / b.norm()) for a, b in both]
    return {name: float(np.nanmedian(each)) for name, each in values.items()}


def table(records: list[dict[str, object]]) -> str:
    """Return the Markdown table of the records."""
    head = [f"{sign}: {what}" for sign in PARTS.values() for what in ("cosine", "÷ norm")]
    lines = [f"| run | arithmetic | median d, ÷ | {' | '.join(head)} |", "|---" * (3 + len(head)) + "|"]
    for one in records:
        columns = [f"{one[f'{part}_{what}']:.3f}" for part in PARTS for what in ("cosine", "ratio")]
        lines.append(f"| {one['run']} | {one['arithmetic']} | {one['distance']:.3f} | {' | '.join(columns)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    write_measured(__doc__, measured, table, "precision.json", "second_order.md", MARKS)
