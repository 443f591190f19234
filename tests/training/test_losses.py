"""The latest loss of every image, and online batch selection in a run."""

import signal
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from danil.objectives import CrossEntropy, DistractorAware, WeightedTasks
from danil.runs import read_checkpoint
from danil.training import Interrupted, train_run
from danil.training import loop as training_loop
from danil.training.losses import image_losses, own_losses
from training.conftest import assert_bit_equal
from training.test_training import stop_at

SELECTION = ("objective.base=batch_selection", "objective.refresh_every=2", "train.epochs=3", "train.lr=0.1")


def test_losses_are_those_of_each_image_alone_in_eval_mode():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 3)).train()
    images, labels = torch.randn(5, 3, 2, 2), torch.tensor([0, 2, 1, -1, 2])
    batches = [(images[:3], labels[:3]), (images[3:], labels[3:])]
    found = image_losses(model, DistractorAware(base=CrossEntropy()), batches)
    assert model.training
    assert model[1].num_batches_tracked == 0
    alone = [cross_entropy(model.eval()(images[row : row + 1]), labels[row : row + 1]) for row in (0, 1, 2, 4)]
    expected = torch.stack([*alone[:3], torch.tensor(0.0), alone[3]]).detach() * 5 / 4
    torch.testing.assert_close(found, expected)


def test_a_weighted_loss_is_the_same_in_every_batch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    images, labels, weights = torch.randn(6, 3, 2, 2), torch.tensor([0, 1, 0, 2, 1, 0]), torch.tensor([0.5, 1.0, 4.0])
    expected = cross_entropy(model(images), labels, weights, reduction="none").detach()
    for objective in (CrossEntropy(weights), DistractorAware(base=CrossEntropy(weights))):
        for rows in ([0, 1, 2, 3, 4, 5], [0, 2], [3, 4]):
            batch = images[rows], labels[rows]
            torch.testing.assert_close(image_losses(model, objective, [batch]), expected[rows])
            terms = objective(model, *batch)
            torch.testing.assert_close(own_losses(objective, terms.logits, batch[1]), expected[rows])


def test_the_weights_of_each_task_act_on_its_own_losses():
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 2])
    weights = torch.tensor([0.5, 1.0, 4.0])
    loss = WeightedTasks({"a": 1.0, "b": 0.5}, base=CrossEntropy({"a": weights}))
    plain = cross_entropy(logits, labels, reduction="none")
    found = own_losses(loss, {"a": logits, "b": logits}, {"a": labels, "b": labels})
    torch.testing.assert_close(found, plain * (weights[labels] + 0.5))


def test_without_class_weights_the_losses_are_those_of_the_objective_to_the_bit():
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, -1])
    assert torch.equal(own_losses(CrossEntropy(), logits, labels), CrossEntropy().per_image(logits, labels))


@pytest.mark.parametrize("broken", [False, True])
def test_every_module_is_left_in_its_own_mode_also_when_the_images_break_off(broken):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 3)).train()
    model[1].eval()

    def batches():
        yield torch.randn(3, 3, 2, 2), torch.tensor([0, 2, 1])
        if broken:
            raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable") if broken else nullcontext():
        image_losses(model, CrossEntropy(), batches())
    assert [module.training for module in model] == [True, False, True]
    assert model.training


def test_a_signal_during_the_refresh_of_all_losses_is_heeded_and_nothing_changes(tiny, tmp_path, monkeypatch):
    whole = train_run(tiny(*SELECTION), tmp_path / "whole", quiet=True)
    refresh, seen = training_loop.refresh_losses, []

    def signalled(loop, training, sampler):
        if training.position.epoch == 2:
            signal.raise_signal(signal.SIGTERM)
        refresh(loop, training, sampler)
        seen.append(training.position.epoch)

    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "refresh_losses", signalled)
        with pytest.raises(Interrupted) as caught:
            train_run(tiny(*SELECTION), tmp_path / "broken", quiet=True)
    assert seen == [0]
    assert "(epoch 3)" in caught.value.__notes__[0]
    assert_bit_equal(whole, train_run(tiny(*SELECTION), tmp_path / "broken", resume=True, quiet=True))


def test_losses_are_refreshed_every_so_many_epochs_and_the_table_is_in_the_checkpoint(tiny, tmp_path, monkeypatch):
    tables, original = {}, training_loop.refresh_losses

    def noted(loop, training, sampler):
        original(loop, training, sampler)
        tables[training.position.epoch] = sampler.losses.copy()

    monkeypatch.setattr(training_loop, "refresh_losses", noted)
    folder = train_run(tiny(*SELECTION), tmp_path / "run", quiet=True)
    assert list(tables) == [0, 2]
    assert np.isfinite(tables[0]).all()
    assert (tables[0] != tables[2]).all()
    kept = read_checkpoint(folder.checkpoint("last")).state["sampler"]["losses"]
    changed = kept != tables[2]
    assert 0 < changed.sum() < len(kept), "the images drawn in the last epoch have newer losses, the others have not"


@pytest.mark.parametrize("step", [2, 5])
def test_a_selecting_run_stopped_and_resumed_ends_bit_equal(tiny, tmp_path, monkeypatch, step):
    whole = train_run(tiny(*SELECTION), tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Interrupted):
            train_run(tiny(*SELECTION), tmp_path / "broken", quiet=True)
    assert_bit_equal(whole, train_run(tiny(*SELECTION), tmp_path / "broken", resume=True, quiet=True))
