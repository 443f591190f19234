"""Ctrl-C, SIGTERM and a lost terminal: finish the step, save, and leave a resumable run."""

import os
import signal
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

HANGUP = getattr(signal, "SIGHUP", None)
"""The signal that the terminal or connection is gone; Windows does not have it."""


class Interrupted(Exception):
    """Tell that the run was asked to stop and has been saved; `signal` is the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number

    @property
    def exit_code(self) -> int:
        """Return 128 + the signal's number, as a shell would."""
        return 128 + self.signal


class Requests:
    """Remember the first signal that asked to stop."""

    def __init__(self) -> None:
        self.number: int | None = None


@contextmanager
def stop_requests(requests: Requests | None = None) -> Generator[Requests]:
    """Yield what collects the signals that ask to stop instead of dying at once; a second Ctrl-C stops immediately."""
    requests = Requests() if requests is None else requests
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def remember(number: int, frame: FrameType | None) -> None:
        if requests.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == HANGUP:
            silence_lost_terminals()
        requests.number = requests.number or number

    old = {number: signal.signal(number, remember) for number in stopping_signals()}
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def stopping_signals() -> list[signal.Signals]:
    """Return the signals to heed: Ctrl-C's, SIGTERM, and SIGHUP unless it is ignored, as under `nohup`.

    A signal whose handler was not installed from Python is left to it: Python could not put that handler back.
    """
    heeded = [signal.SIGINT, signal.SIGTERM]
    if HANGUP is not None and signal.getsignal(HANGUP) != signal.SIG_IGN:
        heeded.append(HANGUP)
    return [number for number in heeded if signal.getsignal(number) is not None]


def silence_lost_terminals() -> None:
    """Let what is written to a terminal that is gone go nowhere: it would fail, and with it the saving."""
    with Path(os.devnull).open("wb") as nowhere, suppress(OSError):
        for descriptor in (1, 2):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                os.dup2(nowhere.fileno(), descriptor)
