"""All keys of a recipe as Markdown: `python -m danil.runs.reference > docs/recipe.md`."""

import sys
from collections.abc import Mapping
from typing import Any

from danil.runs.recipe import BUILT_IN, Recipe, read_recipe
from danil.runs.sections import Section

LIMITS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
HEAD = """# Recipes

Every key of a recipe, its values and what the built-in recipes set. Made by `python -m danil.runs.reference`.

A recipe is a TOML file; what it leaves out has the value of the column `left out`.
`danil train DATA --recipe FILE --set section.key=value` changes single keys; a key that may be `none` is off then.
`danil train` writes the whole recipe, as resolved, to `RUN/recipe.toml`, which is a recipe again.
"""


def reference() -> str:
    """Return the page: a table per section with a row per key."""
    recipes = [recipe.model_dump() for recipe in (Recipe(), *map(read_recipe, BUILT_IN))]
    kinds = {name: field.annotation for name, field in Recipe.model_fields.items()}
    sections = {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}
    parts = [HEAD, *table(Recipe.model_json_schema(), recipes, [name for name in kinds if name not in sections])]
    for name, section in sections.items():
        schema = section.model_json_schema()
        about = " ".join(str(schema["description"]).split())
        parts += [f"\n## {name}\n\n{about}\n", *table(schema, [recipe[name] for recipe in recipes])]
    return "\n".join(parts) + "\n"


def table(schema: Mapping[str, Any], recipes: list[dict[str, Any]], keys: list[str] | None = None) -> list[str]:
    """Return the rows of a section, or of some of its keys."""
    head = ["key", "values", "left out", *(f"`{name}`" for name in BUILT_IN)]
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for key in keys or schema["properties"]:
        values = [shown(recipe[key]) for recipe in recipes]
        rows.append(f"| {' | '.join([f'`{key}`', taken(schema['properties'][key]), *values])} |")
    return rows


def shown(value: Any) -> str:
    """Return a value as `--set` takes it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def taken(field: Mapping[str, Any]) -> str:
    """Return which values a key takes."""
    if "anyOf" in field:
        return " or ".join("none" if one.get("type") == "null" else taken(one) for one in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false"}
    limits = [text.format(f"{field[name]:.12g}") for name, text in LIMITS.items() if name in field]
    return ", ".join([names[field["type"]], *limits])


if __name__ == "__main__":
    sys.stdout.write(reference())
