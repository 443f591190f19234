"""Say what each change saves: the second pass with all of them, and with each one left out.

    python benchmarks/second_order_changes.py          # counts kernels on the meta device: a minute, no noise
    python benchmarks/second_order_changes.py --time   # times them too, in processor seconds of one thread: 10 minutes

The batch is 32 images, 8 of them wrong (r = 0.25), 112 px (Inception 128), running statistics in both passes.
Writes results/second_order_changes.json and the table in docs/second_order.md between its two markers.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import timm
import torch
from marked import write_between
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from danil.data.atomic import write_atomically
from danil.objectives import convolution_forms, twice_differentiable
from danil.objectives.batch_statistics import BatchStatistics
from danil.objectives.recall import Recall
from danil.objectives.substitutes import RULES

ROOT = Path(__file__).parents[1]
RECORDS, PAGE = ROOT / "results" / "second_order_changes.json", ROOT / "docs" / "second_order.md"
MARKS = ("<!-- changes: start -->", "<!-- changes: end -->")
BACKBONES = {"resnet50": 112, "vgg11": 112, "inception_v4": 128, "efficientnet_b0": 112}
BATCH, WRONG = 32, 8
CONVOLUTIONS = {rule for rule in RULES if "conv" in getattr(rule, "__name__", "")}
SMOOTH = {functional.silu, functional.gelu, functional.hardswish}
PIECEWISE = set(RULES) - CONVOLUTIONS - SMOOTH - {functional.batch_norm}
LEFT_OUT = {
    "all changes": set[Any](),
    "without bilinear convolutions": CONVOLUTIONS,
    "without kinks as constants": PIECEWISE,
    "without frozen normalisation": {functional.batch_norm},
    "without smooth activations": SMOOTH,
}
UNCOUNTED = {"convolution", "convolution_backward", "mm", "addmm", "detach", "empty", "_unsafe_view"}


class Kernels(TorchDispatchMode):
    """Count FLOPs of products, and elements written by all other kernels."""

    def __init__(self):
        super().__init__()
        self.flops = self.elements = self.kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self.flops += 2 * result.numel() * args[1][0].numel()
        elif name == "convolution_backward":
            self.flops += 2 * args[0].numel() * args[2][0].numel() * sum(args[-1][:2])
        elif name in ("mm", "addmm"):
            self.flops += 2 * result.numel() * args[-1].shape[0]
        self.kernels += not func.is_view and name not in ("detach", "empty", "_unsafe_view")
        if not func.is_view and name not in UNCOUNTED:
            outputs = result if isinstance(result, tuple | list) else (result,)
            self.elements += sum(output.numel() for output in outputs if isinstance(output, Tensor))
        return result


def base(model: nn.Module, size: int, device: str) -> None:
    images = torch.zeros(BATCH, 3, size, size, device=device).uniform_()
    model.zero_grad(set_to_none=True)
    model.train()(images).square().mean().backward()


class SecondPass:
    """The second pass over the first images of a batch, whose own pass lies behind and is neither counted nor timed."""

    def __init__(self, model: nn.Module, size: int, device: str):
        self.model, self.shape, self.device = model.eval(), (3, size, size), device
        whole = torch.zeros(BATCH, *self.shape, device=device).uniform_()
        self.recall = Recall(list(model.modules()), BatchStatistics([], compiled=False), compiled=False)
        with self.recall.recorded(whole):
            self.first_logits = model(whole)
        self.whole, self.chosen = whole, torch.arange(WRONG, device=device)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)  # each run adds to a gradient, as in training

    def run(self, fast: bool, recalled: bool) -> None:
        """Go forward, take the gradient of a margin and go back through both."""
        images = self.whole[:WRONG].clone().requires_grad_()
        kernels = twice_differentiable(self.model) if fast else nullcontext()
        with kernels, self.recall.again(images, self.chosen) if recalled else nullcontext():
            logits = self.model.eval()(images)
        (gradient,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), images, create_graph=True)
        del logits
        (1 / (gradient.square().flatten(1).mean(1) + 1e-4)).sum().backward()


@contextmanager
def left_out(rules: set[Any]) -> Iterator[None]:
    kept = {rule: substitute for rule, substitute in RULES.items() if rule not in rules}
    with mock.patch.dict(RULES, kept, clear=True):
        yield


@contextmanager
def without_forms(*questions: str) -> Iterator[None]:
    """Answer no where a convolution is asked for a form of its own."""
    with ExitStack() as stack:
        for question in questions:
            stack.enter_context(mock.patch.object(convolution_forms._Convolution, question, return_value=False))
        yield


Variant = tuple[Callable[[], Any], bool, bool]


def variants() -> dict[str, Variant]:
    """Return each variant as a context to run in, whether `twice_differentiable` is on, whether values are recalled."""
    found: dict[str, Variant] = {"PyTorch's own": (nullcontext, False, False)}
    found |= {name: (lambda rules=rules: left_out(rules), True, True) for name, rules in LEFT_OUT.items()}
    found |= {"without full kernels as matrices": (lambda: without_forms("is_linear"), True, True)}
    small = ("is_small_depthwise", "is_pointwise")
    found |= {"without rules for small maps": (lambda: without_forms(*small), True, True)}
    return found | {"without recalled convolutions": (nullcontext, True, False)}


def counted(step: Callable[[], None]) -> dict[str, float]:
    with Kernels() as kernels:
        step()
    return {"flops": kernels.flops, "elements": kernels.elements, "kernels": kernels.kernels}


def processor_seconds(steps: dict[str, Callable[[], None]], turns: int = 5) -> dict[str, float]:
    """Return the least processor time of each step over a few turns after one to warm up."""
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(turns + 1):
        for name, step in steps.items():
            began = time.process_time()
            step()
            if turn:
                best[name] = min(best[name], time.process_time() - began)
    return best


def backbone_record(backbone: str, timed: bool) -> dict[str, Any]:
    size, record = BACKBONES[backbone], dict[str, Any]()

    def steps(device: str) -> dict[str, Callable[[], None]]:
        with torch.device(device):  # two networks: what a base step writes to buffers would be unknown to the recall
            model, other = (timm.create_model(backbone, num_classes=7) for _ in range(2))
        second_pass = SecondPass(other, size, device)

        def step(name: str) -> None:
            context, fast, recalled = variants()[name]
            with context():
                second_pass.run(fast, recalled)

        return {"base": lambda: base(model, size, device)} | {n: (lambda n=n: step(n)) for n in variants()}

    for name, step in steps("meta").items():
        record[name] = counted(step)
    if timed:
        torch.set_num_threads(1)
        for name, seconds in processor_seconds(steps("cpu")).items():
            record[name]["seconds"] = seconds
    return record


def table(records: dict[str, Any]) -> str:
    lines = ["| network | second pass | FLOPs | elements | kernels | time |", "|---|---|---|---|---|---|"]
    for backbone, record in records.items():
        whole = record["base"]
        for name, values in record.items():
            if name != "base":
                shares = [f"{values[key] / whole[key]:.3f}" for key in ("flops", "elements")]
                taken = f"{values['seconds'] / whole['seconds']:.2f}" if "seconds" in values else ""
                lines.append(f"| {backbone} | {name} | {' | '.join(shares)} | {values['kernels']} | {taken} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=list(BACKBONES))
    parser.add_argument("--time", action="store_true", help="measure processor seconds as well")
    options = parser.parse_args()
    records: dict[str, Any] = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    for backbone in options.backbones:
        new = backbone_record(backbone, options.time)
        for name, values in new.items():
            kept = records.get(backbone, {}).get(name, {}).get("seconds")
            if kept is not None:
                values.setdefault("seconds", kept)
        records[backbone] = new
        write_atomically(RECORDS, json.dumps(records, indent=1) + "\n")
    write_between(PAGE, MARKS, table(records))


if __name__ == "__main__":
    main()
