"""A tensor as it was, without keeping it alive."""

import weakref
from typing import NamedTuple

from torch import Tensor


class Held(NamedTuple):
    """A tensor, not kept alive, as it was at one version of its memory; `number` is the caller's name for its value."""

    tensor: "weakref.ref[Tensor]"
    version: int
    number: int

    def found(self) -> Tensor | None:
        """Return the tensor, `None` where it is gone or was written to."""
        tensor = self.tensor()
        return tensor if tensor is not None and tensor._version == self.version else None
