import json
import signal

import pandas as pd
import pytest
import torch

from danil.runs import RecipeError, RunError, open_run
from danil.training import Interrupted, TrainingError, train_run
from training.conftest import assert_bit_equal, outcome


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """Raise the signal in this process when the step has been done."""
    from danil.training import loop

    original = loop.after_step

    def signalled(run, training, *rest):
        if training.position.steps == step:
            signal.raise_signal(number)
        original(run, training, *rest)

    monkeypatch.setattr(loop, "after_step", signalled)


def test_a_run_folder_holds_everything_it_promises(trained):
    for path in (trained.recipe, trained.environment, trained.manifest, trained.data, trained.log, trained.predictions):
        assert path.is_file(), path
    table = pd.read_csv(trained.predictions, dtype={"path": str, "group": str})
    split = pd.read_csv(trained.manifest)["split"].value_counts()
    assert len(table) == split["test"]
    classes = json.loads(trained.data.read_text())["tasks"]["diagnosis"]
    assert list(table.columns) == ["path", "group", "label", "prediction", *(f"probability_{name}" for name in classes)]
    assert table.filter(like="probability_").sum(axis=1).sub(1).abs().max() < 1e-9
    assert len(pd.read_csv(trained.log)) == 2


def test_the_same_seed_gives_the_same_run_to_the_last_bit_and_another_seed_another(tiny, trained, tmp_path):
    assert_bit_equal(trained, train_run(tiny(), tmp_path / "again", quiet=True))
    other = outcome(train_run(tiny(seed=1), tmp_path / "other", quiet=True))
    assert other[1] != outcome(trained)[1]


@pytest.mark.parametrize("step", [1, 4, 6])
@pytest.mark.parametrize("extra", [(), ("train.ema=0.9", "train.optimizer=adamw", "train.schedule=cosine")])
def test_a_run_stopped_at_any_step_and_resumed_ends_bit_equal(tiny, tmp_path, monkeypatch, step, extra):
    recipe = tiny("objective.name=danil", *extra)
    whole = train_run(recipe, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Interrupted) as caught:
            train_run(recipe, tmp_path / "broken", quiet=True)
    assert caught.value.exit_code == 143
    assert_bit_equal(whole, train_run(recipe, tmp_path / "broken", resume=True, quiet=True))


def test_ctrl_c_saves_and_exits_130(tiny, tmp_path, monkeypatch):
    stop_at(monkeypatch, 2, signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        train_run(tiny(), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 130
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").is_file()


def test_a_second_ctrl_c_stops_at_once():
    from danil.training.interruption import stop_requests

    with stop_requests() as requests:
        signal.raise_signal(signal.SIGINT)
        assert requests.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_resuming_a_finished_run_changes_nothing(tiny, trained):
    before = outcome(trained)
    train_run(tiny(), trained.path, resume=True, quiet=True)
    assert outcome(trained)[1] == before[1]


def test_resume_without_a_checkpoint_starts_from_step_0(tiny, trained, tmp_path):
    assert_bit_equal(trained, train_run(tiny(), tmp_path / "new", resume=True, quiet=True))


def test_detached_danil_is_base_to_the_last_bit(tiny, tmp_path):
    base = outcome(train_run(tiny("objective.name=base"), tmp_path / "base", quiet=True))
    detached = outcome(train_run(tiny("objective.name=danil", "objective.detach=true"), tmp_path / "danil", quiet=True))
    for name, tensor in base[0].items():
        torch.testing.assert_close(tensor, detached[0][name])


def test_a_run_that_exists_is_refused_and_left_alone(tiny, trained):
    before = outcome(trained)[1]
    with pytest.raises(RunError, match="--resume"):
        train_run(tiny(), trained.path, quiet=True)
    assert outcome(trained)[1] == before


def test_overwrite_does_not_delete_what_is_no_run(tiny, tmp_path):
    (tmp_path / "precious.txt").write_text("thesis")
    with pytest.raises(RunError, match="not a run folder"):
        train_run(tiny(), tmp_path, overwrite=True, quiet=True)
    assert (tmp_path / "precious.txt").read_text() == "thesis"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.source='synthetic:dermoscopy?images=64&size=32'", "digest"),
        ("data.source='synthetic:fundus?images=60&size=32'", "classes"),
        ("train.lr=0.02", "another recipe"),
        ("data.size=40", "another recipe"),
    ],
)
def test_resume_refuses_other_data_classes_or_recipe(tiny, trained, change, words):
    with pytest.raises(RunError, match=words):
        train_run(tiny(change), trained.path, resume=True, quiet=True)


def test_the_best_epoch_needs_a_validation_part(tiny, tmp_path):
    with pytest.raises(RecipeError, match=r"split\.validation"):
        train_run(tiny("train.select=best"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_with_step_and_images(tiny, tmp_path):
    with pytest.raises(TrainingError, match=r"(?s)step.*dermoscopy.*--overwrite"):
        train_run(tiny("train.lr=1e30"), tmp_path / "run", quiet=True)


def test_the_best_weights_are_those_of_the_best_validation_epoch(tiny, tmp_path):
    folder = train_run(
        tiny("train.epochs=4", "train.select=best", "split.validation=0.2"), tmp_path / "run", quiet=True
    )
    log = pd.read_csv(folder.log)
    assert {"validation_accuracy", "validation_macro_f1"} <= set(log)
    held_out = pd.read_csv(folder.path / "validation_predictions.csv")
    best = log["validation_accuracy"][log["validation_macro_f1"].idxmax()]
    assert (held_out["label"] == held_out["prediction"]).mean() == pytest.approx(best)
    fitted = open_run(folder.path)
    table = pd.read_csv(folder.predictions, dtype={"path": str})
    from danil.runs import run_manifest

    manifest = run_manifest(folder).part("test")
    again = fitted.predict([manifest.store.read(path) for path in manifest.table["path"]])
    assert (again["prediction"].to_numpy() == table["prediction"].to_numpy()).all()


def test_class_weights_give_every_class_the_same_total(tiny):
    from danil.training.objective import class_weights
    from danil.training.preparation import prepared_manifest

    train = prepared_manifest(tiny()).part("train")
    labels = torch.from_numpy(train.labels())
    weights = class_weights(train)
    totals = weights * torch.bincount(labels, minlength=len(train.classes))
    torch.testing.assert_close(totals, torch.full_like(totals, len(labels) / len(train.classes)))
