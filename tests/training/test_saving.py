"""When a training is saved and stopped, and what is saved."""

import math
import random
import signal
import time
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from danil.runs.sections import Train
from danil.training import Interrupted, TrainingError, saving
from danil.training.failures import others_named
from danil.training.interruption import Requests
from danil.training.log import Log, Tally
from danil.training.saving import Saver, check_weights
from danil.training.state import Position, Training, restore_random_state

ALONE = SimpleNamespace(world_size=1, is_global_zero=True)


@pytest.fixture
def saver(monkeypatch):
    """A saver that notes the steps at which it saves."""
    made = Saver(ALONE, None, Train(save_every=4, save_minutes=10), Requests())
    made.steps = []
    monkeypatch.setattr(made, "save", lambda training: made.steps.append(training.position.steps))
    return made


def at(steps):
    return SimpleNamespace(position=Position(steps=steps))


def test_it_saves_every_so_many_steps(saver):
    for steps in range(1, 10):
        saver.after_step(at(steps))
    assert saver.steps == [4, 8]


def test_it_saves_every_so_many_minutes_on_a_clock_nobody_can_set(saver, monkeypatch):
    began = saver.began
    monkeypatch.setattr(time, "time", lambda: 1e12)
    for seconds, steps in ((599, 1), (600, 2)):
        monkeypatch.setattr(time, "monotonic", lambda now=began + seconds: now)
        saver.after_step(at(steps))
    assert saver.steps == [2]


@pytest.mark.parametrize("moment", ["after_step", "after_epoch", "while_evaluating"])
def test_a_signal_saves_and_stops(saver, moment):
    getattr(saver, moment)(at(1))
    before = len(saver.steps)
    saver.requests.number = signal.SIGTERM
    with pytest.raises(Interrupted, match="SIGTERM"):
        getattr(saver, moment)(at(2))
    assert saver.steps[before:] == [2]


def training(precision) -> Training:
    """A training of a network with one weight."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return Training(model, nn.Module(), optimizer, None, None, precision)


def test_the_scale_of_fp16_gradients_is_part_of_the_state():
    first, second = (
        training(MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))) for scale in (8, 2)
    )
    scaler = first.precision.scaler
    scaler.scale(torch.ones(()))
    scaler.update(4.0)
    second.restore(first.state())
    assert second.precision.state_dict() == first.precision.state_dict()
    assert second.precision.state_dict()["scale"] == 4.0


def test_every_process_gets_its_own_random_state_back():
    plain = training(MixedPrecision("bf16-mixed", "cpu"))
    states, numbers = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        states.append(saving.random_state())
        numbers.append((torch.rand(1).item(), random.random()))
    for rank in (0, 1):
        plain.restore({**plain.state(), "random": states, "tally": [Tally().state()] * 2}, rank)
        assert (torch.rand(1).item(), random.random()) == numbers[rank]


def test_the_random_state_of_an_older_checkpoint_has_lists_for_tuples():
    state = saving.random_state()
    version, words, gauss = state["python"]
    expected = random.random()
    restore_random_state({**state, "python": [version, list(words), gauss]})
    assert random.random() == expected


@pytest.mark.parametrize(("held", "device"), [(1, 0), (1, 3), (4, 2), (4, 0)])
def test_of_the_gpus_the_own_ones_random_state_is_kept_and_put_back(monkeypatch, held, device):
    """A run of now may go on with fewer GPUs; older checkpoints hold the states of all."""
    states, put_back = [torch.full((4,), place, dtype=torch.uint8) for place in range(4)], []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: device)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: states[device])
    monkeypatch.setattr(torch.cuda, "set_rng_state", put_back.append)
    saved = saving.random_state()
    assert [torch.equal(one, states[device]) for one in saved["cuda"]] == [True]
    restore_random_state({**saved, "cuda": states if held == 4 else saved["cuda"]})
    assert torch.equal(put_back[0], states[device])


def test_a_gpus_random_state_is_let_go_of_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: pytest.fail("there is no GPU"))
    restore_random_state({**saving.random_state(), "cuda": [torch.zeros(16, dtype=torch.uint8)]})


def test_weights_that_are_not_finite_are_not_saved():
    wrong = training(MixedPrecision("bf16-mixed", "cpu"))
    check_weights(wrong)
    with torch.no_grad():
        wrong.model.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"`bias` is not finite after step 0.*not saved.*--overwrite"):
        check_weights(wrong)


def test_events_that_cannot_be_written_do_not_stop_the_log(tmp_path, monkeypatch):
    log = Log(tmp_path / "log.csv", [])

    def full(_):
        raise OSError("no space")

    monkeypatch.setattr(log, "add_events", full)
    with pytest.warns(UserWarning, match="no space"):
        log.add({"epoch": 1, "loss": 0.5})
    assert pd.read_csv(log.path)["loss"].tolist() == [0.5]


def test_the_means_of_an_epoch_are_over_all_processes_whatever_each_has_measured():
    first, second = Tally(), Tally()
    first.add({"loss": torch.tensor(1.0), "distance": torch.tensor(math.nan), "rare": torch.tensor(5.0)}, 4)
    second.add({"loss": torch.tensor(2.0), "distance": torch.tensor(3.0)}, 4)
    second.add({"loss": torch.tensor(4.0), "distance": torch.tensor(math.nan)}, 4)
    whole = Tally.joined([first.state(), second.state()]).means()
    assert whole == {"loss": pytest.approx(7 / 3), "distance": 3.0, "rare": 5.0}
    assert math.isnan(first.means()["distance"])


def test_every_process_gets_its_own_tally_back_and_an_older_checkpoint_has_one():
    plain, tallies = training(MixedPrecision("bf16-mixed", "cpu")), []
    for loss in (1.0, 2.0):
        tally = Tally()
        tally.add({"loss": torch.tensor(loss)}, 4)
        tallies.append(tally.state())
    for held, expected in ((tallies, 2.0), (tallies[0], 1.0)):
        plain.restore({**plain.state(), "tally": held, "random": [saving.random_state()] * 2}, rank=1)
        assert plain.tally.means() == {"loss": expected}


def test_a_broken_connection_is_another_process_that_died():
    for ranks, expected in ((2, TrainingError), (1, RuntimeError)):
        fabric = SimpleNamespace(world_size=ranks)
        with pytest.raises(RuntimeError, match="Connection closed") as caught, others_named(fabric):
            raise RuntimeError("[gloo/transport/tcp/pair.cc:537] Connection closed by peer")
        assert type(caught.value) is expected
