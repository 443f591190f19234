import ast
import dataclasses
from importlib import resources

import pytest

from danil.benchmark import SuiteError, cells_of, code_version, read_suite, trial_of
from danil.benchmark.cell import cell_from, shape
from danil.benchmark.suite import check_as_planned
from danil.data.fake import write_fake
from danil.models.weights import WeightsError
from danil.runs.recipe import flattened

MORE = """
[[methods]]
name = "danil"
settings = ["objective.name=danil"]
datasets = ["other"]
[[datasets]]
name = "other"
source = "synthetic:fundus?images=40&size=32"
"""


def test_a_suite_makes_a_cell_for_every_combination_that_its_methods_allow(suite_file):
    suite_file.write_text(suite_file.read_text() + MORE)
    names = [cell.name for cell in cells_of(read_suite(suite_file))]
    expected = ["dermoscopy-test_resnet-base", "other-test_resnet-base", "other-test_resnet-danil"]
    assert names == [f"{name}-{seed}" for seed in (0, 1) for name in expected]


def test_only_keeps_the_cells_with_the_text_in_their_name(suite_file):
    assert [cell.seed for cell in cells_of(read_suite(suite_file), ["base-1"])] == [1]
    with pytest.raises(SuiteError, match="no cell"):
        cells_of(read_suite(suite_file), ["vgg"])


def test_a_trial_is_the_suite_in_all_but_its_length_and_its_other_seeds(suite_file):
    suite_file.write_text(suite_file.read_text() + MORE)
    asked = read_suite(suite_file)
    tried, planned = cells_of(trial_of(asked)), [cell for cell in cells_of(asked) if cell.seed == 0]
    assert [cell.name for cell in tried] == [cell.name for cell in planned]
    for one, other in zip(tried, planned, strict=True):
        mine, theirs = flattened(one.recipe.model_dump()), flattened(other.recipe.model_dump())
        odd = {key: mine[key] for key in mine if mine[key] != theirs[key]}
        assert odd == {"data.limit": 64, "train.max_steps": 2}


def test_two_names_for_one_training_are_refused(suite_file):
    twin = '[[methods]]\nname = "again"\nsettings = ["objective.name=base"]\n'
    suite_file.write_text(suite_file.read_text() + twin)
    with pytest.raises(
        SuiteError, match="`dermoscopy-test_resnet-base-0` and `dermoscopy-test_resnet-again-0` are one"
    ):
        cells_of(read_suite(suite_file))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seeds = [0, 1]", "seeds = []"), "seeds"),
        (("seeds = [0, 1]", "seeds = [0, 0]"), "`0` stands twice in `seeds`"),
        (('title = "Tiny"', 'titel = "Tiny"'), "titel"),
        (('name = "base"', 'name = "base"\ndatasets = ["nowhere"]'), "`nowhere`"),
        (('name = "base"', 'name = "../base"'), "methods.0.name"),
        (('name = "tiny"', 'name = ".."'), "`name`"),
        (("seeds", "seeds ="), "is not valid TOML"),
    ],
)
def test_a_wrong_suite_is_refused_in_words(suite_file, change, words):
    suite_file.write_text(suite_file.read_text().replace(*change))
    with pytest.raises(SuiteError, match=words):
        read_suite(suite_file)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("split.test=0", "no test part to score"),
        ("train.select=best", "no validation part to choose the best epoch on"),
    ],
)
def test_a_cell_without_the_images_it_needs_is_refused_before_any_training(suite_file, setting, words):
    suite_file.write_text(suite_file.read_text().replace('["data.size=32"', f'["{setting}", "data.size=32"'))
    with pytest.raises(SuiteError, match=words):
        cells_of(read_suite(suite_file))


