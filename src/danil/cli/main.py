"""The program `danil`: verbs, and errors in words instead of tracebacks."""

import io
import logging
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from danil import __version__
from danil.cli import audit, benchmark, compare, demo, evaluate, explain, predict, report, split, table, train

app = typer.Typer(
    name="danil",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From a folder of medical images to an honestly evaluated, explained classifier trained with DANIL. "
    "Research software; not a medical device.",
)
VERBS = (
    demo.demo,
    audit.audit,
    split.split,
    train.train,
    evaluate.evaluate,
    compare.compare,
    explain.explain,
    report.report,
    predict.predict,
    benchmark.benchmark,
    table.table,
)
for verb in VERBS:
    app.command()(verb)


def print_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"danil {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Hold the options that stand before a verb."""


def main() -> None:
    """Run the program; what is wrong with the input ends in one message and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings(), notices():
            warnings.showwarning = show_warning
            app()
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        typer.echo("\n".join([f"danil: {worded(error)}", *getattr(error, "__notes__", ())]), err=True)
        sys.exit(code)


class Notices(logging.Handler):
    """Print what danil logs, once each, on the standard error stream."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message unless it has been, and call a warning one."""
        message = ("warning: " if record.levelno >= logging.WARNING else "") + record.getMessage()
        if message not in self.said:
            self.said.add(message)
            typer.echo(f"danil: {message}", err=True)


@contextmanager
def notices() -> Generator[None]:
    """Print what danil logs for a while."""
    logger, handler = logging.getLogger("danil"), Notices()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """Print a warning that danil gives as one line of words, anyone else's as Python does."""
    if Path(__file__).parents[1] in Path(filename).parents and issubclass(category, UserWarning):
        typer.echo(f"danil: warning: {message}", err=True)
    else:
        typer.echo(warnings.formatwarning(message, category, filename, lineno), err=True, nl=False)


def worded(error: Exception) -> str:
    """Return what an error says; of the system's own without its number, and naming the file."""
    if not isinstance(error, OSError) or not error.strerror or type(error).__module__.startswith("danil."):
        return str(error)
    named = str(error.filename) in error.strerror
    return f"{error.strerror}." if named else f"`{error.filename}`: {error.strerror}."


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that is meant for people; `None` for a bug, which keeps its traceback.

    Exception classes that danil defines say what is wrong in words; so do the system's errors about a file.
    """
    if type(error).__module__.startswith("danil."):
        return getattr(error, "exit_code", 2)
    return 2 if isinstance(error, OSError) and error.filename else None


if __name__ == "__main__":
    main()
