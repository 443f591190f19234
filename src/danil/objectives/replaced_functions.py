"""Stand-ins for functions of `torch`, for the duration of a context."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_internals: Any = torch._C  # pyright: ignore[reportPrivateUsage] # the public context hides from subclasses alone
unseen = _internals.DisableTorchFunction
"""A context inside which no mode sees a call; else each look that a mode takes at a tensor goes through the others."""


class ReplacedFunctions(TorchFunctionMode):
    """Call another function wherever the code inside calls one of the given ones, with the same arguments.

    Sees eager Python only: not TorchScript, not compiled code, not other threads. A stand-in that calls the original
    reaches the original (or an outer context's stand-in), not itself.
    """

    def __init__(self, replacements: Mapping[Callable[..., Any], Callable[..., Any]]):
        super().__init__()
        self._replacements = dict(replacements)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self._replacements.get(func, func)(*args, **(kwargs or {}))
