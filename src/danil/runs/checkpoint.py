"""Checkpoints: one safetensors file with its state as JSON and a digest; never a pickle."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from danil.data.atomic import write_atomically

HEADER_LIMIT = 100_000_000
"""Bytes that safetensors takes a header to have at the most."""


class CheckpointError(ValueError):
    """Say which checkpoint could not be used and why."""


@dataclass(frozen=True)
class Checkpoint:
    """Hold what a checkpoint file held: a tree of plain values and tensors, and where it was read."""

    state: dict[str, Any]
    path: Path


def write_checkpoint(path: str | Path, state: Mapping[str, Any]) -> Path:
    """Write a tree of dicts, lists, tensors, arrays and plain values to one safetensors file, atomically.

    An existing file is kept beside it as `<name>.previous.safetensors`, so that damage to one costs one save at most.
    At every moment, that of a kill or a full disk too, the file there is the old one or the new one, whole.

    Raises:
        OSError: the disk is full or the folder cannot be written; the file there is untouched.
    """
    target = Path(path)
    tensors: dict[str, Tensor] = {}
    tree = packed(state, tensors)
    metadata = {"state": json.dumps(tree), "digest": digest(tensors, tree)}
    return write_atomically(target, save(tensors, metadata), keep=previous(target))


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Return the checkpoint in this file.

    Raises:
        CheckpointError: the file is missing, truncated, not a checkpoint of ours, or its digest does not match.
    """
    target = Path(path)
    try:
        content = (
            target.read_bytes()
        )  # once: `safe_open` goes by the name twice, and a run may replace the file between
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
        tree = json.loads(metadata["state"])
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint `{target}` does not exist.") from error
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"checkpoint `{target}` is damaged or not a danil checkpoint: {error}.") from error
    try:
        whole = metadata.get("digest") == digest(tensors, tree)
        state = unpacked(tree, tensors) if whole else None
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"checkpoint `{target}` is not a danil checkpoint: {error!r}.") from error
    if not whole:
        raise CheckpointError(f"checkpoint `{target}` is damaged: its digest does not match its content.")
    if not isinstance(state, dict):
        raise CheckpointError(f"checkpoint `{target}` is not a danil checkpoint: it holds no table of values.")
    return Checkpoint(state, target)


def stored_value(path: str | Path, key: str) -> Any:
    """Return a plain value of a checkpoint from its header: no tensor is read and no digest checked.

    Raises:
        CheckpointError: the file is missing, has no sound header, or holds no such plain value.
    """
    try:
        with Path(path).open("rb") as stream:
            length = min(int.from_bytes(stream.read(8), "little"), HEADER_LIMIT)
            metadata: dict[str, str] = json.loads(stream.read(length))["__metadata__"]
        return unpacked(dict(json.loads(metadata["state"])["items"])[key], {})
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"checkpoint `{path}` has no `{key}`: {error!r}.") from error


def latest_checkpoint(path: str | Path) -> Checkpoint | None:
    """Return the newest sound checkpoint of this name, with a warning where an older one has to do; `None` without any.

    Raises:
        CheckpointError: files are there, but none is sound.
    """
    target = Path(path)
    older = previous(target)  # with it alone the newest one is missing, which is told as a fault
    candidates = [target, older] if older.exists() else [target] if target.exists() else []
    faults: list[str] = []
    for file in candidates:
        try:
            found = read_checkpoint(file)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        if faults:
            warnings.warn(f"{faults[0]} Going on from `{file}`, one save earlier.", stacklevel=2)
        return found
    if faults:
        raise CheckpointError(" ".join(faults) + " Start again with `--overwrite`.")
    return None


def previous(path: Path) -> Path:
    """Return where the save before this one is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value as JSON, its tensors moved into `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, np.ndarray):
        return {"array": packed(torch.from_numpy(value), tensors)["tensor"]}
    if isinstance(value, Mapping):
        return {"items": [[key, packed(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list):
        return [packed(item, tensors) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [packed(item, tensors) for item in value]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds tensors, arrays and plain values, not {type(value).__name__}")


def unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the tree that `packed` was given (from older checkpoints tuples come back as lists)."""
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        if "array" in value:
            return tensors[value["array"]].numpy()
        if "tuple" in value:
            return tuple(unpacked(item, tensors) for item in value["tuple"])
        if "dtype" in value:
            return known_dtype(value["dtype"])
        return {key: unpacked(item, tensors) for key, item in value["items"]}
    if isinstance(value, list):
        return [unpacked(item, tensors) for item in value]
    return value


def known_dtype(name: str) -> torch.dtype:
    """Return PyTorch's type of numbers of this name."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"`{name}` is no type of numbers")
    return found


def digest(tensors: Mapping[str, Tensor], tree: Any) -> str:
    """Return the SHA-256 (hex) of the tree, and of the tensors' names, types, shapes and bytes."""
    total = hashlib.sha256(json.dumps(tree).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return total.hexdigest()
