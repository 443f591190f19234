"""Keep the batch statistics of one forward pass, and use them as constants in another."""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import SyncBatchNorm, functional
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]

from danil.objectives.bilinear import frozen_normalization
from danil.objectives.normalization_records import Saved, Written
from danil.objectives.ranks import distributed_run, global_count
from danil.objectives.replaced_functions import ReplacedFunctions
from danil.objectives.second_pass import unmixed_batch_norm


class BatchStatistics:
    """Catch the statistics by which the BatchNorm layers among `modules` normalise one pass in train mode.

    Nothing is computed twice: an eager layer hands over what its kernel saves for its own backward. Where Python
    cannot see the kernel (a compiled network, SyncBatchNorm across ranks), the layer's momentum is 1 during the pass:
    it writes the batch's own mean and variance into its running statistics, which then get their ordinary update.
    A layer that is called n times has n records. A module of one's own that calls `batch_norm` is recognised by the
    running mean, or else the weight, that it hands over. Weight standardisation, a batch of one, stays untouched.

    Raises:
        ValueError: a layer's statistics cannot be caught, so that `"frozen"` has no meaning for it.
    """

    def __init__(self, modules: Sequence[nn.Module], *, compiled: bool):
        norms = [m for m in modules if isinstance(m, _BatchNorm) and (m.training or m.running_mean is None)]
        self._opaque = [m for m in norms if compiled or (isinstance(m, SyncBatchNorm) and distributed_run())]
        for module in norms:
            if _passed(module) is None and (module in self._opaque or not module.affine):
                _refuse(_name(module), "keeps no running statistics by which its call could be recognised")
        for module in modules:
            if isinstance(module, torch.jit.ScriptModule) and module.training and _tracks(module):
                _refuse(f"the {module.original_name} of a TorchScript module", "normalises out of sight")
        seen = [m for m in norms if m not in self._opaque]
        both = [(_key(m.running_mean, m.weight), _key(_passed(m), m.weight)) for m in seen]
        self._keys = {key: trained for evaluated, trained in both for key in (evaluated, trained)}
        self._layers = {_key(_passed(m), m.weight): _name(m) for m in norms}
        self._tracking = [m for m in modules if m.training and _tracks(m)]
        self._watched = not compiled and (bool(self._keys) or any(m.training for m in modules))
        self._records: dict[int, list[Saved | Written]] = defaultdict(list)
        self._own: dict[int, Tensor] = {}  # what calls outside of BatchNorm layers are recognised by
        self._evaluated: set[int] = set()  # layers that used their running statistics in spite of train mode
        self._images = 0

    @contextmanager
    def caught(self, images: Tensor) -> Generator[None]:
        """Catch the statistics of the one forward pass of `images` run inside; free where no layer uses any."""
        self._images = len(images)
        before = [_version(m) for m in self._tracking]
        with ExitStack() as stack:
            if self._opaque:
                stack.enter_context(self._momentum_one(images))
            if self._watched:
                stack.enter_context(ReplacedFunctions({functional.batch_norm: self._normalized}))
            yield
        for module, version in zip(self._tracking, before, strict=True):
            if _version(module) != version and id(getattr(module, "running_mean", None)) not in self._records:
                _refuse(_name(module), "updated its running statistics out of sight")
        for key, records in self._records.items():
            if len(records) > 1 and any(r.rows % self._images for r in records):
                self._refuse_parts(key)

    def layer(self, running_mean: Tensor | None, weight: Tensor | None) -> int | None:
        """Return what a call of `batch_norm` shares with all of its layer, if that hands its statistics over."""
        return self._keys.get(_key(running_mean, weight))

    def _called(self, running_mean: Tensor | None, weight: Tensor | None) -> int:
        """Return the key of a call: its layer's, else its own."""
        key = _key(running_mean, weight)
        return self._keys.get(key, key)

    @contextmanager
    def frozen(self, images: int) -> Generator[Callable[..., Tensor]]:
        """Give a stand-in for `batch_norm` that uses these statistics as constants, call by call.

        For one pass, over `images` of the images of the pass that they were caught in.

        Raises:
            ValueError: the calls of this pass and those of the other do not see the same images.
        """
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
            key = self._called(running_mean, weight)
            records = self._records.get(key)
            if records is None:
                if key in self._layers and key not in self._evaluated:
                    _refuse(self._layers[key], "ran in the second pass only")
                return unmixed_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
            record = records[calls[key]] if calls[key] < len(records) else None
            if record is None or (len(records) > 1 and len(input) * self._images != record.rows * images):
                self._refuse_parts(key)
            calls[key] += 1
            return frozen_normalization(input, *record.moments(input, eps, images), weight, bias)

        yield frozen
        for key, records in self._records.items():
            if calls[key] < len(records) and (calls[key] or key in self._own):  # auxiliary heads run in train mode only
                self._refuse_parts(key)

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
        key = self._called(running_mean, weight)
        if not training:
            self._evaluated.add(key)
        if not training or input.numel() <= input.shape[1] or not self._catches(key, input, running_mean, weight):
            return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        arguments: tuple[Any, ...] = (input, weight, bias, running_mean, running_var, True, momentum, eps)
        kernel: Any = torch.ops.aten._batch_norm_impl_index.default  # what `torch.batch_norm` calls
        output, mean, inverse_std, *_ = kernel(*arguments, torch.backends.cudnn.enabled)
        self._records[key].append(Saved(mean.detach(), inverse_std.detach(), len(input)))
        return output

    def _catches(self, key: int, input: Tensor, running_mean: Tensor | None, weight: Tensor | None) -> bool:
        """Say whether a call in train mode is to be caught here; learn one outside of BatchNorm layers."""
        if key in self._layers:
            return key in self._keys
        if running_mean is None and len(input) == 1:  # weight standardisation
            return False
        name = running_mean if running_mean is not None else weight
        if name is None:
            _refuse("a call of `batch_norm`", "has no running statistics and no weight to be recognised by")
        self._own[key] = name
        return True

    def _refuse_parts(self, key: int) -> NoReturn:
        _refuse(
            self._layers.get(key, "a call of `batch_norm`"),
            f"sees parts of the batch of {self._images} in turn (bags, chunks), or is called another number of times "
            "in eval mode: which statistics belong to which image cannot be told",
        )

    @contextmanager
    def _momentum_one(self, images: Tensor) -> Generator[None]:
        """Let each opaque layer write its batch's statistics, then give its buffers their ordinary update."""
        momenta = [m.momentum for m in self._opaque]
        old = [(_buffer(m.running_mean).clone(), _buffer(m.running_var).clone()) for m in self._opaque]
        started = torch.stack([_buffer(m.num_batches_tracked) for m in self._opaque])
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
                    self._records[_key(mean, None)].append(Written(mean.clone(), variance.clone(), count))
                factor = _update_factor(module, momentum) if completed else 0.0
                for buffer, value in zip((mean, variance), buffers, strict=True):
                    updated = value * (1 - factor) + buffer * factor if completed else value
                    buffer.data.copy_(updated)  # backward holds the buffer without reading it: no new version
        counts = torch.stack([_buffer(m.num_batches_tracked) for m in self._opaque]) - started
        for module, count in zip(self._opaque, counts.tolist(), strict=True):
            if count > 1:
                _refuse(
                    _name(module),
                    "is called more than once per pass, compiled or synchronised, which hides all but one",
                )
            if not count:
                del self._records[_key(module.running_mean, None)]


def _name(module: nn.Module) -> str:
    return f"a {type(module).__name__}"


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


def _refuse(layer: str, why: str) -> NoReturn:
    raise ValueError(
        f"normalization='frozen' needs the batch statistics of every layer, but {layer} {why}. Use "
        "normalization='coupled' or 'running', put that layer in eval mode, or call torch's own BatchNorm once on the "
        "whole batch."
    )
