"""SIGTERM and Ctrl-C as a request: a training takes it between two steps, keeps its state and ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import TrainingError

REQUESTS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(TrainingError):
    """The training was asked to end before it was done."""

    def __init__(self) -> None:
        super().__init__(
            "the training was interrupted",
            fix="run it again: it goes on from its saved state",
            passing=True,
        )


class Termination:
    """Whether the process was asked to terminate while the block ran.

    A terminal and whoever started the job may both send one Ctrl-C: only the first request is acted upon.
    """

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False

    def __enter__(self) -> "Termination":
        self._previous = {number: signal.signal(number, self._take) for number in REQUESTS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For work that leaves nothing half done: a request then raises Interrupted inside the block."""
        if self.requested:
            raise Interrupted
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _take(self, *_: object) -> None:
        first, self.requested = not self.requested, True
        if first and self._at_once:
            raise Interrupted
