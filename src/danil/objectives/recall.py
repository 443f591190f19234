"""Recognise in a second pass the convolutions of the first, so that none is computed twice for an image.

Values are numbered, in both passes alike: the images are 0; a call of a row-wise operation on numbered values gets the
number of an earlier call of the same function on values of the same numbers, with the same parameters (by identity and
version) and the same other arguments, or a new one. So, by induction, two values of one number are the same value, the
second pass's being some rows of the first's, whatever the network's code does between: training flags, dropout, noise
or data from elsewhere give another number or none. The output of a convolution that is numbered, and that autograd
still holds as it was, is then looked up instead of computed; everything else is computed as ever.
"""

import weakref
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from danil.objectives import row_operations as operations
from danil.objectives.batch_statistics import BatchStatistics
from danil.objectives.held import Held
from danil.objectives.replaced_functions import unseen
from danil.objectives.row_operations import CONVOLUTIONS, ELEMENTWISE, PLAIN, ROW_WISE
from danil.objectives.second_order import replaceable
from danil.objectives.substitutes import RULES

IMAGES = 0


class Recall:
    """Hold the numbers of one first pass, and no tensor of it alive.

    Args:
        modules: all of the network's, whose own tensors are the only ones that may enter besides the images.
        statistics: those of the first pass by which BatchNorm layers normalise in the second as well.
        compiled: compiled code runs out of sight, so that nothing can be recalled.
    """

    def __init__(self, modules: Sequence[nn.Module], statistics: BatchStatistics, *, compiled: bool):
        self.statistics, self._compiled = statistics, compiled
        tensors = (t for m in modules for kind in ("_parameters", "_buffers") for t in vars(m).get(kind, {}).values())
        self.own = {id(t): t for t in tensors if t is not None and not is_lazy(t) and not t.is_inference()}
        self.numbers: dict[Any, int] = {}
        self.convolutions: dict[int, Held] = {}
        self.rectified: set[int] = set()  # convolutions whose memory holds their ReLU, written as the next operation
        self._images: Held | None = None

    @contextmanager
    def recorded(self, images: Tensor) -> Generator[None]:
        """Number the values of the one pass over `images` inside. Where no graph is recorded nothing could be held."""
        if self._compiled or not torch.is_grad_enabled() or images.is_inference():
            yield
            return
        self._images = Held(weakref.ref(images), images._version, IMAGES)
        with _First(self, images):
            yield

    @contextmanager
    def again(self, inputs: Tensor, chosen: Tensor) -> Generator["_Second | None"]:
        """Recall in a pass over `inputs`, the `chosen` rows of the first one's images, unless those have changed.

        What a pass that goes astray wrote to the network's buffers is undone.
        """
        if self._images is None or self._images.found() is None:
            yield None
            return
        kept = [(b, b._version, b.clone()) for b in self.own.values() if self.rectified and type(b) is not nn.Parameter]
        with _Second(self, inputs, chosen) as second:
            yield second
        for buffer, version, value in kept if second.astray else ():
            if buffer._version != version:
                buffer.detach().copy_(value)

    def end(self) -> None:
        """Recall nothing any more, nor in a later pass."""
        self._images = None
        self.convolutions.clear()


