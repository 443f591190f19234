"""One cell in a process of its own: `python -m danil.benchmark.process FOLDER STARTER`, started by `execution`.

STARTER is the process id of the one that started it. With `train.devices` above 1 Fabric starts the same command for
the further processes; `LOCAL_RANK` tells them from the first. The folder holds `cell.json`; `run/` and `record.json`
are made there. The exit code is 0 when the record is written, 130 or 143 when a signal stopped the run (it can be
resumed), 1 for an error, told in one line on standard error.
"""

import fcntl
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from danil.benchmark.cell import cell_from
from danil.benchmark.records import made_record, write_record
from danil.benchmark.suite import check_as_planned
from danil.data.atomic import write_atomically
from danil.evaluation import evaluate_run
from danil.training import Interrupted, train_run


def main() -> int:
    """Train or resume the cell of the folder named on the command line."""
    folder, first = Path(sys.argv[1]), os.environ.get("LOCAL_RANK", "0") == "0"
    stop_without(int(sys.argv[2]) if first else os.getppid())
    with (folder / "lock").open("w") if first else nullcontext() as lock:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a process left over from a killed suite finishes its step first
        try:
            run_cell(folder, first)
        except Interrupted as stop:
            return stop.exit_code
        except Exception as error:
            if not type(error).__module__.startswith("danil."):
                raise
            lines = str(error).splitlines()
            print(*lines, *lines[:1], sep="\n", file=sys.stderr)  # noqa: T201 — the starter reads the last line
            return 1
    return 0


def run_cell(folder: Path, first: bool) -> None:
    """Train the cell, evaluate it and write `record.json` beside its run; nothing where that is there.

    Of several processes the first alone keeps the folder; the others train.

    Raises:
        SuiteError: the code or the data are not those that the cell was planned with.
    """
    description = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    cell = cell_from(description, folder)
    check_as_planned(cell)
    if not first:
        train_run(cell.recipe, folder / "run", resume=True, quiet=True)
        return
    if (folder / "record.json").is_file():
        return
    if not any((folder / "run" / "checkpoints").glob("*")):  # nothing to resume: a training anew counts from 0
        shutil.rmtree(folder / "run", ignore_errors=True)
        (folder / "spent.json").unlink(missing_ok=True)
    clock, processor = time.monotonic(), processor_seconds()
    spent = spent_before(folder)
    try:
        run = train_run(cell.recipe, folder / "run", resume=True, quiet=True)
    finally:
        used = [spent[0] + time.monotonic() - clock, spent[1] + processor_seconds() - processor]
        write_atomically(folder / "spent.json", json.dumps(used))
    assert run is not None
    if cell.part == "test":
        evaluate_run(run.path)
    write_record(folder / "record.json", made_record(cell, run, *spent_before(folder)))
    shutil.rmtree(run.path / "checkpoints")


def spent_before(folder: Path) -> tuple[float, float]:
    """Return wall and processor seconds that earlier starts of this cell have used; 0 where unknown."""
    try:
        wall, processor = json.loads((folder / "spent.json").read_text())
        return float(wall), float(processor)
    except (OSError, ValueError, TypeError):
        return 0.0, 0.0


def processor_seconds() -> float:
    """Return the processor seconds of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def stop_without(starter: int) -> None:
    """Ask this process to save and stop when the one that started it is gone, be it before this call."""

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
