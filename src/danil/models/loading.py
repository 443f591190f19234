"""Copy a file's tensors into a backbone: names matched, anything that does not fit refused."""

import re
from collections.abc import Mapping
from typing import Any

from timm.models import adapt_input_conv
from torch import Tensor, nn


class WeightsError(ValueError):
    """Say which weights could not be used, why, and what to give instead."""


def load_tensors(backbone: nn.Module, tensors: Mapping[str, Tensor], source: str, name: str) -> None:
    """Copy the tensors into the backbone, as float32; a classifier among them is left out.

    Prefixes such as `module.` or `backbone.` are recognised. Anything else that differs is an error: half-initialised
    networks train, badly, and say nothing.

    Raises:
        WeightsError: naming the first few tensors that are missing, unexpected or of another shape, and how many.
    """
    network: Any = backbone
    configuration: Mapping[str, Any] = network.pretrained_cfg
    own = backbone.state_dict()
    found = without_head(without_prefix(tensors, own), configuration.get("classifier"), own)
    first = f"{configuration.get('first_conv')}.weight"
    if first in found and first in own and found[first].ndim == 4 and own[first].shape[1] != found[first].shape[1]:
        found[first] = adapt_input_conv(own[first].shape[1], found[first])
    missing = [key for key in own if key not in found and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in found if key not in own and not key.endswith("num_batches_tracked")]
    shapes = [
        f"{key} ({shape(found[key])} in the file, {shape(own[key])} in the network)"
        for key in own
        if key in found and found[key].shape != own[key].shape
    ]
    if missing or unexpected or shapes:
        faults = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
        listing = "; ".join(f"{len(keys)} {kind}: {few(keys)}" for kind, keys in faults.items() if keys)
        raise WeightsError(
            f"{source} does not fit backbone `{name}` ({len(own)} tensors): {listing}. "
            "Give a file of this architecture, or the backbone that the file was made with."
        )
    broken = [key for key, value in found.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WeightsError(f"{source} holds NaN or infinite values in {few(broken)}. Get the file again.")
    backbone.load_state_dict({key: value.to(own[key].dtype) for key, value in found.items()}, strict=False)


def without_prefix(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the prefix that makes most of their names the network's, the prefix removed."""
    anchor = next(iter(own))
    prefixes = {key.removesuffix(anchor): None for key in tensors if key.endswith(anchor)} | {"": None}
    best = max(prefixes, key=lambda prefix: sum(prefix + key in tensors for key in own))
    return {key.removeprefix(best): value for key, value in tensors.items() if key.startswith(best)}


def without_head(tensors: Mapping[str, Tensor], classifier: Any, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors but those of timm's classifier for this network (one name or several)."""
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
    head = re.compile("|".join(rf"{re.escape(name)}\." for name in names) or "(?!)")
    return {key: value for key, value in tensors.items() if key in own or not head.match(key)}


def few(names: list[str], limit: int = 4) -> str:
    """Return the first few names, and how many more there are."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def shape(tensor: Tensor) -> str:
    """Return a tensor's shape as text, e.g. `64×3×7×7`."""
    return "×".join(map(str, tensor.shape)) if tensor.ndim else "scalar"
