"""Progress of one training: a bar in the job's log, and on the terminal when one job runs alone."""

from typing import TextIO

from tqdm import tqdm

LOG_SECONDS = 5.0
LOSS_READINGS = 200


class Progress:
    """Steps, loss, development score and remaining time, on every stream given."""

    def __init__(self, title: str, streams: list[TextIO]):
        self._title, self._streams = title, streams
        self._bars: list[tqdm] = []
        self._loss = self._development = ""

    def start(self, steps: int) -> None:
        """Draw the empty bars of a run of `steps` steps."""
        self._bars = [
            tqdm(
                total=steps,
                desc=self._title,
                unit="step",
                file=stream,
                mininterval=0.2 if stream.isatty() else LOG_SECONDS,
                ascii=not stream.isatty(),
                dynamic_ncols=stream.isatty(),
            )
            for stream in self._streams
        ]
        self._read_every = max(1, steps // LOSS_READINGS)

    def step(self, step: int, loss) -> None:
        """One step is done; `loss`, a tensor, is read from its device every few steps only."""
        if step % self._read_every == 0:
            self._loss = f"loss {loss.item():.3f}"
            self._describe()
        for bar in self._bars:
            bar.update(1)

    def checkpoint(self, score: float, checkpoint: int) -> None:
        """A checkpoint was scored."""
        self._development = f", dev {score:.3f} at checkpoint {checkpoint}"
        self._describe()

    def _describe(self) -> None:
        for bar in self._bars:
            bar.set_postfix_str(self._loss + self._development, refresh=False)

    def close(self) -> None:
        """Draw the bars a last time."""
        for bar in self._bars:
            bar.close()
