"""The page of the run folder names the files, columns and keys that the code writes."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from danil import CrossEntropy, DistractorAware
from danil.evaluation import compare_runs, evaluate_table
from danil.evaluation.cohort_folder import RECORD
from danil.evaluation.robustness import FILE, FOLDER
from danil.evaluation.tasks import tasks_document
from danil.runs import RunFolder
from danil.runs.calibration import NAME
from danil.runs.checkpoint import previous
from danil.runs.folder import LOCK
from danil.statistics import read_predictions

PAGE = (Path(__file__).parents[2] / "docs" / "run_folder.md").read_text(encoding="utf-8")
ROWS = [("a", 0.7), ("b", 0.2), ("a", 0.4), ("b", 0.6)]


def keys_below(title):
    rows = re.findall(r"^\| (.+?) \|", PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0], re.MULTILINE)
    return [name for cell in rows for name in re.findall(r"`(\w+)`", cell)]


@pytest.fixture
def table(tmp_path):
    def written(name):
        path = tmp_path / name
        lines = [f"{row}.png,p{row},{label},{'ab'[p < 0.5]},{p},{1 - p}" for row, (label, p) in enumerate(ROWS)]
        path.write_text("\n".join(["path,group,label,prediction,probability_a,probability_b", *lines]) + "\n")
        return path

    return written


def test_the_files_that_the_code_has_names_for_are_on_the_page():
    folder = RunFolder(Path())
    names = [getattr(folder, name).name for name, one in vars(RunFolder).items() if isinstance(one, property)]
    checkpoints = [folder.checkpoint(name).as_posix() for name in ("last", "best")]
    earlier = [previous(Path(name)).as_posix() for name in checkpoints]
    for name in [*names, *checkpoints, *earlier, NAME, FILE, LOCK, RECORD, f"{FOLDER}/<condition>.csv"]:
        assert re.search(rf"`{re.escape(name)}[`/]", PAGE), name


def test_the_keys_of_metrics_json_are_those_on_the_page(table):
    known = read_predictions(table("predictions.csv"))
    alone = evaluate_table(known.source, resamples=100)
    metadata = pd.DataFrame(index=list(known.paths))
    run = tasks_document({"t": known}, ["t"], training_counts={}, metadata=metadata, decided={}, resamples=100)
    told = keys_below("`metrics.json`")
    assert set(told) == {*run, "cohort", "mapping"}
    assert set(told) - set(alone) == {"task", "tasks", "cohort", "mapping"}


def test_the_keys_of_a_comparison_are_those_on_the_page(table):
    document = compare_runs({"one": [table("one.csv")], "two": [table("two.csv")]}, resamples=100)
    assert set(keys_below("`compare --json`")) == set(document)
    pairs = re.search(r"^\| `pairs` \| (.*)\|$", PAGE, re.MULTILINE)[1]
    assert set(document["pairs"][0]) <= set(re.findall(r"`(\w+)`", pairs))


def test_what_objectives_report_is_in_the_logs_table():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    images, targets = torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0])
    told = keys_below("The log")
    names = {"loss"}
    for objective in (CrossEntropy(), DistractorAware(strength=0.1)):
        terms = objective(model, images, targets)
        names |= {*terms.parts, *terms.stats}
    first, last = told.index("loss"), told.index("distractor_weight")
    assert set(told[first : last + 1]) == names
