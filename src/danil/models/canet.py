"""CANet's attention for joint grading of two diseases, on any backbone's last feature map (docs/method.md, "CANet").

Li et al., "CANet: Cross-disease Attention Network for Joint Diabetic Retinopathy and Diabetic Macular Edema Grading",
IEEE TMI 2020; written from its equations as docs/method.md states them. `canet_single` is the form for one disease.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

REDUCTION = 16
WIDTH = 1024


class Bottleneck(nn.Sequential):
    """Map `(B, N)` to `(B, N)` by W₂ relu(W₁ x), without bias, through N / 16 units."""

    def __init__(self, width: int, reduction: int = REDUCTION) -> None:
        hidden = max(1, width // reduction)
        super().__init__(nn.Linear(width, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, width, bias=False))


class ChannelGate(nn.Module):
    """Weigh each channel of `(B, C, h, w)` by σ(W₂relu(W₁ GAP F) + W₂relu(W₁ GMP F)); returns `(B, C, 1, 1)`."""

    def __init__(self, channels: int, reduction: int = REDUCTION) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(channels, reduction)

    def forward(self, features: Tensor) -> Tensor:
        """Return the weights, each in (0, 1)."""
        weights = torch.sigmoid(self.bottleneck(features.mean((2, 3))) + self.bottleneck(features.amax((2, 3))))
        return weights[:, :, None, None]


class SpatialGate(nn.Module):
    """Weigh each place of `(B, C, h, w)` by σ(BN(conv7×7[max_c; mean_c])); returns `(B, 1, h, w)`."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the weights, each in (0, 1)."""
        summary = torch.cat([features.amax(1, keepdim=True), features.mean(1, keepdim=True)], 1)
        return torch.sigmoid(self.norm(self.convolution(summary)))


class DiseaseAttention(nn.Module):
    """Reduce the feature map to one disease: channel gate, spatial gate, GAP, dropout, FC → f `(B, 1024)`."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.channel_gate = ChannelGate(channels)
        self.spatial_gate = SpatialGate()
        self.dropout = nn.Dropout(dropout)
        self.layer = nn.Linear(channels, WIDTH)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return f `(B, 1024)` and the spatial gate `(B, 1, h, w)`."""
        gated = features * self.channel_gate(features)
        places = self.spatial_gate(gated)
        return self.layer(self.dropout((gated * places).mean((2, 3)))), places


class CrossAttention(nn.Module):
    """Give g = f · σ(2·MLP(f)), the part of one disease's features that helps to grade the other."""

    def __init__(self) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        """Return g, `(B, 1024)`."""
        return features * torch.sigmoid(2 * self.bottleneck(features))


class CrossDiseaseHead(nn.Module):
    """Map the last feature map `(B, C, h, w)` to final logits, and to auxiliary ones under `aux/<task>`.

    r_i = f_i + Σ_{j≠i} g_j (two diseases: r_DR = f_DR + g_DME and the reverse); with one task r = f + g. The output is
    always a mapping.
    """

    def __init__(self, channels: int, tasks: Mapping[str, Sequence[str]], dropout: float = 0.3) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.diseases = nn.ModuleList(DiseaseAttention(channels, dropout) for _ in tasks)
        self.crosses = nn.ModuleList(CrossAttention() for _ in tasks)
        self.auxiliaries = nn.ModuleList(nn.Linear(WIDTH, len(names)) for names in tasks.values())
        self.finals = nn.ModuleList(nn.Linear(WIDTH, len(names)) for names in tasks.values())

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return final logits by task, then auxiliary logits by `aux/<task>`."""
        own = [disease(features)[0] for disease in self.diseases]
        final = [layer(refined) for layer, refined in zip(self.finals, self.refined(own), strict=True)]
        auxiliary = [layer(found) for layer, found in zip(self.auxiliaries, own, strict=True)]
        names = (*self.tasks, *(f"aux/{task}" for task in self.tasks))
        return dict(zip(names, chain(final, auxiliary), strict=True))

    def refined(self, own: list[Tensor]) -> list[Tensor]:
        """Return r_i of each task from f_i of each task, all `(B, 1024)`."""
        crossed = [cross(found) for cross, found in zip(self.crosses, own, strict=True)]
        if len(own) == 1:
            return [own[0] + crossed[0]]
        return [sum(crossed[:place] + crossed[place + 1 :], start=found) for place, found in enumerate(own)]

    def pooled(self, features: Tensor) -> Tensor:
        """Return every task's r side by side, `(B, 1024 T)`."""
        return torch.cat(self.refined([disease(features)[0] for disease in self.diseases]), 1)

    def attention_maps(self, features: Tensor) -> dict[str, Tensor]:
        """Return each task's spatial gate, `(B, 1, h, w)` in (0, 1)."""
        return {task: disease(features)[1] for task, disease in zip(self.tasks, self.diseases, strict=True)}

    @property
    def last_layer_names(self) -> tuple[str, ...]:
        """Return the names of the modules that give the final logits, one per task."""
        return tuple(f"finals.{place}" for place in range(len(self.finals)))
