"""A run whose training was stopped in the middle says so wherever it is used."""

import json

import pytest

from danil.data import read_source
from danil.models import create_model
from danil.runs import RunFolder, open_run, read_recipe, write_checkpoint
from danil.runs.unfinished import unfinished
from runs.made import made_run

SOURCE = "synthetic:dermoscopy?images=60&size=32"


@pytest.fixture
def stopped(tmp_path):
    """Make a run of six epochs with an untrained network that stands at this position."""

    def make(**position) -> RunFolder:
        settings = (f"data.source={SOURCE!r}", "data.size=32", "model.backbone=test_resnet", "model.weights=none")
        manifest = read_source(SOURCE)
        recipe = read_recipe("paper", [*settings, "train.epochs=6"])
        folder = made_run(tmp_path / "run", recipe, manifest)
        model = create_model("test_resnet", manifest.tasks, weights="none").state_dict()
        write_checkpoint(folder.checkpoint("last"), {"model": model, "position": position})
        return folder

    return make


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (
            {"epoch": 2, "steps": 14, "finished": False},
            "stopped after epoch 2 of 6 (finish it with `danil train … --out",
        ),
        ({"epoch": 0, "steps": 3, "finished": False}, "stopped in epoch 1 of 6, after step 3 ("),
    ],
)
def test_opening_an_unfinished_run_says_where_it_stands(stopped, caplog, position, words):
    folder = stopped(**position)
    open_run(folder.path)
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("WARNING", unfinished(folder))
    assert words in record.message


def test_a_finished_run_is_opened_without_a_word_also_where_it_stopped_early(stopped, caplog):
    open_run(stopped(epoch=4, steps=28, finished=True).path)
    assert not caplog.records


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"{}", json.dumps({"a": 1}).encode()])
def test_a_damaged_checkpoint_or_none_says_nothing_of_it(stopped, content):
    folder = stopped(epoch=4, steps=28, finished=False)
    folder.checkpoint("last").write_bytes(content)
    assert unfinished(folder) is None
    folder.checkpoint("last").unlink()
    assert unfinished(folder) is None
