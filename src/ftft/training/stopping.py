"""Early stopping with patience (paper, section 6)."""

import math
from dataclasses import dataclass

from ..errors import TrainingError


@dataclass
class EarlyStopping:
    """Counts checkpoints without improvement of a monitored score; more is better.

    Checkpoints are numbered from 1. A score improves only by being strictly greater. Patience does
    not count while the best score is 0: F1 of entities is, as long as a model has not begun to learn.
    """

    patience: int
    checkpoint: int = 0
    best_checkpoint: int = 0
    best_score: float = -math.inf

    def update(self, score: float) -> bool:
        """Take the next checkpoint's score; True where it is the best so far.

        Raises TrainingError for a score that is not a number.
        """
        self.checkpoint += 1
        if math.isnan(score):
            raise TrainingError(f"the monitored score is not a number at checkpoint {self.checkpoint}")
        improved = score > self.best_score
        if improved:
            self.best_checkpoint, self.best_score = self.checkpoint, score
        return improved

    @property
    def stopped(self) -> bool:
        """Whether `patience` checkpoints in a row brought no improvement."""
        return self.best_score != 0 and self.checkpoint - self.best_checkpoint >= self.patience


def read_early(scores: list[float], patience: int) -> EarlyStopping:
    """Apply the stop rule afterwards to the monitored scores of a full run.

    The result's `checkpoint` is where the run would have ended, `best_checkpoint` what it would keep.
    """
    stopping = EarlyStopping(patience)
    for score in scores:
        stopping.update(score)
        if stopping.stopped:
            break
    return stopping


def monitored_score(scored: list[dict], early_stopping: dict) -> float:
    """The mean of the monitored metric over the monitored development sets."""
    values = [
        entry["value"]
        for entry in scored
        if entry["metric"] == early_stopping["metric"] and entry["dataset"] in early_stopping["monitored"]
    ]
    return sum(values) / len(values)
