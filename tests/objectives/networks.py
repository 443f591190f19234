"""Small networks in float64 and batches for them: every kind of layer that the method treats differently."""

import torch
from torch import Tensor, nn

CLASSES = 4


class SharedNorm(nn.Module):
    """Use one BatchNorm twice in a pass, so that it has two sets of batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3)
        self.second = nn.Conv2d(5, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.first(x)))
        return self.head(torch.tanh(self.norm(self.second(x))).mean((2, 3)))


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = plain()[:-1]
        self.heads = nn.ModuleDict({"a": nn.Linear(7, CLASSES), "b": nn.Linear(7, 2)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        return {name: head(features) for name, head in self.heads.items()}


def plain(classes: int = CLASSES) -> nn.Sequential:
    """Convolutions without any normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 7, 3),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(7, classes),
    )


def normalized(classes: int = CLASSES) -> nn.Sequential:
    """BatchNorm in two and in one dimension."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.BatchNorm2d(6, affine=False),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.Linear(8, classes),
    )


def instance_normalized() -> nn.Sequential:
    """InstanceNorm that tracks statistics, GroupNorm and LayerNorm: none looks at another image in train mode."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.InstanceNorm2d(6, affine=True, track_running_stats=True),
        nn.ReLU(),
        nn.GroupNorm(2, 6),
        nn.Flatten(),
        nn.LayerNorm(6 * 6 * 6),
        nn.Linear(6 * 6 * 6, CLASSES),
    )


def made(factory: object, seed: int = 0) -> nn.Module:
    """Return the network in float64 and train mode, with random affine parameters and running statistics."""
    torch.manual_seed(seed)
    network: nn.Module = factory().double().train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
            if module.running_mean is not None:
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    return network


def batch(size: int = 6, classes: int = CLASSES, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, 8, 8, dtype=torch.float64, generator=generator)
    return images, torch.randint(classes, (size,), generator=generator)


def predictions(network: nn.Module, images: Tensor) -> Tensor:
    """Return the train-mode predictions, leaving the running statistics as they are."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        classes = network(images).argmax(1)
    network.load_state_dict(state)
    return classes


def half_wrong(network: nn.Module, images: Tensor, classes: int = CLASSES) -> Tensor:
    """Return labels by which every second image is predicted wrongly."""
    predicted = predictions(network, images)
    wrong = torch.arange(len(images)) % 2
    return (predicted + wrong) % classes


def gradients(value: Tensor, network: nn.Module) -> list[Tensor]:
    parameters = list(network.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
