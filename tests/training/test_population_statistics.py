import copy

import pandas as pd
import pytest
import torch
from torch import nn

from danil.runs import read_checkpoint
from danil.training import train_run
from danil.training.population_statistics import recompute_statistics
from training.conftest import assert_bit_equal, outcome


@pytest.fixture
def network() -> nn.Module:
    """Two normalised layers, with what must stay quiet between them, in train mode, after some training steps."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)]
    model = nn.Sequential(*layers)
    model(torch.rand(6, 3, 9, 9) * 3)
    return model


@pytest.fixture
def batches() -> list[torch.Tensor]:
    """Batches of different sizes and different brightness."""
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(size, 3, 9, 9, generator=generator) * scale for size, scale in ((4, 1.0), (7, 3.0), (2, 0.5))]


def statistics(model: nn.Module) -> list[torch.Tensor]:
    """Return the running statistics of both layers."""
    return [buffer for layer in (model[1], model[5]) for buffer in (layer.running_mean, layer.running_var)]


def values(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Return all values of each channel, `(C, N)` float64."""
    return torch.cat([tensor.transpose(0, 1).flatten(1) for tensor in tensors], 1).double()


def test_recomputed_statistics_are_mean_and_variance_of_all_values_that_reach_the_layer(network, batches):
    first = [network[0](images).detach() for images in batches]
    normalised = [
        nn.functional.batch_norm(part, None, None, network[1].weight, network[1].bias, True) for part in first
    ]
    second = [network[4](part.relu()).detach() for part in normalised]
    recompute_statistics(network, batches)
    for layer, parts in ((network[1], first), (network[5], second)):
        torch.testing.assert_close(layer.running_mean.double(), values(parts).mean(1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(layer.running_var.double(), values(parts).var(1), rtol=1e-5, atol=1e-6)


def test_one_batch_gives_what_pytorch_stores_at_momentum_one(network, batches):
    stored = copy.deepcopy(network)
    stored[3].eval()
    for layer in (stored[1], stored[5]):
        layer.momentum = 1.0
    stored(batches[0])
    recompute_statistics(network, batches[:1])
    torch.testing.assert_close(statistics(network), statistics(stored))


def test_images_shared_by_two_processes_give_the_statistics_of_all(network, batches):
    whole, totals = copy.deepcopy(network), []
    recompute_statistics(whole, batches)
    recompute_statistics(copy.deepcopy(network), batches[1:], lambda total: totals.append(total.clone()) or total)
    others = iter(totals)
    recompute_statistics(network, batches[:1], lambda total: total + next(others))
    torch.testing.assert_close(statistics(network), statistics(whole))


def test_nothing_but_the_running_statistics_changes(network, batches):
    network[2].eval()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    random = torch.get_rng_state()
    recompute_statistics(network, batches)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in network.modules()] == modes
    assert all(layer.track_running_stats and layer.momentum == 0.1 for layer in (network[1], network[5]))
    assert not any(module._forward_pre_hooks for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) != ("running" in name), name


def test_layers_without_running_statistics_or_without_batches_are_left_alone(network, batches):
    network[1] = nn.BatchNorm2d(4, track_running_stats=False)
    before = copy.deepcopy(network.state_dict())
    recompute_statistics(network, [])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    recompute_statistics(network, batches)
    assert network[1].running_mean is None
    assert not torch.equal(network[5].running_mean, before["5.running_mean"])


def test_recomputing_changes_the_statistics_of_a_run_and_nothing_it_learns(tiny, tmp_path):
    plain = outcome(train_run(tiny("train.recompute_statistics=0"), tmp_path / "plain", quiet=True))
    folder = train_run(tiny("train.recompute_statistics=40"), tmp_path / "precise", quiet=True)
    precise = outcome(folder)
    for name, tensor in plain[0].items():
        assert torch.equal(tensor, precise[0][name]) != ("running_" in name), name
    assert plain[1] != precise[1]
    pd.testing.assert_frame_equal(plain[2], precise[2])
    assert pd.read_csv(folder.log)["statistics_seconds"].notna().tolist() == [False, True]


def test_the_moving_average_gets_the_statistics_of_its_own_weights(tiny, tmp_path):
    settings = ("train.ema=0.9", "train.recompute_statistics=24", "augment.flip=false", "augment.rotate90=false")
    settings += tuple(f"augment.{name}=0.0" for name in ("crop", "brightness", "contrast", "saturation", "hue"))
    folder = train_run(tiny(*settings), tmp_path / "run", quiet=True)
    state = read_checkpoint(folder.checkpoint("last")).state
    name = next(key for key in state["model"] if key.endswith("running_mean"))
    assert not torch.equal(state["model"][name], state["training_model"][name])

    from danil.data.dataset import Images
    from danil.data.samplers import Shuffled
    from danil.runs import open_run, run_manifest

    images = Images(run_manifest(folder).part("train"), size=32)
    fitted = open_run(folder.path)
    rows = Shuffled(len(images), 0).order(0)[:24]
    shown: list[torch.Tensor] = []
    module = fitted.model.get_submodule(name.rsplit(".", 1)[0])
    module.register_forward_pre_hook(lambda layer, inputs: shown.append(inputs[0].detach()))
    fitted.model(fitted.normalize(images.batch(rows).images))
    torch.testing.assert_close(state["model"][name].double(), values(shown).mean(1), rtol=1e-4, atol=1e-5)


def test_the_best_epoch_is_chosen_and_predicted_with_recomputed_statistics(tiny, tmp_path):
    settings = ("train.select=best", "split.validation=0.2", "train.recompute_statistics=32")
    folder = train_run(tiny(*settings), tmp_path / "run", quiet=True)
    log, held_out = pd.read_csv(folder.log), pd.read_csv(folder.path / "validation_predictions.csv")
    assert log["statistics_seconds"].notna().all()
    best = log["validation_accuracy"][log["validation_macro_f1"].idxmax()]
    assert (held_out["label"] == held_out["prediction"]).mean() == pytest.approx(best)


def test_a_resumed_run_recomputes_to_the_same_bits(tiny, tmp_path, monkeypatch):
    from danil.training import Interrupted
    from training.test_training import stop_at

    recipe = tiny("split.validation=0.2", "train.recompute_statistics=32", "train.ema=0.9")
    whole = train_run(recipe, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Interrupted):
            train_run(recipe, tmp_path / "broken", quiet=True)
    assert_bit_equal(whole, train_run(recipe, tmp_path / "broken", resume=True, quiet=True))
