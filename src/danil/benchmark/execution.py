"""Running cells on this machine: each in a process of its own, several side by side, none twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from danil.benchmark.cell import Cell
from danil.benchmark.records import read_record, write_record
from danil.cores import cores
from danil.data.atomic import write_atomically

Status = Literal["finished", "skipped", "interrupted", "failed"]


@dataclass(frozen=True)
class Outcome:
    """Say how a cell ended; `reason` is what it said where it failed."""

    cell: Cell
    status: Status
    reason: str = ""


class Processes:
    """Know the running processes, so that one request to stop reaches all of them once."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.stopped = False

    def stop(self) -> None:
        """Ask every running process to finish its step, save and end; start no further one."""
        self.stopped = True
        for process in list(self.running):
            process.send_signal(signal.SIGTERM)

    def result(self, command: Sequence[str], folder: Path, environment: dict[str, str]) -> int:
        """Return the exit code of a command; what it prints goes to `output.txt` in the folder."""
        with (folder / "output.txt").open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, start_new_session=True, text=True
            )
            self.running.add(process)
            if self.stopped:
                process.send_signal(signal.SIGTERM)
            code = process.wait()
            self.running.discard(process)
        return code


def is_finished(cell: Cell, results: Path, any_code: bool = False) -> bool:
    """Tell whether a record of this very cell is there; `any_code` also takes one made by other code."""
    path = cell.record_path(results)
    record = read_record(path) if path.is_file() else None
    if record is None:
        return False
    return record.digest in {cell.digest, same_but_code(cell, record.code) if any_code else ""}


def same_but_code(cell: Cell, code: str) -> str:
    """Return the digest that the cell would have under other code."""
    return replace(cell, code=code).digest


def run_cells(
    cells: Sequence[Cell],
    *,
    results: Path,
    work: Path,
    workers: int = 1,
    any_code: bool = False,
    notice: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Train every cell that has no record, `workers` at a time, and return how each ended, in the order of `cells`.

    A cell's run lies in `work/<digest>` and is resumed where it was interrupted. The cores this process may use are
    shared out evenly (`OMP_NUM_THREADS`), so that workers do not crowd each other. SIGINT or SIGTERM stops every cell
    after its step.

    Args:
        cells: of one suite or several.
        results: folder of records.
        work: folder of run folders; may be deleted when everything is finished.
        workers: processes side by side.
        any_code: count records made by other code as finished.
        notice: is told of each outcome as it comes, in this thread.
    """
    threads = max(1, cores() // workers)
    processes = Processes()
    outcomes: dict[Path, Outcome] = {}

    def ended(outcome: Outcome) -> None:
        outcomes[outcome.cell.record_path(results)] = outcome
        notice(outcome)

    waiting = [cell for cell in cells if not is_finished(cell, results, any_code)]
    for cell in cells:
        if cell not in waiting:
            ended(Outcome(cell, "skipped"))
    old = {number: signal.signal(number, lambda *_: processes.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(run_one, cell, results, work, threads, processes) for cell in waiting]
            for future in as_completed(futures):
                ended(future.result())
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    return [outcomes[cell.record_path(results)] for cell in cells]


def run_one(cell: Cell, results: Path, work: Path, threads: int, processes: Processes) -> Outcome:
    """Run one cell to its record, unless everything was asked to stop."""
    if processes.stopped:
        return Outcome(cell, "interrupted")
    try:
        content, outcome = cell_result(cell, work, threads, processes)
        if content is not None:
            keep_record(cell, content, results, work)
    except OSError as error:
        return Outcome(cell, "failed", str(error))
    return outcome


def keep_record(cell: Cell, content: dict[str, Any], results: Path, work: Path) -> None:
    """Write the record where records go; only then the one beside the run is removed, so that no training is lost."""
    write_record(cell.record_path(results), content)
    (work / cell.digest / "record.json").unlink(missing_ok=True)


def cell_result(cell: Cell, work: Path, threads: int, processes: Processes) -> tuple[dict[str, Any] | None, Outcome]:
    """Return the record that the cell's process made, and how it ended."""
    folder = work / cell.digest
    write_atomically(folder / "cell.json", json.dumps(cell.description()))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "danil.benchmark.process", str(folder), str(os.getpid())]
    code = processes.result(command, folder, environment)
    if code == 0:
        return json.loads((folder / "record.json").read_text(encoding="utf-8")), Outcome(cell, "finished")
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGTERM):
        return None, Outcome(cell, "interrupted")
    lines = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1] if lines else f"the process ended with code {code} and said nothing"
    return None, Outcome(cell, "failed", f"{said} (all of it: `{folder / 'output.txt'}`)")
