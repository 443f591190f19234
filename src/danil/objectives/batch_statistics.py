"""Keep the batch statistics of one forward pass, and use them as constants in another."""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import SyncBatchNorm, functional
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]

from danil.objectives.bilinear import frozen_normalization
from danil.objectives.ranks import distributed_run, global_count
from danil.objectives.replaced_functions import ReplacedFunctions


class _Saved(NamedTuple):
    """What the layer's kernel saved for its own backward."""

    mean: Tensor
    inverse_std: Tensor

    def moments(self, input: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        del input, eps
        return self.mean, self.inverse_std


class _Written(NamedTuple):
    """What a layer wrote to its running statistics at momentum 1: the batch's mean and its unbiased variance."""

    mean: Tensor
    variance: Tensor
    images: Tensor | int

    def moments(self, input: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        count = self.images * (input.numel() / (input.shape[0] * input.shape[1]))
        return self.mean, torch.rsqrt(self.variance * ((count - 1) / count) + eps)


class BatchStatistics:
    """Catch the statistics by which the BatchNorm layers among `modules` normalise one pass in train mode.

    Nothing is computed twice: an eager layer hands over what its kernel saves for its own backward. Where Python
    cannot see the kernel (a compiled network, SyncBatchNorm across ranks), the layer's momentum is 1 during the pass:
    it writes the batch's own mean and variance into its running statistics, which then get their ordinary update.
    A layer that is called n times has n records. Other calls of `batch_norm` (weight standardisation) stay untouched.

    Raises:
        ValueError: a layer's statistics cannot be caught, so that `"frozen"` has no meaning for it.
    """

    def __init__(self, modules: Sequence[nn.Module], *, compiled: bool):
        norms = [m for m in modules if isinstance(m, _BatchNorm) and (m.training or m.running_mean is None)]
        self._opaque = [m for m in norms if compiled or (isinstance(m, SyncBatchNorm) and distributed_run())]
        for module in norms:
            if _passed(module) is None and (module in self._opaque or not module.affine):
                _refuse(module, "keeps no running statistics by which its call could be recognised")
        seen = [m for m in norms if m not in self._opaque]
        both = [(_key(m.running_mean, m.weight), _key(_passed(m), m.weight)) for m in seen]
        self._keys = {key: trained for evaluated, trained in both for key in (evaluated, trained)}
        self._tracking = [m for m in modules if m.training and _tracks(m)]
        self._records: dict[int, list[_Saved | _Written]] = defaultdict(list)

    @contextmanager
    def caught(self, images: Tensor) -> Generator[None]:
        """Catch the statistics of the one forward pass of `images` run inside; free where no layer uses any."""
        before = [_version(m) for m in self._tracking]
        with ExitStack() as stack:
            if self._opaque:
                stack.enter_context(self._momentum_one(images))
            if self._keys:
                stack.enter_context(ReplacedFunctions({functional.batch_norm: self._normalized}))
            yield
        for module, version in zip(self._tracking, before, strict=True):
            if _version(module) != version and id(getattr(module, "running_mean", None)) not in self._records:
                _refuse(module, "updated its running statistics out of sight")

    def layer(self, running_mean: Tensor | None, weight: Tensor | None) -> int | None:
        """Return what a call of `batch_norm` shares with all of its layer, if that hands its statistics over."""
        return self._keys.get(_key(running_mean, weight))

    def normalization(self) -> Callable[..., Tensor]:
        """Return a stand-in for `batch_norm` that uses these statistics as constants, call by call, for one pass."""
        calls: Counter[int] = Counter()

        def frozen(
            input: Tensor,
            running_mean: Tensor | None,
            running_var: Tensor | None,
            weight: Tensor | None = None,
            bias: Tensor | None = None,
            training: bool = False,
            momentum: float = 0.1,
            eps: float = 1e-5,
        ) -> Tensor:
            key = _key(running_mean, weight)
            key = self._keys.get(key, key)
            records = self._records.get(key, ())
            if calls[key] >= len(records):
                if records and isinstance(records[0], _Written):
                    raise ValueError(
                        "a BatchNorm layer is called more than once per pass in a compiled or synchronised network, "
                        "where only its last statistics can be caught. "
                        "Use the network uncompiled, or normalization='running'."
                    )
                return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
            mean, inverse_std = records[calls[key]].moments(input, eps)
            calls[key] += 1
            return frozen_normalization(input, mean, inverse_std, weight, bias)

        return frozen

    def _normalized(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        key = self.layer(running_mean, weight)
        if not training or key is None or input.numel() <= input.shape[1]:  # the last: PyTorch's own error
            return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        arguments: tuple[Any, ...] = (input, weight, bias, running_mean, running_var, True, momentum, eps)
        kernel: Any = torch.ops.aten._batch_norm_impl_index.default  # what `torch.batch_norm` calls
        output, mean, inverse_std, *_ = kernel(*arguments, torch.backends.cudnn.enabled)
        self._records[key].append(_Saved(mean.detach(), inverse_std.detach()))
        return output

    @contextmanager
    def _momentum_one(self, images: Tensor) -> Generator[None]:
        """Let each opaque layer write its batch's statistics, then give its buffers their ordinary update."""
        momenta = [m.momentum for m in self._opaque]
        old = [(_buffer(m.running_mean).clone(), _buffer(m.running_var).clone()) for m in self._opaque]
        completed = False
        try:
            for module in self._opaque:
                module.momentum = 1.0
            yield
            completed = True
        finally:
            for module, momentum, buffers in zip(self._opaque, momenta, old, strict=True):
                module.momentum = momentum
                mean, variance = _buffer(module.running_mean), _buffer(module.running_var)
                if completed:
                    group = module.process_group if isinstance(module, SyncBatchNorm) else None
                    count = global_count(images, group) if isinstance(module, SyncBatchNorm) else len(images)
                    self._records[_key(mean, None)].append(_Written(mean.clone(), variance.clone(), count))
                factor = _update_factor(module, momentum) if completed else 0.0
                for buffer, value in zip((mean, variance), buffers, strict=True):
                    updated = value * (1 - factor) + buffer * factor if completed else value
                    buffer.data.copy_(updated)  # backward holds the buffer without reading it: no new version


def _passed(module: _BatchNorm) -> Tensor | None:
    """Return the running mean that the layer hands to `batch_norm` in train mode; in eval mode it hands what it has."""
    return module.running_mean if module.track_running_stats else None


def _key(running_mean: Tensor | None, weight: Tensor | None) -> int:
    return id(weight if running_mean is None else running_mean)


def _buffer(value: Tensor | nn.Module | None) -> Tensor:
    assert isinstance(value, Tensor)  # layers without running statistics were refused
    return value


def _update_factor(module: _BatchNorm, momentum: float | None) -> float:
    if momentum is not None:
        return momentum
    return 1.0 / float(_buffer(module.num_batches_tracked))  # PyTorch's cumulative average


def _tracks(module: nn.Module) -> bool:
    return isinstance(getattr(module, "running_var", None), Tensor) and not isinstance(module, _InstanceNorm)


def _version(module: nn.Module) -> int:
    return _buffer(module.running_var)._version  # pyright: ignore[reportPrivateUsage]


def _refuse(module: nn.Module, why: str) -> NoReturn:
    raise ValueError(
        f"normalization='frozen' needs the batch statistics of every layer, but a {type(module).__name__} {why}. "
        "Use normalization='running' (or 'coupled'), put that layer in eval mode, or use torch's own BatchNorm."
    )
