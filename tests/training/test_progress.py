"""What a person sees while training."""

import re

import pytest
from rich.console import Console

from danil.training import progress, train_run
from danil.training.progress import Bar, duration, listed
from training.conftest import assert_bit_equal


def test_the_estimate_comes_first_and_changes_nothing(tiny, tmp_path, capsys):
    recipe = tiny("objective.name=danil", "train.epochs=1")
    spoken = train_run(recipe, tmp_path / "spoken")
    first, second = capsys.readouterr().err.splitlines()[:2]
    assert re.match(r"5 steps of 8 images, about \d+ s \([\d.e-]+ s a step\); memory about [\d.]+ GiB", first)
    assert second.startswith("epoch 1")
    assert "share_wrong" in second
    assert_bit_equal(spoken, train_run(recipe, tmp_path / "silent", quiet=True))


def test_the_time_left_is_that_of_the_steps_left_at_the_pace_so_far(monkeypatch, capsys):
    clock = iter([10.0, 20.0, 30.0, 30.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    bar = Bar(None, Console(), total=13)
    for done in (1, 2, 3):
        bar.advance("epoch 1/2", done, dict)
    bar.epoch({"loss": 0.5})
    assert capsys.readouterr().out == "loss 0.5  left 2 min\n"


def test_a_drawn_bar_asks_for_losses_only_now_and_then(monkeypatch):
    clock, asked, shown = iter([10.0, 10.1, 10.2, 10.7]), [], []
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))

    class Drawn:
        def add_task(self, *words, **options):
            return 0

        def update(self, task, **options):
            shown.append(options)

    bar = Bar(Drawn(), Console(), total=9)
    for done in range(1, 5):
        bar.advance("epoch 1/2", done, lambda: asked.append(1) or {"loss": 0.5, "share_wrong": 0.25, "distance_q05": 1})
    assert len(asked) == 2
    assert shown[0] == {"text": "epoch 1/2  loss 0.5  share_wrong 0.25"}
    assert shown[-1] == {"completed": 4}


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_are_said_in_a_fitting_unit(seconds, text):
    assert duration(seconds) == text


def test_what_was_not_measured_in_an_epoch_is_left_out_of_its_line():
    assert listed({"epoch": 1, "loss": 0.5, "distance_median": float("nan")}) == "epoch 1  loss 0.5"
