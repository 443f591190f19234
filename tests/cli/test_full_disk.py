"""A disk that is full when a verb writes: the file is named, and what was there stays."""

import resource

import pytest

from cli.tiny import TINY
from danil.data.fake import write_fake

pytestmark = pytest.mark.slow
VERBS = {
    "metrics.json": ["evaluate", "RUN"],
    "report.html": ["report", "RUN"],
    "predictions-of-files.csv": ["predict", "RUN", "DATA", "--out", "RUN/predictions-of-files.csv"],
    "tables.json": ["compare", "RUN", "OTHER", "--json", "RUN/tables.json"],
}


@pytest.fixture
def runs(danil, tmp_path):
    """Two finished runs and their images."""
    write_fake("folder", tmp_path / "data", images=16)
    for run, method in (("run", "base"), ("other", "ohem")):
        words = ["train", tmp_path / "data", *TINY, "--set", f"objective.name={method}", "--out", tmp_path / run]
        assert danil(*words).code == 0
    return tmp_path


def test_every_verb_names_the_file_it_could_not_write_and_leaves_the_old_one(danil, runs):
    places = {"RUN": str(runs / "run"), "OTHER": str(runs / "other"), "DATA": str(runs / "data")}
    for name, words in VERBS.items():
        words = [word.replace("RUN", places["RUN"]) if "/" in word else places.get(word, word) for word in words]
        assert danil(*words).code == 0
        old = (runs / "run" / name).read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
        try:
            answer = danil(*words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert answer.code == 2, (name, answer)
        assert name in answer.err
        assert (runs / "run" / name).read_bytes() == old
        assert not list((runs / "run").glob(".*.part"))
