"""Images made worse in stated ways: blur, noise, JPEG, at the size the network sees."""

import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

Kind = Literal["clean", "blur", "noise", "jpeg", "pgd"]
UNITS: dict[Kind, str] = {
    "clean": "",
    "blur": "Gaussian, σ in pixels",
    "noise": "Gaussian, σ in grey levels of 255",
    "jpeg": "quality of 100",
    "pgd": "L∞ radius in grey levels of 255",
}


@dataclass(frozen=True)
class Condition:
    """Hold what is done to the test images and how strongly (`UNITS` says in which unit)."""

    kind: Kind
    strength: float = 0.0

    @property
    def name(self) -> str:
        """Return a short name that is also a file's: `blur-2`."""
        return self.kind if self.kind == "clean" else f"{self.kind}-{self.strength:g}"


CONDITIONS: tuple[Condition, ...] = (
    Condition("clean"),
    *(Condition("blur", sigma) for sigma in (1, 2, 4)),
    *(Condition("noise", sigma) for sigma in (8, 16, 32)),
    *(Condition("jpeg", quality) for quality in (50, 20, 10)),
    *(Condition("pgd", radius) for radius in (0.125, 0.25, 0.5, 1)),
)
"""The conditions of `danil evaluate RUN --robustness`, mild to strong."""


def corrupted(images: Tensor, condition: Condition, paths: Sequence[str], seed: int = 0) -> Tensor:
    """Return uint8 images `(B, 3, S, S)` after blur, noise or JPEG; `clean` returns them as they are.

    Noise depends on `seed` and the image's path alone, so that every network meets the same.
    """
    if condition.kind == "clean":
        return images
    if condition.kind == "blur":
        side = 2 * min(math.ceil(3 * condition.strength), (min(images.shape[2:]) - 1) // 2) + 1
        return functional.gaussian_blur(images, [side, side], [condition.strength, condition.strength])
    if condition.kind == "noise":
        noise = torch.stack([torch.randn(images.shape[1:], generator=generator_of(path, seed)) for path in paths])
        return (images.float() + condition.strength * noise).round().clamp(0, 255).to(torch.uint8)
    if condition.kind == "jpeg":
        return torch.stack([compressed(image, int(condition.strength)) for image in images])
    raise ValueError(f"`condition` is `{condition.name}`, which needs the network: use `pgd_images`.")


def compressed(image: Tensor, quality: int) -> Tensor:
    """Return `(3, H, W)` uint8 after one round through JPEG with Pillow's default chroma subsampling."""
    stream = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as stored:
        return torch.from_numpy(np.array(stored)).permute(2, 0, 1)


def generator_of(path: str, seed: int) -> torch.Generator:
    """Return random numbers that belong to this image and seed."""
    name = f"{seed} {path}".encode("utf-8", "surrogateescape")
    return torch.Generator().manual_seed(zlib.crc32(name))  # PyTorch's generator reads 32 bits of a seed, no more
