"""All public Python names as Markdown: `python benchmarks/python_names.py > docs/python.md`.

Everything is read from the sources, without importing them: a name's line is the first line of its docstring; that of a
constant without one is its module's.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src" / "danil"
PACKAGES = ("", "objectives", "runs", "training", "evaluation", "explanation", "data", "models", "statistics")
"""The packages whose names are for users; `""` is `danil` itself."""
HEAD = """# Python names

Every public name, with the first line of its docstring; `help(NAME)` has arguments, shapes, errors and an example.
Made by `python benchmarks/python_names.py`. Below a class stand its public methods and those of its fields that its
docstring tells. How to begin: [README](../README.md#in-your-own-loop); what the command line writes:
[run_folder.md](run_folder.md).

A loss of one's own under DANIL, two tasks, and a stop on numbers that are no numbers:

```python
import torch
from danil.objectives import CrossEntropy, DistractorAware, ImageLoss, WeightedTasks, check_finite


class Focal(ImageLoss):
    def per_image(self, logits, targets):
        losses = CrossEntropy().per_image(logits, targets)
        return losses * (1 - torch.exp(-losses)) ** 2


class Network(torch.nn.Linear):
    def forward(self, images):
        grade, edema = super().forward(images.flatten(1)).split(3, dim=1)
        return {"grade": grade, "edema": edema}


images, known, unknown = torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 2, 0]), torch.tensor([1, -1, -1, 2])
objective = DistractorAware(base=WeightedTasks({"grade": 1.0, "edema": 0.5}, base=Focal()))
terms = objective(Network(12, 6), images, {"grade": known, "edema": unknown})
check_finite(terms)
assert terms.losses.shape == (4,)
```
"""
Definition = ast.ClassDef | ast.FunctionDef


def names_page() -> str:
    """Return the page: a table per package with a row per name and member."""
    return "\n".join([HEAD, *(part for package in PACKAGES for part in package_table(package))])


def package_table(package: str) -> list[str]:
    """Return the heading and the table of one package."""
    tree = parsed(ROOT / package / "__init__.py")
    title = f"danil.{package}".removesuffix(".")
    about = (ast.get_docstring(tree) or "").splitlines()[0]
    found = [list(told(name, definition_module(tree, name))) for name in exported(tree)]
    rows = [row(*pair) for pairs in found for pair in (pairs if package else pairs[:1])]
    return [f"## `{title}`\n\n{about}\n\n| name | what |\n|---|---|", *rows, ""]


def parsed(path: Path) -> ast.Module:
    """Return a source file's tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def exported(tree: ast.Module) -> list[str]:
    """Return the names in `__all__`, in order."""
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and target(node) == "__all__"]
    return list(ast.literal_eval(values[0]))


def definition_module(tree: ast.Module, name: str) -> ast.Module:
    """Return the module that defines what a module imports by this name, through any number of imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            place = ROOT.joinpath(*(node.module or "").split(".")[1:])
            package = place / "__init__.py"
            return definition_module(parsed(package if package.is_file() else place.with_suffix(".py")), name)
    return tree


def told(name: str, module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield a name with its line, and below a class its fields and methods with theirs."""
    for place, node in enumerate(module.body):
        if isinstance(node, Definition) and node.name == name:
            yield name, first_line(node)
            yield from members(node) if isinstance(node, ast.ClassDef) else ()
            return
        if isinstance(node, ast.Assign | ast.AnnAssign) and target(node) == name:
            after = module.body[place + 1] if place + 1 < len(module.body) else None
            text = after.value if isinstance(after, ast.Expr) else None
            held = text.value if isinstance(text, ast.Constant) else None
            yield name, held.splitlines()[0] if isinstance(held, str) else first_line(module)
            return
    raise LookupError(f"`{name}` is public, but no definition of it was found.")


def members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield the fields that a class's docstring tells in a sentence of their own, and its public methods."""
    fields = [target(item) for item in node.body if isinstance(item, ast.AnnAssign)]
    text = " ".join((ast.get_docstring(node) or "").split("\n\nArgs:")[0].split())
    sentences = re.split(rf"(?<=[.;])\s+(?=`(?:{'|'.join(fields)})`)", text) if fields else []
    for field in fields:
        for sentence in (one for one in sentences if one.startswith(f"`{field}` ")):
            yield f"{node.name}.{field}", re.split(r"(?<=\.)\s+(?=[A-Z])", sentence)[0].rstrip(";.") + "."
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and not validates(item):
            yield f"{node.name}.{item.name}", first_line(item)


def validates(node: ast.FunctionDef) -> bool:
    """Tell whether a method is called by pydantic alone."""
    return any("validator" in ast.unparse(decorator) for decorator in node.decorator_list)


def target(node: ast.Assign | ast.AnnAssign) -> str:
    """Return what an assignment names."""
    return ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)


def first_line(node: Definition | ast.Module) -> str:
    """Return the first line of a docstring."""
    text = ast.get_docstring(node)
    if not text:
        raise LookupError(f"`{getattr(node, 'name', 'a module')}` has no docstring.")
    return text.splitlines()[0]


def row(name: str, text: str) -> str:
    """Return a line of a table."""
    return f"| `{name}` | {text.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    sys.stdout.write(names_page())
