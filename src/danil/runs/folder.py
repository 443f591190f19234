"""The run folder: one run, one folder, every later verb takes this folder and nothing else."""

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from danil.data.atomic import PARTIAL, write_atomically
from danil.data.manifest import Manifest
from danil.data.writable import folder_fault
from danil.runs.recipe import Recipe, read_recipe
from danil.runs.record import RunError, checked_record

LIBRARIES = (
    "danil-torch",
    "torch",
    "torchvision",
    "timm",
    "lightning-fabric",
    "numpy",
    "pandas",
    "scikit-learn",
    "pillow",
)
LOCK = ".lock"
"""Name of the file that the process writing into a run folder holds locked."""


@dataclass(frozen=True)
class RunFolder:
    """Name the files of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """Return the complete recipe, as resolved."""
        return self.path / "recipe.toml"

    @property
    def environment(self) -> Path:
        """Return versions, device, git state and command."""
        return self.path / "environment.json"

    @property
    def manifest(self) -> Path:
        """Return the table of images used, with their split."""
        return self.path / "manifest.csv"

    @property
    def data(self) -> Path:
        """Return the record of the data: source, root, digest, tasks and class names."""
        return self.path / "data.json"

    @property
    def log(self) -> Path:
        """Return the table of epochs."""
        return self.path / "log.csv"

    @property
    def predictions(self) -> Path:
        """Return the predictions on the test part."""
        return self.path / "predictions.csv"

    @property
    def metrics(self) -> Path:
        """Return the metrics of the test part."""
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        """Return the HTML report."""
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        """Return the folder of figures."""
        return self.path / "figures"

    def checkpoint(self, name: str) -> Path:
        """Return the checkpoint of this name: `last` (to resume) or `best` (to predict)."""
        return self.path / "checkpoints" / f"{name}.safetensors"

    def record(self) -> dict[str, Any]:
        """Return the record of the data.

        Raises:
            RunError: the folder is not a run, or its record is damaged.
        """
        try:
            return checked_record(json.loads(self.data.read_text(encoding="utf-8")), self.data)
        except FileNotFoundError as error:
            raise RunError(f"`{self.path}` is not a run folder: it has no `{self.data.name}`.") from error
        except RunError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"`{self.data}` is damaged: {error}.") from error

    def read_environment(self) -> dict[str, Any]:
        """Return versions, device and command as recorded; empty where the record is missing or damaged."""
        try:
            return dict(json.loads(self.environment.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return {}

    def read_recipe(self) -> Recipe:
        """Return the run's recipe."""
        if not self.recipe.is_file():
            raise RunError(
                f"`{self.path}` is not a run folder: it has no `{self.recipe.name}`. Make one with `danil train`."
            )
        return read_recipe(str(self.recipe))


def check_free(folder: RunFolder, overwrite: bool) -> None:
    """Refuse to make a run where something is that must not be lost, or where nothing can be written.

    Raises:
        RunError: no folder can be there, something is there and `overwrite` is off, or `overwrite` would delete what is
            no run.
    """
    fault = folder_fault(folder.path)
    if fault is not None:
        raise RunError(f"a run folder cannot be made at `{folder.path}`: {fault}. Choose another `--out`.")
    if not folder.path.exists() or not contents(folder):
        return
    if not folder.recipe.is_file():
        raise RunError(
            f"`{folder.path}` exists and is not a run folder (it has no `{folder.recipe.name}`), so that `--resume` "
            "cannot go on with it, and `--overwrite` does not delete it. Choose another `--out`."
        )
    if not overwrite:
        raise RunError(
            f"`{folder.path}` exists. Go on with it by `--resume`, replace it by `--overwrite`, "
            "or choose another `--out`."
        )


def contents(folder: RunFolder) -> list[Path]:
    """Return what is in the folder, except a lock and what a killed writer left."""
    return [path for path in folder.path.iterdir() if path.name != LOCK and not PARTIAL.fullmatch(path.name)]


def write_run(folder: RunFolder, recipe: Recipe, manifest: Manifest, command: Sequence[str]) -> None:
    """Empty the run folder and write recipe, environment, manifest and the record of the data into it.

    The recipe, which marks the folder as a run, is written first and deleted last, the record of the data the other
    way round: a folder with a recipe and no record is one whose making, or deletion, was cut short.
    """
    folder.data.unlink(missing_ok=True)
    for path in sorted(contents(folder), key=lambda path: path == folder.recipe):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    write_atomically(folder.recipe, recipe.toml())
    write_atomically(folder.environment, json.dumps(environment(command), indent=2))
    write_atomically(folder.manifest, manifest.table.to_csv(index=False))
    write_data_record(folder, manifest)


def write_data_record(folder: RunFolder, manifest: Manifest) -> None:
    """Write the record of the data."""
    write_atomically(folder.data, json.dumps(data_record(manifest), indent=2))


def data_record(manifest: Manifest) -> dict[str, Any]:
    """Return what identifies the data: source, root, digest, tasks and class names."""
    return {
        "source": manifest.source,
        "root": None if manifest.root is None else str(manifest.root),
        "digest": manifest.digest(),
        "grouped": manifest.grouped,
        "tasks": {task: list(names) for task, names in manifest.tasks.items()},
        "images": {str(part): int(count) for part, count in manifest.table["split"].value_counts().items()},
    }


def environment(command: Sequence[str]) -> dict[str, Any]:
    """Return versions, device, git state and command of this process."""
    return {
        "command": list(command),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: installed(name) for name in LIBRARIES},
        "threads": torch.get_num_threads(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] or ["cpu"],
        "git": git_state(),
    }


def installed(name: str) -> str | None:
    """Return a library's installed version."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def git_state() -> str | None:
    """Return `git describe` of the checkout that this file is part of, `None` where it is in none."""
    tracked = git_answer("ls-files", "--error-unmatch", Path(__file__).name)
    return git_answer("describe", "--always", "--dirty") if tracked else None


def git_answer(*words: str) -> str | None:
    """Return what git says in this file's folder, `None` where it fails or there is none."""
    try:
        answer = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def command_line() -> list[str]:
    """Return the command of this process, the program by its name alone."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
