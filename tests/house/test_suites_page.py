"""The page of suite files names the keys that a suite takes, no more and no less."""

import re
from pathlib import Path

from danil.benchmark import read_suite
from danil.benchmark.cell import DECIDING
from danil.benchmark.grid import paper_table
from danil.benchmark.suite import Dataset, Entry, Method, Suite

PAGE = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")


def test_the_suites_table_names_exactly_its_keys_and_defaults():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.partition("## The suite")[2].partition("\n## ")[0], re.MULTILINE)
    assert [name for name, _ in rows if name in Suite.model_fields] == [name for name, _ in rows]
    assert {name for name, _ in rows} == set(Suite.model_fields)
    for name, told in rows:
        field = Suite.model_fields[name]
        assert told == ("needed" if field.is_required() else f"`{field.default}`" if field.default else "none"), name


def test_the_table_of_rows_names_exactly_the_keys_of_each_list():
    text = PAGE.partition("## Data sets, backbones and methods")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", text, re.MULTILINE)
    for kind, model in (("datasets", Dataset), ("backbones", Entry), ("methods", Method)):
        assert {name for name, of, _ in rows if of in ("all", kind)} == set(model.model_fields)
        told = {name for name, of, left_out in rows if of in ("all", kind) and left_out == "needed"}
        assert told == {name for name, field in model.model_fields.items() if field.is_required()}


def test_the_example_is_a_suite_that_uses_every_key(tmp_path):
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.toml").write_text(example, encoding="utf-8")
    suite = read_suite(tmp_path / "mine.toml")
    assert suite.model_fields_set == set(Suite.model_fields)
    assert suite.datasets[0].model_fields_set == set(Dataset.model_fields)
    assert suite.backbones[0].model_fields_set == set(Entry.model_fields)
    assert suite.methods[-1].model_fields_set == set(Method.model_fields)


def test_the_papers_names_and_the_deciding_packages_are_those_of_the_code():
    told = PAGE.partition("The paper's rows are called")[2].partition("Under other names")[0]
    assert set(re.findall(r"`(\w+)`", told)) == {name for key in paper_table() for name in (key[0], key[2], key[3])}
    packages = PAGE.partition("the digest of the code in ")[2].partition("(")[0]
    assert tuple(re.findall(r"`(\w+)`", packages)) == DECIDING
