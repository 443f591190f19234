"""How much memory decoding may take at a time in one process, whatever the files declare."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

DECODING_BYTES = 960 * 2**20
"""Bytes that the images being decoded in one process take together, at most."""


class Allowance:
    """Share a number of bytes among threads: who asks for more than is left waits until others have given back."""

    def __init__(self, total: int) -> None:
        self.total, self.taken = total, 0
        self.changed = threading.Condition()

    @contextmanager
    def of(self, needed: int) -> Generator[None]:
        """Take so many bytes for a while; a need above the total is granted alone."""
        share = min(needed, self.total)
        with self.changed:
            self.changed.wait_for(lambda: self.taken + share <= self.total)
            self.taken += share
        try:
            yield
        finally:
            with self.changed:
                self.taken -= share
                self.changed.notify_all()

    def __reduce__(self) -> tuple[type["Allowance"], tuple[int]]:
        return (type(self), (self.total,))


decoding = Allowance(DECODING_BYTES)
"""What all decoding in this process shares."""
