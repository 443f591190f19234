"""Optimisers by timm's names: which can be made, and that a checkpoint holds their state whole."""

import pytest
import torch
from timm.optim import list_optimizers
from torch import nn

from danil.runs import RecipeError, read_checkpoint, write_checkpoint
from danil.runs.sections import Train
from danil.training.optimization import create_optimizer, create_schedule


def begun(name):
    """Return a small network and its optimiser."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    return model, create_optimizer(model, Train(optimizer=name, lr=0.01))


def step(model, optimizer):
    torch.manual_seed(1)
    optimizer.zero_grad()
    model(torch.randn(6, 4)).square().mean().backward()
    with torch.compiler.set_stance("force_eager"):  # `kron` would spend half a minute on compiling
        optimizer.step()


@pytest.mark.filterwarnings("ignore:It is highly recommended to have .opt_einsum")
@pytest.mark.parametrize("name", ["sgd", "adamw", "adafactorbv", "cadafactorbv", "lamb", "muon", "kron"])
def test_an_optimiser_goes_on_from_a_checkpoint_as_if_never_interrupted(tmp_path, name):
    if name not in list_optimizers():
        pytest.skip("this timm has no such optimiser")
    model, optimizer = begun(name)
    for _ in range(2):
        step(model, optimizer)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    kept = read_checkpoint(write_checkpoint(tmp_path / "last.safetensors", state)).state
    other, resumed = begun(name)
    other.load_state_dict(kept["model"])
    resumed.load_state_dict(kept["optimizer"])
    for _ in range(2):
        step(model, optimizer)
        step(other, resumed)
    for one, same in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, same)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing where there is no GPU")
@pytest.mark.parametrize("name", ["fusedadam", "bnbadam"])
def test_an_optimiser_that_cannot_be_made_here_is_refused_in_words(name):
    with pytest.raises(RecipeError, match=rf"`train.optimizer` is `{name}`, which cannot be made here: .*adamw"):
        begun(name)


def test_an_optimiser_that_needs_second_derivatives_is_refused_and_not_offered():
    with pytest.raises(RecipeError, match="second derivatives"):
        begun("AdaHessian")
    with pytest.raises(RecipeError, match="does not know") as caught:
        begun("adahesian")
    assert "adahessian" not in str(caught.value)


def rates(epochs, **settings):
    """Return the learning rate before each of two steps an epoch, and after the last."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = create_schedule(optimizer, Train(lr=1.0, epochs=epochs, **settings), 2)
    found = [optimizer.param_groups[0]["lr"]]
    for done in range(1, 2 * epochs + 1):
        schedule.step_update(done)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_the_rate_rises_and_falls_as_the_page_of_keys_says():
    whole, warmed = rates(10, warmup_epochs=0), rates(10, warmup_epochs=2)
    assert (whole[0], whole[-1]) == pytest.approx((1.0, 0.01))
    assert warmed[:4] == pytest.approx([0.01 + 0.99 * step / 4 for step in range(4)])
    assert warmed[4:] == whole[4:]
    assert max(warmed) == warmed[4] < 0.91
    assert rates(4, warmup_epochs=1, schedule="constant")[2:] == [1.0] * 7
    assert rates(3, warmup_epochs=9) == rates(3, warmup_epochs=2)