def test_the_digest_follows_recipe_data_and_code_but_not_where_the_data_lie(suite_file, tmp_path):
    first = cells_of(read_suite(suite_file))[0]
    assert dataclasses.replace(first, code="other").digest != first.digest
    assert dataclasses.replace(first, data="other").digest != first.digest
    suite_file.write_text(suite_file.read_text().replace("train.lr=0.05", "train.lr=0.06"))
    assert cells_of(read_suite(suite_file))[0].digest != first.digest
    digests = set()
    for place in ("here", "there"):
        write_fake("aptos2019", tmp_path / place)
        source = f"aptos2019:{tmp_path / place}"
        suite_file.write_text(suite_file.read_text().replace("synthetic:dermoscopy?images=40&size=32", "PLACE"))
        text = suite_file.read_text()
        suite_file.write_text(text.replace("PLACE", source))
        digests.add(cells_of(read_suite(suite_file))[0].digest)
        suite_file.write_text(text)
    assert len(digests) == 1


def test_the_digest_follows_the_content_of_a_weights_file(suite_file, tmp_path):
    weights = tmp_path / "initial.safetensors"
    suite_file.write_text(suite_file.read_text().replace("model.weights=none", f"model.weights={weights}"))
    with pytest.raises(WeightsError, match=r"initial\.safetensors`, which is no file"):
        cells_of(read_suite(suite_file))
    weights.write_bytes(b"of today")
    planned = cells_of(read_suite(suite_file))[0]
    check_as_planned(planned)
    weights.write_bytes(b"of tomorrow")
    assert cells_of(read_suite(suite_file))[0].digest != planned.digest
    with pytest.raises(SuiteError, match=r"the weights `.*initial\.safetensors` changed"):
        check_as_planned(planned)


def test_the_digest_of_multitask_follows_the_labels_of_the_second_task_and_that_of_others_does_not(
    suite_file, tmp_path
):
    write_fake("ham10000", tmp_path / "ham")
    text = suite_file.read_text().replace("synthetic:dermoscopy?images=40&size=32", f"ham10000:{tmp_path / 'ham'}")
    suite_file.write_text(text + '[[methods]]\nname = "multitask"\nsettings = ["objective.name=multitask"]\n')
    before = cells_of(read_suite(suite_file))[:2]
    table = tmp_path / "ham" / "HAM10000_metadata.csv"
    table.write_text(table.read_text().replace("back", "trunk"))
    after = cells_of(read_suite(suite_file))[:2]
    assert [one.digest == other.digest for one, other in zip(before, after, strict=True)] == [True, False]
    assert {cell.data for cell in (*before, *after)} == {before[0].data}
    with pytest.raises(SuiteError, match="the data of `ham10000:"):
        check_as_planned(before[1])


@pytest.mark.parametrize(("name", "words"), [("code", "the code changed"), ("data", "the data of `synthetic:")])
def test_a_cell_is_trained_with_the_code_and_the_data_it_was_planned_with_or_not_at_all(suite_file, name, words):
    cell = cells_of(read_suite(suite_file))[0]
    check_as_planned(cell)
    with pytest.raises(SuiteError, match=words):
        check_as_planned(dataclasses.replace(cell, **{name: "of this morning"}))


def test_a_cell_comes_back_from_its_description(suite_file, tmp_path):
    cell = cells_of(read_suite(suite_file))[1]
    assert cell_from(cell.description(), tmp_path) == cell


def test_docstrings_and_comments_do_not_change_the_code_version_and_a_statement_does(monkeypatch):
    before = code_version()
    module = resources.files("danil") / "objectives" / "terms.py"
    text = module.read_text()
    original = ast.parse

    def version_with(change: str) -> str:
        code_version.cache_clear()
        monkeypatch.setattr(ast, "parse", lambda source: original(change if source == text else source))
        return code_version()

    doc = ast.get_docstring(original(text), clean=False)
    assert version_with(text.replace(doc, "Another docstring.") + "\n# a comment\n") == before
    assert version_with(f'{text}\nx = 1\n"""Of x."""\n') == version_with(text + "\nx = 1\n") != before
    code_version.cache_clear()


def test_fields_that_later_versions_of_python_add_empty_do_not_count():
    here, later = (ast.parse("def f(x):\n    return x") for _ in range(2))
    later.body[0]._fields = (*later.body[0]._fields, "of_a_later_version")
    later.body[0].of_a_later_version = []
    assert shape(here) == shape(later)
    later.body[0].of_a_later_version = [ast.Pass()]
    assert shape(here) != shape(later)