class _Pass(TorchFunctionMode):
    """Number values as they are made."""

    def __init__(self, recall: Recall, images: Tensor):
        super().__init__()
        self.recall = recall
        self._device = images.device.type
        self._held: dict[int, Held] = {}
        self._calls: Counter[int] = Counter()
        self.bind(images, IMAGES)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if operations.opens_memory(func):
            self.recall.end()
        if operations.reads_an_attribute(func):
            return func(*args, **named)
        with unseen():
            kept = self.number(args[0]) if operations.keeps_values(func, args, named) else None
            key = self.key(func, args, named)
        return self.called(func, args, named, kept, key)

    def called(self, func: Any, args: tuple[Any, ...], named: dict[str, Any], number: int | None, key: Any) -> Any:
        """Make the call; `number` is that of the value it passes on, `key` what else it computes."""

    def bind(self, value: Any, number: int) -> None:
        with unseen():
            if type(value) is Tensor and not value.is_inference():
                self._held[id(value)] = Held(weakref.ref(value), value._version, number)

    def number(self, value: Any) -> int | None:
        held = self._held.get(id(value))
        return held.number if held is not None and held.found() is value else None

    def key(self, func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what the call computes, as something hashable; `None` where it may depend on anything else."""
        try:
            if func in ELEMENTWISE:
                return self._elementwise(func, args, named)
            if func is F.batch_norm:
                return self._batch_norm(*args, **named)
            if func in ROW_WISE and args and ROW_WISE[func](*args, **named):
                others = self._written((args[1:], tuple(sorted(named.items()))), images=False)
                return func, self._written(args[0], own=False), others, operations.precision(self._device)
        except TypeError:  # an argument without a number or a hash, or a call that PyTorch will refuse
            pass
        return None

    def _elementwise(self, func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        tensors = [a for a in (*args, *named.values()) if isinstance(a, Tensor)]
        ranks = {t.dim() for t in tensors if self.number(t) is not None}
        alike = (t.dim() < max(ranks) or t.shape[0] == 1 for t in tensors if self.number(t) is None)
        if len(ranks) != 1 or not all(alike):
            return None
        return func, self._written((args, tuple(sorted(named.items())))), operations.precision(self._device)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Any:
        layer = self.recall.statistics.layer(running_mean, weight)
        if layer is not None and (training or isinstance(self, _Second)):
            self._calls[layer] += 1
            constants = (layer, self._calls[layer])
        elif layer is not None or training or running_mean is None:
            return None
        else:
            constants = self._written((running_mean, running_var), images=False)
        affine = self._written((weight, bias, eps), images=False)
        return F.batch_norm, self._written(input, own=False), constants, affine, operations.precision(self._device)

    def _written(self, value: Any, images: bool = True, own: bool = True) -> Any:
        """Return an argument with numbers in place of tensors; which kinds of tensor it may hold is the caller's."""
        kind = type(value)
        if kind in PLAIN:
            return kind, value
        if isinstance(value, Tensor):
            number = self.number(value)
            if number is not None and images:
                return "image", number
            if number is None and own and id(value) in self.recall.own:
                return "own", id(value), value._version
            raise TypeError
        if isinstance(value, tuple | list):
            return tuple([self._written(item, images, own) for item in value])
        raise TypeError


class _First(_Pass):
    """Number the first pass, and remember where the convolutions' outputs lie."""

    _last: tuple[int, Tensor] | None = None  # the number and output of a convolution that nothing has used yet

    def called(self, func: Any, args: tuple[Any, ...], named: dict[str, Any], number: int | None, key: Any) -> Any:
        last, self._last = self._last, None
        result = func(*args, **named)
        numbers = self.recall.numbers
        if key is not None:
            number = numbers.setdefault(key, len(numbers) + 1)
        if number is None or type(result) is not Tensor or result.is_inference():
            return result
        self.bind(result, number)
        if func in CONVOLUTIONS:
            self.recall.convolutions[number] = self._held[id(result)]
            self.recall.rectified.discard(number)
            self._last = number, result
        elif last is not None and last[1] is result and operations.rectifies_in_place(func, args, named):
            self.recall.convolutions[last[0]] = Held(weakref.ref(result), result._version, last[0])
            self.recall.rectified.add(last[0])
        return result


class _Second(_Pass):
    """Number the second pass, and look convolutions up.

    `astray` says afterwards that a rectified output was looked up and then used by something else than the ReLU: the
    pass is void and must be run again without recalling.
    """

    astray = False

    def __init__(self, recall: Recall, images: Tensor, chosen: Tensor):
        super().__init__(recall, images)
        self._chosen = chosen
        self._rectified: Tensor | None = None

    def called(self, func: Any, args: tuple[Any, ...], named: dict[str, Any], number: int | None, key: Any) -> Any:
        if self._rectified is not None:
            self.astray |= not (operations.rectifies_in_place(func, args, named) and args[0] is self._rectified)
            self._rectified = None
        number = self.recall.numbers.get(key, number) if key is not None else number
        result = self._looked_up(func, args, named, number)
        if result is NotImplemented:
            result = func(*args, **named)
        if number is not None:
            self.bind(result, number)
        return result

    def __exit__(self, *exception: Any) -> None:
        self.astray |= self._rectified is not None
        return super().__exit__(*exception)

    def _looked_up(self, func: Any, args: tuple[Any, ...], named: dict[str, Any], number: int | None) -> Any:
        held = self.recall.convolutions.get(number) if number is not None and func in CONVOLUTIONS else None
        with unseen():
            whole, rule = None if held is None else held.found(), RULES.get(func)
            if whole is None or rule is None or not replaceable(*args, *named.values()):
                return NotImplemented
            result = rule(*args, **named, known=lambda: operations.rows(whole.detach(), self._chosen))
        if number in self.recall.rectified and result is not NotImplemented:
            self._rectified = result
        return result
