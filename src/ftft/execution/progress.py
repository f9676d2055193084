"""Progress of one training: bars in the log and on the terminal, a file for `ftft status`, trackers."""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from ..errors import TrainingError
from ..replacing import replacing
from .interruption import Interrupted

LOG_SECONDS = 5.0
FILE_SECONDS = 2.0
LOSS_READINGS = 200
# The project of trackers that have such, and a folder for those that write files.
PROJECT = "ftft"
TRACKING = Path("results", "tracking")


class Progress:
    """Steps, loss, development score and remaining time, on every stream given.

    As a context it covers the whole job, and leaves in `file` (JSON) how the training stands and how it
    ended; nothing goes wrong where that cannot be written. The experiment `trackers`, by accelerate's names
    for them, get losses, learning rates and development scores under the run's name, those that write files
    below `root`.
    """

    def __init__(
        self,
        title: str,
        streams: list[TextIO],
        trackers: Sequence[str] = (),
        run: str = "",
        file: str | Path | None = None,
        root: str | Path = "",
    ):
        self._title, self._streams = title, streams
        self._trackers, self._run = list(trackers), run
        self._tracking = Path(root) / TRACKING / run
        self._file = Path(file) if file else None
        self._bars: list[tqdm] = []
        self._loss = self._development = ""
        self._entries = {
            "run": run,
            "state": "starting",
            "host": platform.node(),
            "pid": os.getpid(),
            "lock": None,
            **dict.fromkeys(("step", "steps", "seconds", "seconds_left", "loss", "development", "best")),
        }
        self._written = self._started = time.monotonic()

    def __enter__(self) -> "Progress":
        self._write()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        ended = "finished" if error is None else "failed" if isinstance(error, Exception) else "stopped"
        self._write(state="stopped" if isinstance(error, Interrupted) else ended, seconds_left=None)

    def announce(self, message: str) -> None:
        """Say something on every stream before the bars are drawn."""
        for stream in self._streams:
            print(message, file=stream, flush=True)

    def holds(self, lock: Path) -> None:
        """This job is the one that trains the run, as a lock says at this path below the scratch folder."""
        self._write(lock=lock.as_posix())

    @property
    def tracking(self) -> dict:
        """How an Accelerator is told of the trackers."""
        return {"log_with": self._trackers, "project_dir": self._tracking} if self._trackers else {}

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
        self._steps, self._done, self._read_every = done, done, max(1, steps // LOSS_READINGS)
        self._started = time.monotonic()
        self._write(state="running", step=done, steps=steps, seconds=0)

    def step(self, loss) -> None:
        """One step is done; `loss`, a tensor, is read from its device every few steps only."""
        self._steps += 1
        if self._steps % self._read_every == 0:
            value = loss.item()
            self._loss, self._entries["loss"] = f"loss {value:.3f}", value
            self._describe()
            self._log({"loss": value, "learning_rate": self._learning_rate(self._steps)})
        for bar in self._bars:
            bar.update(1)
        if time.monotonic() - self._written >= FILE_SECONDS:
            self._write()

    def checkpoint(self, score: float, scored: list[dict]) -> None:
        """A checkpoint was scored: the `score` to show, and its entries of the trajectory."""
        shown = {"score": score, "checkpoint": scored[0]["checkpoint"]}
        best = self._entries["best"]
        if best is None or score > best["score"]:
            self._entries["best"] = shown
        self._development = f", dev {score:.3f} at checkpoint {shown['checkpoint']}"
        self._describe()
        self._write(development=shown)
        self._log({f"{entry['dataset']}/{entry['metric']}": entry["value"] for entry in scored})

    def close(self) -> None:
        """Draw the bars a last time, and close the trackers."""
        for bar in self._bars:
            bar.close()
        for tracker in self._accelerator.trackers:
            tracker.finish()
        self._write()

    def _log(self, values: dict[str, float]) -> None:
        self._accelerator.log(values, step=self._steps)

    def _describe(self) -> None:
        for bar in self._bars:
            bar.set_postfix_str(self._loss + self._development, refresh=False)

    def _write(self, **entries: object) -> None:
        """Leave the entries in the file, whole or not at all."""
        self._entries |= entries
        self._written = time.monotonic()
        if self._file is None:
            return
        if self._entries["state"] == "running":
            self._entries |= self._times()
        with suppress(OSError), replacing(self._file) as temporary:
            temporary.write_text(json.dumps(self._entries), encoding="utf-8")

    def _times(self) -> dict:
        """Steps and seconds, and the seconds left at the pace so far; evaluations count."""
        seconds, here = self._written - self._started, self._steps - self._done
        left = seconds / here * (self._entries["steps"] - self._steps) if here else None
        return {"step": self._steps, "seconds": seconds, "seconds_left": left}
