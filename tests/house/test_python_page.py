"""The page of Python names is what the sources say now."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python.md"
PACKAGES = ("", "objectives", "runs", "training", "evaluation", "explanation", "data", "models", "statistics")


@pytest.fixture
def page(monkeypatch):
    """The module that writes the page."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("python_names")


def test_the_page_is_up_to_date(page):
    assert PAGE.read_text(encoding="utf-8") == page.names_page(), "python benchmarks/python_names.py > docs/python.md"


def test_every_package_for_users_has_a_table(page):
    assert page.PACKAGES == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_a_row_with_the_first_line_of_its_docstring(page, package):
    module = import_module(f"danil.{package}".removesuffix("."))
    rows = page.package_table(package)[1:-1]
    told = dict(line.removeprefix("| `").removesuffix(" |").split("` | ", 1) for line in rows)
    assert [name for name in told if "." not in name] == list(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert told[name] == (value.__doc__ or "").strip().splitlines()[0].replace("|", r"\|"), name


def test_fields_and_methods_that_users_ask_for_have_rows(page):
    text = page.names_page()
    for name in ("Terms.losses", "CrossDisease", "WeightedTasks", "ImageLoss.per_image", "check_finite"):
        assert f"\n| `{name}` | " in text
    assert "\n| `FittedClassifier.response_maps` | Return A⁺, A⁻ and their difference" in text
