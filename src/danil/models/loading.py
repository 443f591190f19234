"""Copy a file's tensors into a backbone: names matched, anything that does not fit refused."""

import sys
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import timm
import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn

AUXILIARY = "AuxLogits"  # torchvision's Inception has a second classifier
CONVERSIONS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
FOREIGN = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class WeightsError(ValueError):
    """Say which weights could not be used, why, and what to give instead."""


def load_tensors(backbone: nn.Module, tensors: Mapping[str, Tensor], source: str, name: str) -> None:
    """Copy the tensors into the backbone, as float32; a classifier among them is left out.

    Prefixes such as `module.` or `backbone.` are recognised, and names and shapes that timm converts (torchvision's
    VGG) where the file's own do not fit. Anything else that differs is an error: half-initialised networks train,
    badly, and say nothing.

    Raises:
        WeightsError: naming the first few tensors that are missing, unexpected, of another shape or kind, and how many;
            or the prefixes of several networks.
    """
    own = backbone.state_dict()
    prefix, *rivals = best_prefixes(tensors, own)
    named = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    found = fitted(named, backbone, source)
    if misfits(found, own):
        other = fitted(converted(named, backbone, name), backbone, source)
        found = min(found, other, key=lambda tensors: sum(map(len, misfits(tensors, own).values())))
    faults = misfits(found, own)
    if faults:
        listing = "; ".join(f"{len(keys)} {kind}: {few(keys)}" for kind, keys in faults.items())
        raise WeightsError(
            f"{source} does not fit backbone `{name}` ({len(own)} tensors): {listing}. "
            "Give a file of this architecture, or the backbone that the file was made with."
        )
    check_one_network(tensors, own, (prefix, *rivals), source)
    check_values(found, own, source)
    backbone.load_state_dict({key: found[key].to(own[key].dtype) for key in own if key in found}, strict=False)


def best_prefixes(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Return the prefix that makes most of the tensors' names the network's; several where they make equally many."""
    anchor = next(iter(own))
    prefixes = dict.fromkeys([*(key.removesuffix(anchor) for key in tensors if key.endswith(anchor)), ""])
    counts = {prefix: sum(prefix + key in tensors for key in own) for prefix in prefixes}
    return [prefix for prefix, count in counts.items() if count == max(counts.values())]


def fitted(named: Mapping[str, Tensor], backbone: nn.Module, source: str) -> dict[str, Tensor]:
    """Return the tensors without a classifier, the first convolution adapted to the network's channels as timm does.

    Raises:
        WeightsError: timm cannot adapt it.
    """
    network: Any = backbone
    configuration: Mapping[str, Any] = network.pretrained_cfg
    own = backbone.state_dict()
    found = without_head(named, configuration.get("classifier"), own)
    first = f"{configuration.get('first_conv')}.weight"
    if first in found and first in own and found[first].ndim == 4 and own[first].shape[1] != found[first].shape[1]:
        there, here = found[first].shape[1], own[first].shape[1]
        try:
            found[first] = adapt_input_conv(here, found[first])
        except (AssertionError, NotImplementedError) as error:
            raise WeightsError(
                f"{source} does not fit: `{first}` takes {there} channels there and {here} in the network, and only 3 "
                f"can be adapted. Give a file made for 3 or {here} channels, or take `in_chans={there}`."
            ) from error
    return found


def without_head(tensors: Mapping[str, Tensor], classifier: Any, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors but those of timm's classifier for this network (one name or several).

    All under the classifier's parent (`head.`, with its normalisation) goes where the network has nothing there.
    """
    names = {AUXILIARY, *((classifier,) if isinstance(classifier, str) else classifier or ())}
    parents = {name.rpartition(".")[0] for name in names} - {""}
    names |= {parent for parent in parents if not any(key.startswith(f"{parent}.") for key in own)}
    heads = tuple(f"{name}." for name in names)
    return {key: value for key, value in tensors.items() if key in own or not key.startswith(heads)}


def converted(named: Mapping[str, Tensor], backbone: nn.Module, name: str) -> dict[str, Tensor]:
    """Return the tensors as timm converts them for this architecture; unchanged where it does not, or cannot."""
    module = sys.modules[timm.model_entrypoint(name).__module__]
    convert: Callable[..., Mapping[str, Any]] | None = next(
        (getattr(module, conversion) for conversion in CONVERSIONS if hasattr(module, conversion)), None
    )
    if convert is None:
        return dict(named)
    try:
        arguments = (dict(named), backbone)[: len(signature(convert).parameters)]
        return {key: value for key, value in convert(*arguments).items() if isinstance(value, Tensor)}
    except FOREIGN:
        return dict(named)


def misfits(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return the names of the tensors that are missing, unexpected or of another shape, by fault; empty if none are."""
    shapes = [
        f"{key} ({shape(found[key])} in the file, {shape(own[key])} in the network)"
        for key in own
        if key in found and found[key].shape != own[key].shape
    ]
    faults = {
        "missing": [key for key in own if key not in found and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in found if key not in own and not key.endswith("num_batches_tracked")],
        "of another shape": shapes,
    }
    return {kind: keys for kind, keys in faults.items() if keys}


def check_one_network(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], prefixes: tuple[str, ...], source: str
) -> None:
    """Raise `WeightsError` where tensors under the prefixes differ: which network is meant is not ours to guess."""
    first, *others = prefixes
    for other in others:
        pairs = [(tensors.get(first + key), tensors.get(other + key)) for key in own]
        if not all(a is b or (a is not None and b is not None and same(a, b)) for a, b in pairs):
            raise WeightsError(
                f"{source} holds several networks that differ, under "
                f"{' and '.join(f'`{prefix}`' if prefix else 'no prefix' for prefix in (first, other))}. "
                "Save the tensors under the one you mean alone."
            )


def check_values(found: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    """Raise `WeightsError` where a tensor is no floating-point one but the network's is, or is not finite."""
    floating = [key for key in own if key in found and own[key].is_floating_point()]
    wrong = [f"{key} ({found[key].dtype})" for key in floating if found[key].dtype not in FLOATS]
    if wrong:
        raise WeightsError(
            f"{source} holds numbers of another kind than the network's float32 in {few(wrong)}. "
            "Save the weights as float32, float16 or bfloat16; of a quantized network give the original."
        )
    broken = [key for key in own if key in found and found[key].is_floating_point() and not found[key].isfinite().all()]
    if broken:
        raise WeightsError(f"{source} holds NaN or infinite values in {few(broken)}. Get the file again.")


def same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal in kind, shape and values."""
    return one.dtype == other.dtype and torch.equal(one, other)


def few(names: list[str], limit: int = 4) -> str:
    """Return the first few names, and how many more there are."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def shape(tensor: Tensor) -> str:
    """Return a tensor's shape as text, e.g. `64×3×7×7`."""
    return "×".join(map(str, tensor.shape)) if tensor.ndim else "scalar"
