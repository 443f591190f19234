"""The classifier: a backbone and a head, for one task or several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor, nn

from danil.models.backbones import feature_map, keep_feature_map_only, map_width, pooled_width
from danil.models.canet import CrossDiseaseHead
from danil.models.heads import LinearHead
from danil.models.weights import initialized_backbone

HeadName = Literal["linear", "dropout", "canet", "canet_single"]
DROPOUT: dict[str, float] = {"linear": 0.0, "dropout": 0.5, "canet": 0.3, "canet_single": 0.3}


class Classifier(nn.Module):
    """Map normalised images `(B, 3, H, W)` to logits: `(B, K)` for one task, task → `(B, K)` for several.

    A CANet head always returns a mapping, auxiliary logits under `aux/<task>`. `mean` and `std` are what pixels in
    [0, 1] must be normalised with; `tasks` maps each task to its class names, in the order of the logits.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: LinearHead | CrossDiseaseHead,
        tasks: Mapping[str, Sequence[str]],
        normalization: tuple[tuple[float, ...], tuple[float, ...]] = ((0.0,) * 3, (1.0,) * 3),
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.tasks = {task: tuple(names) for task, names in tasks.items()}
        self.mean, self.std = normalization

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the logits."""
        if isinstance(self.head, CrossDiseaseHead):
            return self.head(self.feature_map(images))
        return self.head(self.backbone(images))

    def features(self, images: Tensor) -> Tensor:
        """Return what the last layer sees, dropout left out: `(B, D)`, with a CANet head `(B, 1024 T)`."""
        if isinstance(self.head, CrossDiseaseHead):
            return self.head.pooled(self.feature_map(images))
        return self.backbone(images)

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the backbone's last feature map, `(B, C, h, w)`.

        Raises:
            BackboneError: the backbone has none (vision transformers).
        """
        return feature_map(self.backbone, images)

    def attention_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return each task's spatial attention, `(B, 1, h, w)` in (0, 1); empty without a CANet head."""
        if isinstance(self.head, CrossDiseaseHead):
            return self.head.attention_maps(self.feature_map(images))
        return {}

    @property
    def last_layer_names(self) -> tuple[str, ...]:
        """Return the names of the modules that give the logits, one per task."""
        return tuple(f"head.{name}" for name in self.head.last_layer_names)


def create_model(
    backbone: str,
    tasks: Mapping[str, Sequence[str]],
    *,
    weights: str | Path = "hub",
    dropout: float | None = None,
    head: HeadName = "linear",
    in_chans: int = 3,
) -> Classifier:
    """Return a classifier on any timm backbone.

    Args:
        backbone: a row of `danil.models.BACKBONES` or any timm name.
        tasks: task → class names, in the order of the logits; the first task is the main one.
        weights: `hub`, `package`, `none`, `auto`, or a file; the head is always new (see `danil.models.weights`).
        dropout: share of the last layer's inputs dropped in training, in [0, 1); `None` takes the head's own:
            0 (`linear`), 0.5 (`dropout`), 0.3 (CANet).
        head: `linear` or `dropout`, a linear layer per task on shared pooled features; `canet`, cross-disease attention
            on the last feature map, and `canet_single`, the same for exactly one task.
        in_chans: channels of the images; `mean` and `std` are averaged where it is not 3.

    Raises:
        BackboneError: timm has no such backbone, or it has no feature map and `head` needs one.
        WeightsError: the weights cannot be had, or do not fit.
        ValueError: `tasks`, `dropout` or `head` is out of range.
    """
    share = checked(tasks, dropout, head)
    network = initialized_backbone(backbone, weights, in_chans)
    if head in ("canet", "canet_single"):
        keep_feature_map_only(network, backbone, in_chans)
        top = CrossDiseaseHead(map_width(network), tasks, share)
    else:
        top = LinearHead(pooled_width(network), tasks, share)
    return Classifier(network, top, tasks, normalization(network, in_chans))


def checked(tasks: Mapping[str, Sequence[str]], dropout: float | None, head: str) -> float:
    """Return the head's dropout after checking what the caller chose."""
    if head not in get_args(HeadName):
        raise ValueError(f"`head` is `{head}`; it must be one of {', '.join(get_args(HeadName))}.")
    if not tasks:
        raise ValueError("`tasks` is empty; give at least one task with its class names, e.g. {'label': ('a', 'b')}.")
    for task, names in tasks.items():
        if task.startswith("aux/"):
            raise ValueError(
                f"`tasks` has `{task}`; names that begin with `aux/` are kept for auxiliary logits. Rename it."
            )
        if isinstance(names, str) or len(set(names)) < max(2, len(names)):
            raise ValueError(f"`tasks` has `{task}` with classes {names!r}; it needs at least two, all different.")
    if head == "canet_single" and len(tasks) != 1:
        raise ValueError(f"`head` is `canet_single` with {len(tasks)} tasks; it grades one. Use `canet` for several.")
    share = DROPOUT[head] if dropout is None else dropout
    if not 0 <= share < 1:
        raise ValueError(f"`dropout` is {dropout}; it is the share of features dropped and must lie in [0, 1).")
    return share


def normalization(backbone: nn.Module, in_chans: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation, one number per channel, that the backbone's weights were trained with."""
    network: Any = backbone
    mean, std = (tuple(float(value) for value in network.pretrained_cfg[name]) for name in ("mean", "std"))
    if in_chans == len(mean):
        return mean, std
    return (sum(mean) / len(mean),) * in_chans, (sum(std) / len(std),) * in_chans
