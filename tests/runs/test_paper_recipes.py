"""The files in recipes/: one per row of the paper's tables, each the recipe `paper` but for its objective."""

import csv
import re
from pathlib import Path

import pytest

from danil.runs import read_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
SETTINGS = {
    "base": ["objective.name=base"],
    "danil": [],
    "ohem": ["objective.name=ohem"],
    "multitask": ["objective.name=multitask"],
    "dil": ["objective.name=dil"],
    "canet": ["objective.name=canet_single"],
}
ROWS = {
    *(f"ham10000-{system}" for system in ("base", "multitask", "ohem", "danil")),
    *(f"aptos2019-{system}" for system in ("base", "dil", "canet", "ohem", "danil")),
    *(f"crc_msi-{system}" for system in ("base", "ohem", "danil")),
}


def test_there_is_one_recipe_per_row():
    assert {path.stem for path in FOLDER.glob("*")} == ROWS


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_recipe_is_the_paper_s_with_its_objective_and_its_header_says_how_to_run_it(name):
    path = FOLDER / f"{name}.toml"
    data, system = name.split("-")
    assert read_recipe(str(path)) == read_recipe("paper", SETTINGS[system])
    header = path.read_text().split("\nseed")[0]
    assert f"danil train {data}:" in header
    assert f"--recipe recipes/{name}.toml" in header
    assert "# Duration: 30 epochs" in header


def test_the_expected_numbers_are_those_the_paper_prints(shared):
    backbones = ("resnet50", "vgg11", "inception_v4", "efficientnet_b0")
    with (shared / "paper" / "tables.csv").open() as file:
        printed = {(r["dataset"], r["method"], r["metric"], r["backbone"]): r["value"] for r in csv.DictReader(file)}
    assert {f"{data}-{method}" for data, method, _, _ in printed} == ROWS
    for name in ROWS:
        numbers = re.search(r"macro-F1 ([\d./ ]+); accuracy ([\d./ ]+)\.", (FOLDER / f"{name}.toml").read_text())
        for metric, text in zip(("macro_f1", "accuracy"), numbers.groups(), strict=True):
            wanted = [float(printed[*name.split("-"), metric, backbone]) for backbone in backbones]
            assert [float(number) for number in text.split("/")] == wanted, name
