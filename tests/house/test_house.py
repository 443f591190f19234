"""The house rules, enforced."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer

from danil.cli.main import app

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "danil").rglob("*.py"))
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FLOORS = (
    ("objectives", "cores"),
    ("models", "data", "statistics"),
    ("runs",),
    ("training", "evaluation", "explanation", "export"),
    ("benchmark", "report"),
    ("cli", "web"),
)
HEAVY = {"torch", "timm", "pandas", "lightning_fabric", "matplotlib", "sklearn", "scipy", "PIL", "numpy"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def floor_of(package: str) -> int:
    return next(number for number, packages in enumerate(FLOORS) if package in packages)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_package_imports_only_strictly_lower_floors(path):
    parts = path.relative_to(ROOT / "src" / "danil").parts
    if len(parts) == 1:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            target = module.split(".")
            if target[0] == "danil" and len(target) > 1 and target[1] != parts[0]:
                assert floor_of(target[1]) < floor_of(parts[0]), f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_and_functions_stay_small(path):
    text = path.read_text()
    limit = 30 if path.name == "__init__.py" else 250
    assert len(text.splitlines()) <= limit
    assert len(path.relative_to(ROOT / "src" / "danil").parts) <= 2
    assert path.stem not in {"utils", "helpers", "common", "manager", "util", "misc"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            document = ast.get_docstring(node, clean=False)
            lines = node.end_lineno - node.lineno + 1 - (len(document.splitlines()) if document else 0)
            assert lines <= (60 if "cli" in path.parts else 40), f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_untrusted_is_unpickled(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & {"pickle", "dill", "joblib", "cloudpickle"}
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert any(key.arg == "weights_only" and ast.literal_eval(key.value) for key in node.keywords)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"np.load", "numpy.load"}:
            assert not any(key.arg == "allow_pickle" and ast.literal_eval(key.value) for key in node.keywords)


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for extra, lines in project["optional-dependencies"].items() if extra != "dev"]
    asked = sum(extras, project["dependencies"])
    declared = {re.split("[<>=~!;\\[ ]", line)[0].lower().replace("_", "-") for line in asked}
    homes = packages_distributions()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for root in {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"danil"}:
                names = {home.lower().replace("_", "-") for home in homes.get(root, [root])}
                assert names & declared, f"{name(path)} imports {root}, which pyproject.toml does not declare"


def test_import_danil_loads_nothing_and_the_first_name_loads_torch_only():
    code = (
        "import sys, danil; before = set(sys.modules); danil.DistractorAware; after = set(sys.modules);"
        "print(sorted(m for m in before if '.' not in m)); print(sorted(m for m in after if '.' not in m))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = (set(ast.literal_eval(line)) for line in answer.stdout.splitlines())
    assert not before & HEAVY
    assert "torch" in after
    assert not after & {"timm", "pandas", "lightning_fabric", "matplotlib", "sklearn", "PIL"}


def test_help_loads_no_heavy_library():
    code = (
        "import sys\nfrom danil.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print('LOADED', sorted(m for m in sys.modules if '.' not in m))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(answer.stdout.split("LOADED")[1].strip()))
    assert not loaded & HEAVY


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_python_blocks_of_documents_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "document"}
    for block in re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, name(path), "exec"), space)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_to_files_in_documents_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_commands_in_documents_are_verbs_with_known_options_and_lack_none(path):
    program = typer.main.get_command(app)
    for block in re.findall(r"^```console\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        for command in re.findall(r"^danil (?:[^\\\n]|\\\n)*", block, re.MULTILINE):
            verb, *words = shlex.split(command.replace("\\\n", " "), comments=True)[1:]
            program.commands[verb].make_context(verb, words)  # parses only; raises what the command line would say


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=name)
def test_every_benchmark_can_be_imported(path, monkeypatch):
    monkeypatch.syspath_prepend(path.parent)
    importlib.import_module(path.stem)
