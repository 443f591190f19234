"""DANIL: Distractor-Aware Neuron Intrinsic Learning for 2D medical image classification.

`import danil` gives floor 0, the training objectives; torch is loaded when the first of these names is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from danil.objectives import CrossEntropy as CrossEntropy
    from danil.objectives import DistractorAware as DistractorAware
    from danil.objectives import HardExamples as HardExamples
    from danil.objectives import Terms as Terms
    from danil.objectives import response_maps as response_maps
    from danil.objectives import twice_differentiable as twice_differentiable

__version__ = "0.1.0"
__all__ = ["CrossEntropy", "DistractorAware", "HardExamples", "Terms", "response_maps", "twice_differentiable"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("danil.objectives"), name)
    raise AttributeError(f"module `danil` has no attribute `{name}`")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
