"""Whatever a recipe's file, its settings or the name of a data set hold: a recipe, or one error of ours."""

import string
import tempfile
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from danil.data import DataError, read_source
from danil.runs import Recipe, RecipeError, read_recipe
from danil.runs.recipe import validated

SECTIONS = {name: list(field.annotation.model_fields) for name, field in Recipe.model_fields.items() if name != "seed"}
SCALARS = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.text(max_size=12), st.datetimes(), st.dates()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def keys(section):
    return st.sampled_from([*SECTIONS[section], "unknown"])


SECTION = st.one_of(*(st.tuples(st.just(name), st.dictionaries(keys(name), VALUES, max_size=4)) for name in SECTIONS))
TREE = st.lists(SECTION, max_size=4).map(dict)


def read(content: bytes):
    """Return what reading the bytes as a recipe's file ends in: a recipe, or an error of ours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.toml"
        path.write_bytes(content)
        return outcome(str(path))


def outcome(name, *settings):
    """Return the recipe, or the error of ours."""
    try:
        return read_recipe(name, settings)
    except RecipeError as error:
        return error


@settings(max_examples=150, deadline=None)
@given(TREE | st.dictionaries(st.sampled_from([*SECTIONS, "seed", "x"]), VALUES, max_size=4))
def test_any_toml_is_a_recipe_that_comes_back_or_an_error_that_says_why(tree):
    found = read(tomli_w.dumps(tree).encode("utf-8", "surrogatepass"))
    if isinstance(found, Recipe):
        assert read(found.toml().encode()) == found
    else:
        assert "recipe" in str(found)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_recipe_or_an_error_that_says_why(content):
    found = read(content)
    assert isinstance(found, Recipe) or "recipe" in str(found)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30) | st.tuples(st.sampled_from(["seed", "train.epochs", "a.b"]), st.text()).map("=".join))
def test_any_setting_is_taken_or_refused(setting):
    found = outcome("quick", setting)
    assert isinstance(found, Recipe) or len(str(found)) > 20


READERS = ["folder", "csv", "dicom", "ham10000", "aptos2019", "crc_msi", "idrid", "medmnist", "synthetic", "x", ""]
OPTIONS = st.dictionaries(
    st.sampled_from(["image", "label", "group", "groups", "links", "images", "size", "difficulty", "tasks", "q"]),
    st.text(alphabet=string.printable, max_size=8),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(READERS), st.text(max_size=20), OPTIONS, st.booleans())
def test_any_name_of_a_data_set_is_refused_in_words(reader, path, options, bare):
    ending = "&".join(f"{key}={value}" for key, value in options.items())
    source = ("" if bare else f"{reader}:") + f"/nowhere/{path}" + (f"?{ending}" if ending else "")
    with pytest.raises(DataError) as caught:
        read_source(source)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize(
    "source", ["~nobody_here/x", "folder:~nobody_here/x", "csv:~nobody_here/x.csv?root=~no/x", "~"]
)
def test_a_home_that_is_not_there_is_a_folder_that_is_not_there(source, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"does not exist|holds no|no such"):
        read_source(source)


@pytest.mark.parametrize("setting", ["seed=4294967296", "seed=-1", "split.seed=-1", "train.epochs=1000000000000"])
def test_numbers_that_no_generator_or_lifetime_holds_are_refused(setting):
    with pytest.raises(RecipeError, match=setting.split("=")[0]):
        read_recipe("quick", [setting])


def test_the_largest_seed_is_taken():
    assert validated({"seed": 2**32 - 1}, "here").seed == 2**32 - 1
