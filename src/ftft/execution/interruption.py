"""SIGTERM as a request: a training takes it between two steps, keeps its state and ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import TrainingError


class Interrupted(TrainingError):
    """The training was asked to end before it was done."""

    def __init__(self) -> None:
        super().__init__(
            "the training was interrupted by SIGTERM", fix="run it again: it goes on from its saved state"
        )


class Termination:
    """Whether the process was asked to terminate while the block ran."""

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False

    def __enter__(self) -> "Termination":
        self._previous = signal.signal(signal.SIGTERM, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For work that leaves nothing half done: a request then raises Interrupted inside the block."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _take(self, *_: object) -> None:
        self.requested = True
        if self._at_once:
            raise Interrupted
