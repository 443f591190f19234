import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danil.runs.recipe import BUILT_IN, Recipe, RecipeError, read_recipe
from danil.runs.reference import reference


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_recipe_survives_being_written_and_read(name, tmp_path):
    recipe = read_recipe(name)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.toml())
    assert read_recipe(str(path)) == recipe


def test_the_paper_recipe_holds_the_papers_constants():
    recipe = read_recipe("paper")
    assert (recipe.objective.weight, recipe.objective.epsilon) == (1e-5, 1e-4)
    assert (recipe.train.lr, recipe.train.epochs, recipe.data.size) == (0.01, 30, 224)
    assert (recipe.train.clip, recipe.train.patience, recipe.train.select) == (None, None, "last")
    assert (recipe.split.test, recipe.split.validation, recipe.split.groups) == (0.3, 0.0, False)


def test_settings_change_values_of_every_kind():
    recipe = read_recipe(
        "standard",
        ["train.epochs=3", "data.limit=40", "augment.flip=false", "model.weights=a/b.safetensors", "train.clip=none"],
        seed=7,
    )
    assert recipe.train.epochs == 3
    assert recipe.data.limit == 40
    assert recipe.augment.flip is False
    assert recipe.model.weights == "a/b.safetensors"
    assert recipe.train.clip is None
    assert recipe.seed == 7


def test_none_is_text_where_the_key_takes_text():
    assert read_recipe("standard", ["model.weights=none", "data.cache=none"]).model.weights == "none"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epocs=3", ["train.epocs", "Did you mean", "`epochs`"]),
        ("objetive.name=base", ["objetive", "`objective`"]),
        ("train.epochs=-1", ["train.epochs", "-1", "greater than"]),
        (
            "objective.name=danill",
            ["recipe `standard`: `objective.name` is `danill`; there are danil, base, ohem, ", "Did you mean `danil`"],
        ),
        (
            "split.kind=groupd",
            ["`split.kind` is `groupd`; there are auto, random, grouped,", "Did you mean `grouped`?"],
        ),
        ("data.views=3", ["`data.views` is `3`; there are 1, 2, 4, 8."]),
        ("train.lr=fast", ["train.lr", "fast"]),
        ("train.lr=nan", ["train.lr"]),
        ("train.epochs=true", ["`train.epochs` is True", "does not take `true`"]),
        ("train.clip=true", ["`train.clip` is True", "does not take `true`"]),
        ("split.test=false", ["`split.test` is False", "does not take `true` or `false`"]),
        ("seed=true", ["`seed` is True"]),
        ("epochs", ["`epochs`", "section.key=value"]),
        ("seed.x.y=1", ["seed"]),
        ("data.limit.x=none", ["`data.limit` is {'x': 'none'}"]),
        ("train.clip.x=none", ["`train.clip.x=none`: `clip` is a value, not a section"]),
        ("data.source.x.y=none", ["`data.source` is "]),
        ("train=3", ["train"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(setting, words):
    with pytest.raises(RecipeError) as caught:
        read_recipe("standard", [setting])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_wrong_choice_is_told_once_and_in_the_keys_own_name():
    with pytest.raises(RecipeError) as caught:
        read_recipe("standard", ["objective.name=danill"])
    assert str(caught.value).count("danill") == 1
    assert "literal" not in str(caught.value)


def test_an_unknown_recipe_offers_the_nearest():
    with pytest.raises(RecipeError, match="Did you mean `standard`"):
        read_recipe("standart")


def test_a_file_that_is_not_toml_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("seed = [")
    with pytest.raises(RecipeError, match=r"mine\.toml.*docs/recipe\.md"):
        read_recipe(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"mine\.toml"):
        read_recipe(str(path))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.text(max_size=80))
def test_any_setting_gives_a_recipe_or_a_recipe_error(text):
    try:
        recipe = read_recipe("standard", [text])
    except RecipeError:
        return
    assert Recipe.model_validate(tomllib.loads(recipe.toml())) == recipe


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 20_000, "1e999", "{a=" * 2000])
def test_absurd_values_are_recipe_errors_in_settings_and_files(tmp_path, value):
    with pytest.raises(RecipeError):
        read_recipe("paper", [f"train.epochs={value}"])
    (tmp_path / "r.toml").write_text(f"[train]\nepochs={value}\n")
    with pytest.raises(RecipeError):
        read_recipe(str(tmp_path / "r.toml"))


def test_the_source_is_taken_as_it_is():
    assert read_recipe("paper", source="folder:/a b'\"c=").data.source == "folder:/a b'\"c="


def test_dil_brings_its_preparation_head_and_views_and_the_written_recipe_says_so():
    for chosen in (["objective.name=dil"], ["objective.name=danil", "objective.base=dil"]):
        recipe = read_recipe("paper", chosen)
        assert (recipe.data.preprocess, recipe.data.views, recipe.head) == ("fundus", 8, "dropout")
        assert (recipe.augment.rotate, recipe.augment.scale) == (180.0, 0.1)
        written = tomllib.loads(recipe.toml())
        assert (written["data"]["preprocess"], written["data"]["views"]) == ("fundus", 8)
    own = read_recipe("paper", ["objective.name=dil", "data.views=1", "data.preprocess=none", "augment.rotate=0"])
    assert (own.data.views, own.data.preprocess, own.augment.rotate, own.head) == (1, "none", 0.0, "dropout")
    assert read_recipe("paper", ["objective.name=base"]).data.preprocess == "none"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["objective.name=ohem", "objective.base=canet"],
            ["`objective.base` is `canet`", "only `objective.name=danil`"],
        ),
        (["objective.label_smoothing=0.1"], ["`objective.label_smoothing` is 0.1", "no single class"]),
        (["augment.mixup=0.2"], ["`augment.mixup` is not offered", "no single label"]),
        (["train.cutmix=1"], ["`train.cutmix` is not offered", "no single label"]),
        (["objective.base=danil"], ["`objective.base` is `danil`; there are base,", "multitask"]),
    ],
)
def test_what_does_not_compose_is_refused_with_the_reason(settings, words):
    with pytest.raises(RecipeError) as caught:
        read_recipe("paper", settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_label_smoothing_goes_with_every_other_objective():
    assert read_recipe("paper", ["objective.name=ohem", "objective.label_smoothing=0.1"]).objective.system == "ohem"


def test_the_page_of_keys_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "recipe.md"
    assert page.read_text(encoding="utf-8") == reference(), "python -m danil.runs.reference > docs/recipe.md"
