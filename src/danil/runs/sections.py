"""The sections of a recipe: every key, its type, its range and its default."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """Refuse unknown keys, `true` and `false` for a number, and change after validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a truth value where the key takes none; pydantic would make it 1 or 0."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("this key does not take `true` or `false`")
        return value


class Data(Section):
    """Say where images come from (`READER:PATH`) and how they are prepared; `limit` images of each part for trials.

    `fit` makes an image square: `crop` takes the largest centred square, `stretch` changes the aspect, `pad` adds
    black. `preprocess = "fundus"` crops to the retina's disk and evens out its colours. `cache = "memory"` decodes each
    image once and keeps its pixels, `none` decodes whenever an image is needed; `workers` processes prepare the batches
    (0: the training's own); the result depends on neither. `views` symmetries of the square are fused at prediction (1:
    the image alone).
    """

    source: str | None = None
    size: Annotated[int, Field(ge=16, le=4096)] = 224
    fit: Literal["crop", "stretch", "pad"] = "crop"
    preprocess: Literal["none", "fundus"] = "none"
    limit: Count | None = None
    cache: Literal["memory", "none"] = "memory"
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    views: Literal[1, 2, 4, 8] = 1


class Split(Section):
    """Say how images are divided: `auto` takes official parts, else (with `groups`) keeps groups together, else draws.

    `test` and `validation` are shares of all images; every draw is stratified by the main label. `file`, written by
    `danil split`, is taken instead of a draw.
    """

    kind: Literal["auto", "random", "grouped", "official", "column"] = "auto"
    groups: bool = True
    test: Share = 0.2
    validation: Share = 0.15
    seed: Seed = 0
    file: str | None = None


class Model(Section):
    """Name the backbone (any timm name) and its initial weights (`hub`, `package`, `none`, `auto` or a file).

    `weights = "auto"` is `package` where the backbone is `tf_efficientnet_lite0` and the package is installed, else
    `hub`. `dropout` is the share of pooled features dropped in training; `none` takes the system's own: 0.5 with `dil`,
    0.3 with `canet` and `canet_single`, else 0.
    """

    backbone: str = "resnet50"
    weights: str = "hub"
    dropout: Share | None = None


System = Literal["base", "ohem", "batch_selection", "multitask", "dil", "canet", "canet_single"]


class Objective(Section):
    """Name the training objective and its constants (docs/method.md; λ is `weight`, ε is `epsilon`).

    `base` is what DANIL's term is added to: `name = "danil"` with `base = "ohem"` is DANIL on OHEM. `task_weight`: of
    every task but the main one, in its loss and in its distractor term. `auxiliary_weight`: of CANet's auxiliary
    losses. `keep`: share of a batch that OHEM keeps. `pressure` to `pressure_end`, `refresh_every` epochs: s_e and the
    losses' refresh in online batch selection.
    """

    name: Literal["danil"] | System = "danil"
    base: System = "base"
    weight: NonNegative = 1e-5
    epsilon: Positive = 1e-4
    formulation: Literal["margin", "literal"] = "margin"
    normalization: Literal["frozen", "coupled", "running"] = "frozen"
    map_scale: Literal["sample", "batch"] = "sample"
    distance: Literal["mean", "sum"] = "mean"
    form: Literal["reciprocal", "log"] = "reciprocal"
    strength: Positive | None = None
    detach: bool = False
    rival: Literal["predicted", "runner_up"] = "predicted"
    layer: str | None = None
    keep: Annotated[float, Field(gt=0, le=1)] = 0.7
    pressure: Annotated[float, Field(ge=1)] = 100.0
    pressure_end: Annotated[float, Field(ge=1)] = 1.0
    refresh_every: Count = 1
    task_weight: NonNegative = 1.0
    auxiliary_weight: NonNegative = 0.25
    label_smoothing: Share = 0.0

    @property
    def system(self) -> System:
        """Return what decides network, sampler and preparation: the name, or what DANIL is added to."""
        return self.base if self.name == "danil" else self.name


class Train(Section):
    """Say how weights are updated; `select` keeps the last epoch or the best one on the validation part.

    `batch_size` counts the images of all `devices` together. `optimizer` is one of timm's names; `sgd` is plain SGD
    (timm's `momentum`), `nesterov` is timm's `sgd`, and `momentum` acts in these two alone. `weight_decay` leaves out
    biases and normalisation. The rate rises over `warmup_epochs` (at most `epochs` − 1), linearly from 1 % of `lr`
    towards `lr`; then `constant` stays at `lr`, and `cosine` follows a half cosine that began at `lr` at step 0 and
    ends at 1 % of it after `epochs`, so that warm-up ends on that curve, below `lr`. `balance = "weights"` weighs the
    classes in the loss, `sampler` shows each equally often. `clip` is the largest norm of the gradient. `ema` is the
    decay of a moving average of the weights, which is then what is validated and predicts (0: none). `patience`:
    training stops after so many epochs without a better validation macro-F1, with `select = "best"` only. `precision`
    is Lightning Fabric's; the mixed ones use autocast. `measure_every`: the log's `gradient_ratio` is measured every so
    many steps, at about one more backward pass each (0: never, but every 16 steps with `objective.strength`).
    `max_steps` ends the training after so many steps; the schedule is still that of `epochs`. `recompute_statistics`
    training images (0: none), rounded down to whole batches where they fill one, give BatchNorm its running statistics
    anew before each evaluation. A checkpoint is written after each epoch, every `save_every` steps (0: not) and every
    `save_minutes` (0: not). `deterministic` asks for kernels that give the same bits every time, which on a GPU costs
    speed.
    """

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    batch_size: Count = 32
    optimizer: str = "adamw"
    lr: Positive = 3e-4
    momentum: Share = 0.9
    weight_decay: NonNegative = 0.05
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: Annotated[int, Field(ge=0)] = 1
    balance: Literal["none", "sampler", "weights"] = "weights"
    clip: Positive | None = None
    ema: Share = 0.0
    select: Literal["last", "best"] = "best"
    patience: Count | None = None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: Count = 1
    channels_last: bool = True
    compile: bool = False
    deterministic: bool = False
    save_every: Annotated[int, Field(ge=0)] = 0
    save_minutes: NonNegative = 10.0
    measure_every: Annotated[int, Field(ge=0)] = 0
    max_steps: Count | None = None
    recompute_statistics: Annotated[int, Field(ge=0)] = 0


class Augment(Section):
    """Say how training images vary; strengths are fractions, `rotate` degrees; 0 switches one off."""

    flip: bool = True
    rotate90: bool = True
    crop: Share = 0.15
    brightness: Share = 0.1
    contrast: Share = 0.1
    saturation: Share = 0.1
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    scale: Share = 0.0
