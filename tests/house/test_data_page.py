"""The page of readers says what the readers take, no more and no less."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from danil.data import DataError, read_source
from danil.data.cohort import GUESSES
from danil.data.sources import NAMES, READERS, SYNTHETIC, optioned
from danil.data.synthetic import KINDS, read_synthetic

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
SHARED = ("groups",)


def module_of(reader):
    return import_module(READERS[reader].partition(":")[0])


def options_of(reader):
    if reader == SYNTHETIC:
        parameters = inspect.signature(read_synthetic).parameters.values()
        return {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}
    return set(module_of(reader).OPTIONS)


def options_table(text):
    """The first column of the last table of a text, whose head is `option`."""
    rows = text.partition("| option | default | what |\n|---|---|---|\n")[2]
    return re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)


def test_each_reader_has_a_section_and_no_section_is_of_another():
    assert set(SECTIONS) == set(NAMES)


@pytest.mark.parametrize("reader", NAMES)
def test_a_readers_table_names_exactly_the_options_it_takes(reader):
    named = options_table(SECTIONS[reader])
    assert len(named) == len(set(named))
    assert set(named) == options_of(reader)


@pytest.mark.parametrize("reader", READERS)
def test_the_options_that_a_readers_code_asks_for_are_declared(reader):
    text = inspect.getsource(module_of(reader))
    asked = set(re.findall(r"""options(?:\.get\(|\[)"(\w+)\"""", text)) | set(re.findall(r'"(\w+)" in options', text))
    assert asked <= options_of(reader)


def test_synthetic_takes_its_arguments_as_options_and_refuses_others():
    with pytest.raises(DataError, match="there are ") as told:
        read_source(f"synthetic:{KINDS[0]}?nothing=1")
    listed = str(told.value).partition("there are ")[2].partition(".")[0].split(", ")
    assert set(listed) == options_of(SYNTHETIC)


def test_defaults_of_synthetic_options_are_those_of_the_code():
    told = dict(re.findall(r"^\| `(\w+)` \| `([\d.]+)` \|", SECTIONS[SYNTHETIC], re.MULTILINE))
    parameters = inspect.signature(read_synthetic).parameters
    assert {name: float(value) for name, value in told.items()} == {n: parameters[n].default for n in told}
    assert set(told) == options_of(SYNTHETIC)


def test_the_usual_column_names_are_those_that_are_looked_for():
    rows = re.findall(r"^\| `(\w+)` \| (`.*`) \|$", SECTIONS["csv"], re.MULTILINE)
    told = {role: tuple(re.findall(r"`(\w+)`", names)) for role, names in rows if role in GUESSES}
    assert told == dict(GUESSES)


def test_every_example_names_a_reader_and_options_it_takes():
    texts = re.findall(rf"\b((?:{'|'.join(NAMES)}):[^\s`\"]+)", PAGE)
    assert {text.partition(":")[0] for text in texts} == set(NAMES)
    for text in texts:
        reader, _, rest = text.partition(":")
        assert set(optioned(rest)[1]) <= options_of(reader) | set(SHARED), text
