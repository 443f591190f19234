"""Run the program in this process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from danil.cli.main import main


@dataclass
class Answer:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def danil(monkeypatch, capsys) -> Callable[..., Answer]:
    """Run `danil WORDS…` and return its answer."""

    def run(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["danil", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return run
