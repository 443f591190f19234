"""Training objectives: guests in anyone's training loop (floor 0, torch only).

>>> import torch
>>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
>>> images, targets = torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0])
>>> terms = DistractorAware()(model, images, targets)
>>> terms.total.backward()
"""

from danil.objectives.cross_disease import CrossDisease
from danil.objectives.cross_entropy import CrossEntropy
from danil.objectives.distractor_aware import DistractorAware
from danil.objectives.feature_layer import LayerError
from danil.objectives.guards import NonFiniteLossError, check_finite
from danil.objectives.hard_examples import HardExamples
from danil.objectives.image_loss import ImageLoss
from danil.objectives.response_maps import ResponseMaps, response_maps
from danil.objectives.second_order import twice_differentiable
from danil.objectives.small_maps import small_maps
from danil.objectives.terms import Logits, Objective, Targets, Terms
from danil.objectives.weighted_tasks import WeightedTasks

# fmt: off
__all__ = [
    "CrossDisease", "CrossEntropy", "DistractorAware", "HardExamples", "ImageLoss", "LayerError", "Logits",
    "NonFiniteLossError", "Objective", "ResponseMaps", "Targets", "Terms", "WeightedTasks", "check_finite",
    "response_maps", "small_maps", "twice_differentiable",
]
