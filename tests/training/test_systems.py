"""What every system a recipe can name keeps, on every backbone. A new system adds one line to `SYSTEMS`."""

import functools
import math

import numpy as np
import pytest
import torch

from danil.data import Images, read_source
from danil.data.fake import write_fake
from danil.models import create_model, minimum_size
from danil.runs import read_recipe
from danil.runs.prediction import Normalization, predicted_probabilities
from danil.training.objective import create_objective
from danil.training.run import create_sampler

BACKBONES = ("resnet50", "vgg11", "inception_v4", "efficientnet_b0")
SYSTEMS = {
    # name: tasks, head, preprocessing, views, parts beside the cross-entropy
    "base": (1, "linear", "none", 1),
    "ohem": (1, "linear", "none", 1),
    "batch_selection": (1, "linear", "none", 1),
    "dil": (1, "dropout", "fundus", 8),
    "canet_single": (1, "canet_single", "none", 1),
    "multitask": (2, "linear", "none", 1),
    "canet": (2, "canet", "none", 1),
}
NAMES = [(name, danil) for name in SYSTEMS for danil in (False, True)]


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """A set with one task and a set with two."""
    two = read_source(str(write_fake("idrid", tmp_path_factory.mktemp("idrid")))).take(range(8))
    return {1: read_source("synthetic:fundus?images=8&size=80"), 2: two}


@functools.lru_cache(maxsize=1)
def network(backbone, head, tasks):
    torch.manual_seed(0)
    return create_model(backbone, dict(tasks), weights="none", head=head)


def recipe_of(name, danil, backbone, *settings):
    chosen = ("objective.name=danil", f"objective.base={name}") if danil else (f"objective.name={name}",)
    size = 64 if backbone == "test_resnet" else minimum_size(backbone)
    return read_recipe("paper", [*chosen, f"data.size={size}", f"model.backbone={backbone}", *settings])


def check(name, danil, backbone, manifests):
    count, head, preprocess, views = SYSTEMS[name]
    recipe, manifest = recipe_of(name, danil, backbone), manifests[count]
    assert (recipe.head, recipe.data.preprocess, recipe.data.views) == (head, preprocess, views)
    model = network(backbone, recipe.head, tuple(manifest.tasks.items())).train()
    model.zero_grad(set_to_none=True)
    images = Images(manifest, recipe.data.size, preprocess=recipe.data.preprocess, augmentation=recipe.augment)
    batch = images.batch(np.arange(4))
    targets = batch.targets if count > 1 or not recipe.by_task else {manifest.task: batch.targets}
    normalize = Normalization(model.mean, model.std, torch.device("cpu"), channels_last=False)
    terms = create_objective(recipe, manifest)(model, normalize(batch.images), targets)
    assert set(terms.parts) == ({"cross_entropy", "distractor"} if danil else {"cross_entropy"})
    torch.testing.assert_close(sum(terms.parts.values()), terms.total)
    assert math.isfinite(float(terms.total.detach()))
    assert terms.losses.shape == (4,)
    terms.total.backward()
    missing = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.isfinite().all()]
    assert not missing
    plain = Images(manifest, recipe.data.size, preprocess=recipe.data.preprocess).batch(np.arange(2)).images
    found = predicted_probabilities(model, [plain], manifest.task, normalize=normalize, views=recipe.data.views)
    assert {task: values.shape for task, values in found.items()} == {
        task: (2, len(names)) for task, names in manifest.tasks.items()
    }
    assert all(np.allclose(values.sum(1), 1) for values in found.values())


@pytest.mark.parametrize(("name", "danil"), NAMES)
def test_every_system_keeps_the_contract_with_and_without_danil(name, danil, manifests):
    check(name, danil, "test_resnet", manifests)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("name", "danil"), NAMES)
def test_every_system_keeps_the_contract_on_the_papers_backbones(name, danil, backbone, manifests):
    check(name, danil, backbone, manifests)


def test_danil_on_a_system_has_that_system_s_loss_and_one_margin_a_task(manifests):
    """Distances by one gradient of each image's margin, the network in eval mode (running statistics)."""
    settings = ("objective.normalization=running", "objective.weight=1.0", "objective.task_weight=0.25")
    recipe = recipe_of("canet", True, "test_resnet", *settings)
    manifest = manifests[2]
    model = network("test_resnet", "canet", tuple(manifest.tasks.items())).double().eval()
    images = torch.randn(4, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = {"DR": torch.tensor([0, 1, 2, 3]), "DME": torch.tensor([0, 1, -1, 2])}
    terms = create_objective(recipe, manifest)(model, images, targets)
    plain = create_objective(recipe_of("canet", False, "test_resnet", "objective.task_weight=0.25"), manifest)
    torch.testing.assert_close(terms.parts["cross_entropy"], plain(model, images, targets).total)
    expected = 0.0
    for task, weight, known in (("DR", 1.0, 4), ("DME", 0.25, 3)):
        for row, label in enumerate(targets[task].tolist()):
            x = images[row : row + 1].clone().requires_grad_()
            logits = model(x)[task][0]
            rival = int(logits.argmax())
            if label >= 0 and rival != label:
                (a,) = torch.autograd.grad(logits[rival] - logits[label], x)
                expected += weight / known / (float(a.square().mean()) + 1e-4)
    network.cache_clear()
    assert float(terms.parts["distractor"].detach()) == pytest.approx(expected, rel=1e-7)
    assert expected > 0


@pytest.mark.parametrize("name", ["base", "canet_single"])
def test_class_weights_weigh_the_loss_and_leave_the_margin_alone(name, manifests):
    """A class with weight 2 counts twice in the mean, under a CANet head too (its answers go by task)."""
    from danil.training.objective import class_weights

    manifest = manifests[1]
    model = network("test_resnet", recipe_of(name, False, "test_resnet").head, tuple(manifest.tasks.items())).eval()
    images, labels = torch.randn(8, 3, 64, 64), torch.from_numpy(manifest.labels())
    targets = {manifest.task: labels} if name == "canet_single" else labels
    terms = {}
    for balance in ("none", "weights"):
        settings = (f"train.balance={balance}", "objective.normalization=running")
        objective = create_objective(recipe_of(name, True, "test_resnet", *settings), manifest)
        terms[balance] = objective(model, images, targets)
    weights = class_weights(manifest)[labels]
    assert weights.unique().numel() > 1
    losses = terms["none"].losses
    expected = (weights * losses).sum() / weights.sum()
    torch.testing.assert_close(terms["weights"].parts["cross_entropy"].detach(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["weights"].parts["distractor"], terms["none"].parts["distractor"])


def test_batch_selection_takes_its_constants_from_the_recipe(manifests):
    settings = ("objective.pressure=16", "objective.pressure_end=4", "objective.refresh_every=2", "train.epochs=3")
    sampler = create_sampler(recipe_of("batch_selection", True, "test_resnet", *settings), manifests[1])
    assert [sampler.pressure(epoch) for epoch in range(3)] == pytest.approx([16, 8, 4])
    assert [sampler.refresh(epoch) for epoch in range(3)] == [True, False, True]
