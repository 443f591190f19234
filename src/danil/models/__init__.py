"""Networks: backbones over timm, heads for one or several tasks, CANet, and where initial weights come from (floor 1).

- `backbones`: the table (`BACKBONES`), `minimum_size`
- `classifier`: `create_model`, `Classifier`
- `heads`, `canet`: `LinearHead`, `CrossDiseaseHead`
- `weights`: hub, file, package, none
- `loading`: a file's tensors into a backbone, `WeightsError`
"""

from danil.models.backbones import BACKBONES, BackboneError, minimum_size
from danil.models.canet import CrossDiseaseHead
from danil.models.classifier import Classifier, create_model
from danil.models.heads import LinearHead
from danil.models.loading import WeightsError

__all__ = [
    "BACKBONES",
    "BackboneError",
    "Classifier",
    "CrossDiseaseHead",
    "LinearHead",
    "WeightsError",
    "create_model",
    "minimum_size",
]
