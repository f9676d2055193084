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

    def announce(self, message: str) -> None:
        """Say something on every stream before the bars are drawn."""
        for stream in self._streams:
            print(message, file=stream, flush=True)

    def start(self, steps: int, done: int = 0) -> None:
        """Draw the bars of a run of `steps` steps, `done` of them before."""
        self._bars = [
            tqdm(
                total=steps,
                initial=done,
                desc=self._title,
                unit="step",
                file=stream,
                mininterval=0.2 if stream.isatty() else LOG_SECONDS,
                ascii=not stream.isatty(),
                dynamic_ncols=stream.isatty(),
            )
            for stream in self._streams
        ]
        self._steps, self._read_every = done, max(1, steps // LOSS_READINGS)

    def step(self, loss) -> None:
        """One step is done; `loss`, a tensor, is read from its device every few steps only."""
        self._steps += 1
        if self._steps % self._read_every == 0:
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
