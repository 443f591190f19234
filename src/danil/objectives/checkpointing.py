"""Activation checkpointing by the network's own code, which would replay its forward later and elsewhere."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from danil.objectives.replaced_functions import ReplacedFunctions

_internals: Any = torch._C  # pyright: ignore[reportPrivateUsage] # no public question answers what is asked


def _same(tensor: Tensor) -> Tensor:
    return tensor


def saving_hooks() -> Any:
    """Return what intercepts the tensors that autograd saves now, as checkpointing does, or `None`."""
    return _internals._autograd._top_saved_tensors_default_hooks(True)


def replayed(outer: Any) -> bool:
    """Say whether what is saved now is intercepted by other hooks than `outer`, which were there before."""
    return saving_hooks() not in (None, outer, (_same, _same))


class UncheckpointedFunctions(ReplacedFunctions):
    """Replace functions, and let what they save be saved even inside `checkpoint(…, use_reentrant=False)`.

    Its forward then has nothing to replay. Hooks that were there before (`save_on_cpu` around it all) stay in force.
    """

    def __init__(self, replacements: Mapping[Callable[..., Any], Callable[..., Any]]):
        super().__init__(replacements)
        self._outer = saving_hooks()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not replayed(self._outer):
            return super().__torch_function__(func, types, args, kwargs)
        with saved_tensors_hooks(_same, _same):
            return super().__torch_function__(func, types, args, kwargs)


def refuse_checkpointing(what: str, cause: Exception | None = None) -> NoReturn:
    """Say that the network's checkpointing has to go.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        f"the network checkpoints activations (`torch.utils.checkpoint`) {what}. Switch checkpointing off, or where it "
        "is the network's own code use `checkpoint(…, use_reentrant=False)`, with normalization='frozen' or 'running'."
    ) from cause
