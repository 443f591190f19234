"""The second forward pass: on the bare module, deterministic, and without a trace."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]

from danil.objectives.checkpointing import UncheckpointedFunctions
from danil.objectives.second_order import twice_differentiable

_WRAPPERS = {"DistributedDataParallel": "module", "_FabricModule": "module", "OptimizedModule": "_orig_mod"}
_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}


def bare_module(model: nn.Module) -> nn.Module:
    """Return the network inside DistributedDataParallel, Fabric's and the compiler's wrappers, found by class name.

    An attribute `module` of any other class is that network's own business and is not followed.

    Raises:
        ValueError: parameters are sharded (FSDP) or the network is replicated over threads (DataParallel).
    """
    return _unwrapped(model)[-1]


def received_images(model: nn.Module, images: Tensor) -> Tensor:
    """Return the images as the bare network receives them: Fabric's wrapper casts them to its parameters' precision."""
    *wrappers, bare = _unwrapped(model)
    if not images.is_floating_point() or not any("_FabricModule" in _names(wrapper) for wrapper in wrappers):
        return images
    return images.to(next((p.dtype for p in bare.parameters() if p.is_floating_point()), images.dtype))


def _names(model: nn.Module) -> set[str]:
    return {base.__name__ for base in type(model).__mro__}


def _unwrapped(model: nn.Module) -> list[nn.Module]:
    """Return the model and what its wrappers hold in turn, the bare network last."""
    found = [model]
    while True:
        names = _names(model)
        if names & _SHARDED or any(_SHARDED & _names(child) for child in model.children()):
            raise ValueError(
                "the network is sharded by FSDP, whose parameters exist only inside its own forward; the "
                "distractor-aware loss runs part of the batch a second time, in which ranks without a wrong image "
                "would not take part. "
                "Use DDP (Fabric: strategy='ddp'), or train this network with another objective."
            )
        if "DataParallel" in names:
            raise ValueError(
                "the network is wrapped in nn.DataParallel, whose replicas run in threads out of sight. "
                "Use DistributedDataParallel (torchrun, or Fabric: strategy='ddp')."
            )
        attribute = next((_WRAPPERS[name] for name in _WRAPPERS if name in names), None)
        if attribute is None:
            return found
        model = getattr(model, attribute)
        found.append(model)


def is_compiled(model: nn.Module, modules: Sequence[nn.Module]) -> bool:
    """Say whether `torch.compile` was applied to the model or any of its modules, by wrapping or in place."""
    every = (model, *model.children(), *modules)
    return any(
        "_orig_mod" in vars(m).get("_modules", ()) or vars(m).get("_compiled_call_impl") is not None for m in every
    )


@contextmanager
def second_pass(
    bare: nn.Module, modules: Sequence[nn.Module], images: Tensor, batch_norm: Callable[..., Tensor]
) -> Generator[None]:
    """Give exact second derivatives, each image on its own, with dropout and stochastic depth off.

    All modules are in eval mode inside, except instance normalisation, which goes on using its instance's statistics.
    `batch_norm` stands in for the function of that name. Compiled code runs eagerly, activation checkpointing has no
    effect, the global random state and every module's mode are restored.
    """
    replacements: dict[Callable[..., Any], Callable[..., Any]] = dict.fromkeys(_DROPOUTS, _unchanged)
    replacements[functional.instance_norm] = untracked_instance_norm
    replacements[functional.scaled_dot_product_attention] = _undropped_attention
    replacements[functional.batch_norm] = batch_norm
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([images.device] if images.device.type == "cuda" else []))
        stack.enter_context(switched_modes(modules, kept=_InstanceNorm))
        stack.enter_context(eager())
        stack.enter_context(twice_differentiable(bare))
        stack.enter_context(UncheckpointedFunctions(replacements))
        yield


@contextmanager
def eager() -> Generator[None]:
    """Run compiled functions eagerly inside: the compiler's code has no second derivative."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled, and loading it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def switched_modes(modules: Sequence[nn.Module], kept: type[nn.Module] | tuple[()] = ()) -> Generator[None]:
    """Put all modules in eval mode without activation checkpointing inside, each flag restored as it was.

    Those of the class `kept` stay as they are (the eval mode of instance normalisation is another function). Modules
    with a `train` method of their own (timm's LeViT drops a cache of parameters there) have it called on the way back.
    """
    flags = ("training", "grad_checkpointing", "gradient_checkpointing", "use_checkpoint")
    found = [(m, f) for m in modules for f in flags if _flag(m, f) is True and not isinstance(m, kept)]
    special = [m for m in modules if m.training and type(m).train is not nn.Module.train]
    try:
        for module, flag in found:
            setattr(module, flag, False)
        yield
    finally:
        modes = [(m, m.training) for m in modules] if special else []
        for module in special:
            module.train()
        for module, mode in modes:
            module.training = mode
        for module, flag in found:
            setattr(module, flag, True)


def _flag(module: nn.Module, name: str) -> object:
    """Return a module's own attribute; a property is no flag, but for the mode of TorchScript, which lies in C++."""
    scripted = name == "training" and isinstance(module, torch.jit.ScriptModule)
    return module.training if scripted else module.__dict__.get(name)


_DROPOUTS: tuple[Callable[..., Any], ...] = (
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
    functional.alpha_dropout,
    functional.feature_alpha_dropout,
    torch.dropout,
)


def unmixed_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return what `batch_norm` does, unless it mixes images; weight standardisation, a batch of one, is none.

    Raises:
        ValueError: it uses batch statistics, as a layer without running statistics does in eval mode too.
    """
    if training and len(input) > 1:
        raise ValueError(
            "a layer uses batch statistics in eval mode too (as BatchNorm with `track_running_stats=False` does), so "
            "that the response map of an image would depend on its neighbours. Let it track running statistics, or "
            "train with normalization='coupled', which means such maps."
        )
    return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _unchanged(input: Tensor, *_: object, **__: object) -> Tensor:
    return input


def _undropped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **others: Any,
) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask, 0.0, is_causal, **others)


def untracked_instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return what `instance_norm` does, without a trace in the running statistics where it uses the instance's own."""
    if use_input_stats:
        running_mean = running_var = None
        if len(input) == 1 and not input.is_contiguous():  # the CPU kernel has wrong gradients of one channels-last row
            return functional.group_norm(input, input.shape[1], weight, bias, eps)
    return functional.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
