"""A run folder of a stranger given to each verb: one message that names the damaged file, exit code 2, no traceback."""

import shutil

import pytest
from PIL import Image

from cli.tiny import TINY
from danil.data.fake import write_fake

pytestmark = pytest.mark.slow
ODD = {
    "nothing": b"",
    "no text": b"\0\xff",
    "a list": b"[]",
    "a depth": b"[" * 20_000,
    "other columns": b"a,a\n1,2\n",
    "paths that climb out": b"path,label,group,split\n../../x.png,a,1,test\n",
}
VERBS = {
    "evaluate": ["evaluate", "RUN"],
    "compare": ["compare", "RUN", "OTHER"],
    "predict": ["predict", "RUN", "IMAGE", "--out", "OUT.csv"],
    "explain": ["explain", "RUN", "--count", "1", "--out", "OUT"],
    "report": ["report", "RUN"],
}
FILES = ("data.json", "manifest.csv", "predictions.csv", "recipe.toml", "checkpoints/last.safetensors")


@pytest.fixture
def trained(danil, tmp_path_factory):
    """Two finished runs of two methods, made once."""
    folder = tmp_path_factory.getbasetemp() / "hostile"
    if not folder.exists():
        write_fake("folder", folder / "data", images=16)
        for run, method in (("run", "base"), ("other", "ohem")):
            words = ["train", folder / "data", *TINY, "--set", f"objective.name={method}", "--out", folder / run]
            answer = danil(*words)
            assert answer.code == 0, answer.err
        Image.new("RGB", (32, 32)).save(folder / "one.png")
    return folder


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_by_every_verb_that_needs_it(danil, trained, tmp_path, verb, name):
    for kind, content in ODD.items():
        run = tmp_path / kind.replace(" ", "_")
        shutil.copytree(trained / "run", run)
        (run / name).write_bytes(content)
        places = {"RUN": run, "OTHER": trained / "other", "IMAGE": trained / "one.png"}
        places |= {"OUT": tmp_path / f"{kind}-out", "OUT.csv": tmp_path / f"{kind}.csv"}
        answer = danil(*(places.get(word, word) for word in VERBS[verb]))
        assert "Traceback" not in answer.err, (kind, answer.err)
        assert answer.code in (0, 2), (kind, answer)
        named = {name.rsplit("/")[-1], "../../x.png", *(["checkpoints"] if name == "recipe.toml" else [])}
        assert answer.code == 0 or any(text in answer.err for text in named), (kind, answer.err)
