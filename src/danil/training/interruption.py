"""Ctrl-C and SIGTERM: finish the step, save, and leave a resumable run."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


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
    """Yield what collects SIGINT and SIGTERM instead of dying at once; a second Ctrl-C stops immediately.

    A signal whose handler was not installed from Python is left to it: Python could not put that handler back.
    """
    requests = Requests() if requests is None else requests
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def remember(number: int, frame: FrameType | None) -> None:
        if requests.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        requests.number = requests.number or number

    ours = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not None]
    old = {number: signal.signal(number, remember) for number in ours}
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
