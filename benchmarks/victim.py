"""Runs that faults are done to: started as `danil train`, watched, hurt, resumed, and compared with one left alone.

Everything heavy is imported once; each run is a fork of this process that then behaves as the command line does.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

import danil.cli.main
import danil.evaluation
import danil.training
from danil.runs import RunFolder, read_checkpoint
from danil.runs.checkpoint import CheckpointError

Hurt = Callable[["Victim"], None]


@dataclass
class Victim:
    """Hold one run's command, folder and (while it runs) process."""

    words: list[str]
    folder: Path
    prepare: Callable[[], None] = lambda: None
    pid: int = 0
    pipe: int = -1

    @property
    def last(self) -> Path:
        """Return its checkpoint."""
        return RunFolder(self.folder).checkpoint("last")

    def start(self, *more: str) -> None:
        """Start `danil train`, its own process group."""
        if self.pipe >= 0:
            os.close(self.pipe)
        self.pipe, end = os.pipe()
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 2**20)
        os.set_blocking(self.pipe, False)
        self.pid = os.fork()
        if self.pid:
            os.close(end)
            return
        code = 1
        try:
            self.become(end, more)
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:  # noqa: BLE001  (this process is a fork: nothing may leave this function)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def become(self, output: int, more: tuple[str, ...]) -> None:
        """Behave as the command line does, in this process; what it prints goes into a pipe, which is on no disk."""
        os.setsid()
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.argv = [danil.cli.main.__file__, *self.words, "--out", str(self.folder), *more]
        self.prepare()
        danil.cli.main.main()

    def ended(self) -> bool:
        """Tell whether it is over, without forgetting how."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def spent(self) -> float:
        """Return the seconds of processor time of its main thread: a clock that a busy machine does not distort."""
        with contextlib.suppress(OSError, IndexError):
            return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9
        return float("inf")

    def wait_until(self, condition: Callable[[], bool], pause: float = 0.0005) -> bool:
        """Wait until the condition holds, or the run is over; tell whether it held."""
        while not condition():
            if self.ended():
                return False
            time.sleep(pause)
        return True

    def join(self, seconds: float = 600) -> int:
        """Return its exit code, as a shell would; a run that hangs is killed and gives 999."""
        end = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > end:
                self.send(signal.SIGKILL, group=True)
                os.waitpid(self.pid, 0)
                return 999
            time.sleep(0.01)
        _, status = os.waitpid(self.pid, 0)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)

    def send(self, number: int, group: bool = False) -> None:
        """Send a signal to the run, or to its workers and other ranks too."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def children(self) -> list[int]:
        """Return the processes it has started."""
        with contextlib.suppress(OSError):
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def partial(self) -> bool:
        """Tell whether a file is half written."""
        return any(self.last.parent.glob(".*.part"))

    def saved(self) -> int:
        """Return the steps that its last sound checkpoint holds, −1 without one."""
        for file in (self.last, self.last.with_name("last.previous.safetensors")):
            with contextlib.suppress(CheckpointError):
                return read_checkpoint(file).state["position"]["steps"]
        return -1

    def text(self) -> str:
        """Return what it printed since this was last asked."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.pipe, 2**20).decode(errors="replace")
        return ""

    def memory(self) -> int:
        """Return the bytes of memory that are its own."""
        with contextlib.suppress(OSError, AttributeError):
            found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
            return 1024 * int(found.group(1))  # pyright: ignore
        return 0


def result(folder: Path) -> dict[str, str]:
    """Return digests of what a finished run left: weights, predictions, metrics, and the log without its times."""
    run = RunFolder(folder)
    state = read_checkpoint(run.checkpoint("last")).state
    weights = hashlib.sha256()
    for name, tensor in state["model"].items():
        weights.update(name.encode() + tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    log = pd.read_csv(run.log, dtype=str)
    log = log[[name for name in log if not name.endswith("seconds")]].to_csv()
    texts = {path.name: path.read_text() for path in sorted(folder.glob("*predictions*.csv"))}
    return {"weights": weights.hexdigest(), "log": sha(log)} | {name: sha(text) for name, text in texts.items()}


def sha(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def lingering(pids: list[int], seconds: float = 15) -> list[int]:
    """Return which of these processes are still there after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (left := [pid for pid in pids if alive(pid)]):
        time.sleep(0.05)
    return left if (left := [pid for pid in pids if alive(pid)]) else []


def alive(pid: int) -> bool:
    """Tell whether a process runs; a dead one that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def uninterrupted(victim: Victim) -> Iterator[float]:
    """Run the victim in peace and yield how much processor time its main thread took so far, again and again."""
    victim.start()
    while not victim.ended():
        yield victim.spent()
        time.sleep(0.002)
    code = victim.join()
    if code:
        raise SystemExit(f"the uninterrupted run ended with exit code {code}:\n{victim.text()}")
