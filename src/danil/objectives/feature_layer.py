"""Where response maps are taken: at the network's input, or at the output of a named module."""

import difflib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class LayerError(ValueError):
    """Say which module cannot give the tensor that response maps are taken at, and which can."""


@contextmanager
def tensor_at(model: nn.Module, layer: str | None) -> Generator[Callable[[Tensor], Tensor]]:
    """Give a function that, after the one forward pass run inside, turns its input into the tensor maps are taken at.

    Without `layer` that is the input itself. The module's output is handed on as a copy, so that an in-place activation
    behind it does not change what was caught; nothing else about the network changes, and the hook is removed.

    Raises:
        LayerError: there is no such module, it does not run exactly once, or its output is no tensor of the batch.
    """
    if layer is None:
        yield lambda inputs: inputs
        return
    outputs: list[Any] = []

    def keep(module: nn.Module, inputs: object, output: Any) -> Any:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            outputs.append(output)
            return output
        outputs.append(output if output.requires_grad else output.detach().requires_grad_())
        return outputs[-1].clone()

    handle = named_module(model, layer).register_forward_hook(keep)
    try:
        yield lambda inputs: only_output(outputs, layer, len(inputs))
    finally:
        handle.remove()


def named_module(model: nn.Module, layer: str) -> nn.Module:
    """Return the module of this name.

    Raises:
        LayerError: there is none; the nearest names are offered.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    if layer in modules:
        return modules[layer]
    near = difflib.get_close_matches(layer, modules, n=4, cutoff=0.4)
    offered = near or [name for name, _ in model.named_children()]
    raise LayerError(
        f"`layer` is {layer!r}, which is no module of this {type(model).__name__}. "
        f"{'Near it' if near else 'Its parts'}: {', '.join(offered)}."
    )


def only_output(outputs: list[Any], layer: str, size: int) -> Tensor:
    """Return the one output, a tensor with a row for each of `size` images."""
    if len(outputs) != 1:
        raise LayerError(
            f"`layer` is {layer!r}, which runs {len(outputs)} times in a forward pass; response maps are defined where "
            "it runs once. Name the module around it."
        )
    (output,) = outputs
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.dim() < 2 or len(output) != size:
        found = f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise LayerError(
            f"`layer` is {layer!r}, whose output is {found}; a floating-point tensor with a row for each of the {size} "
            "images is needed. Name another module."
        )
    return output
