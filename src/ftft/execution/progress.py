"""Progress of one training: a bar in the job's log, and on the terminal when one job runs alone; trackers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from ..errors import TrainingError

LOG_SECONDS = 5.0
LOSS_READINGS = 200
# The project of trackers that have such, and a folder for those that write files.
PROJECT = "ftft"
TRACKING = Path("results", "tracking")


class Progress:
    """Steps, loss, development score and remaining time, on every stream given.

    The experiment `trackers`, by accelerate's names for them, get losses, learning rates and development
    scores under the run's name.
    """

    def __init__(self, title: str, streams: list[TextIO], trackers: Sequence[str] = (), run: str = ""):
        self._title, self._streams = title, streams
        self._trackers, self._run = list(trackers), run
        self._bars: list[tqdm] = []
        self._loss = self._development = ""

    def announce(self, message: str) -> None:
        """Say something on every stream before the bars are drawn."""
        for stream in self._streams:
            print(message, file=stream, flush=True)

    @property
    def tracking(self) -> dict:
        """How an Accelerator is told of the trackers."""
        return {"log_with": self._trackers, "project_dir": TRACKING / self._run} if self._trackers else {}

    def start(
        self, steps: int, done: int, accelerator, settings: dict, learning_rate: Callable[[int], float]
    ) -> None:
        """Draw the bars of a run of `steps` steps, `done` of them before, and start the trackers of
        `accelerator`, which are told its `settings`.

        Raises TrainingError where a tracker is not installed.
        """
        self._accelerator, self._learning_rate = accelerator, learning_rate
        if self._trackers:
            name = {"name": self._run}
            accelerator.init_trackers(PROJECT, settings, {"wandb": name, "trackio": name})
        missing = set(self._trackers) - {tracker.name for tracker in accelerator.trackers}
        if missing:
            raise TrainingError(
                "an experiment tracker is not installed",
                got=f"runtime.trackers: {', '.join(sorted(missing))}",
                fix="install its package where trainings run, or take it from runtime.trackers",
            )
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
            value = loss.item()
            self._loss = f"loss {value:.3f}"
            self._describe()
            self._log({"loss": value, "learning_rate": self._learning_rate(self._steps)})
        for bar in self._bars:
            bar.update(1)

    def checkpoint(self, score: float, scored: list[dict]) -> None:
        """A checkpoint was scored: the `score` to show, and its entries of the trajectory."""
        self._development = f", dev {score:.3f} at checkpoint {scored[0]['checkpoint']}"
        self._describe()
        self._log({f"{entry['dataset']}/{entry['metric']}": entry["value"] for entry in scored})

    def _log(self, values: dict[str, float]) -> None:
        self._accelerator.log(values, step=self._steps)

    def _describe(self) -> None:
        for bar in self._bars:
            bar.set_postfix_str(self._loss + self._development, refresh=False)

    def close(self) -> None:
        """Draw the bars a last time, and close the trackers."""
        for bar in self._bars:
            bar.close()
        for tracker in self._accelerator.trackers:
            tracker.finish()
