"""Recording the training dynamics of responses in a loop of one's own, or in a trainer of language models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from ..data.dataset import Dataset, object_array
from ..errors import DataError
from ..tasks.base import kind_of
from . import arguments
from .datamap import DataMap
from .dynamics import Dynamics, save_dynamics
from .recorder_state import opened, sealed

STATE = "ftft.ResponseRecorder/2"
# What no loss counts, by the convention of transformers.
IGNORED = -100
KIND = kind_of("generation")
WIDTH = 4


def response_statistics(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What `generation` records of every row, [b, 4] float32: response tokens, the sum of their
    log-probabilities, their mean probability, how many of them have the largest.

    logits [b, tokens, vocabulary] and labels [b, tokens] as a causal language model of transformers takes
    them: the logits at a token are those of the next, and labels of -100 do not count.
    """
    gold = labels[:, 1:]
    counts = gold != IGNORED
    chosen = logits[:, :-1][counts].float()
    log_p = -cross_entropy(chosen, gold[counts], reduction="none")
    right = (chosen.argmax(-1) == gold[counts]).float()
    rows = counts.nonzero()[:, 0]
    tokens = counts.sum(1)

    def total(values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(len(labels)).index_add(0, rows, values)

    return torch.stack([tokens, total(log_p), total(log_p.exp()) / tokens.clamp(min=1), total(right)], 1)


class ResponseRecorder:
    """Collects how likely each response was at every epoch, from the training pass itself.

    The instances are known by whole numbers and sorted by these; the first epoch says which there are.
    """

    def __init__(self):
        self.clear()

    def clear(self) -> None:
        """Forget all that was recorded."""
        self._uids: list[int] = []
        self._epochs: list[np.ndarray] = []
        self.discard_epoch()

    @property
    def epochs(self) -> int:
        """The number of complete epochs."""
        return len(self._epochs)

    @property
    def unfinished(self) -> bool:
        """Whether batches were recorded of an epoch that has not ended."""
        return bool(self._current)

    def discard_epoch(self) -> None:
        """Forget the batches of an epoch that has not ended: it is going to be trained again."""
        self._current: dict[int, list[float]] = {}

    def record(self, uids: Sequence[int], logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Take a batch: uids [b], logits [b, tokens, vocabulary], labels [b, tokens], -100 where a token is
        none of the response. Raises DataError, and the batch is left out.
        """
        names = arguments.labels(_in_memory(uids), argument="uids").tolist()
        arguments.instance("logits", logits, torch.Tensor)
        arguments.instance("labels", labels, torch.Tensor)
        if logits.dim() != 3 or labels.shape != logits.shape[:2] or len(names) != len(labels):
            raise DataError(
                "these are not logits of tokens with their labels",
                got=f"{len(names)} uids, logits {list(logits.shape)}, labels {list(labels.shape)}",
                expected="[b], [b, tokens, vocabulary] and [b, tokens]; rows that are not packed together",
            )
        vocabulary = logits.shape[2]
        counted = labels[labels != IGNORED]
        if labels.is_floating_point() or ((counted < 0) | (counted >= vocabulary)).any():
            raise arguments.refuse(
                "labels", f"{labels.dtype}", f"whole numbers from 0 to {vocabulary - 1}, and {IGNORED}"
            )
        found = response_statistics(logits.detach(), labels).cpu().numpy()
        if not (found[:, 0] > 0).all() or not np.isfinite(found).all():
            row = int(np.flatnonzero(~(found[:, 0] > 0) | ~np.isfinite(found).all(1))[0])
            raise DataError(
                f"the response of {names[row]} has no likelihood",
                got=f"{int(found[row, 0])} response tokens, log-probability {found[row, 1]:g}",
                expected="a response token at least, and finite logits",
                fix="leave out rows whose responses are cut off, or lower the learning rate",
            )
        if again := [name for place, name in enumerate(names) if name in {*self._current, *names[:place]}]:
            raise DataError(
                f"some instances occur twice in epoch {self.epochs}",
                got=f"{len(again)} repeated, the first of them {again[0]}",
                expected="each instance once in an epoch",
            )
        self._current |= dict(zip(names, found.tolist(), strict=True))

    def end_epoch(self) -> None:
        """Close an epoch in which every instance was recorded; otherwise DataError."""
        uids = sorted(self._current)
        if not uids or (self._epochs and uids != self._uids):
            raise DataError(
                f"epoch {self.epochs} holds other instances than the first",
                got=f"{len(uids)} instances",
                expected=f"{len(self._uids) or 'some'}, the same in every epoch",
                fix="keep the last, smaller batch (drop_last=False)",
            )
        self._uids = uids
        self._epochs.append(np.array([self._current[uid] for uid in uids], np.float32))
        self.discard_epoch()

    def _dataset(self) -> Dataset:
        names = [str(uid) for uid in self._uids]
        return Dataset(names, (), object_array([""] * len(names)), [], {}, KIND.name)

    def dynamics(self) -> Dynamics:
        """The complete epochs; raises DataError where there is none."""
        if not self._epochs:
            raise DataError("no epoch was recorded", fix="call record for every batch, end_epoch after each")
        found = list(KIND.dynamics(self._epochs, self._dataset()))
        p_true, correct = (np.stack([epoch[name] for epoch in found]) for name in ("p_true", "correct"))
        return Dynamics([str(uid) for uid in self._uids], p_true, correct)

    def data_map(self) -> DataMap:
        """The data map of the complete epochs; the method raises ArtifactError for fewer than two."""
        return DataMap.of(self.dynamics())

    def save(self, dynamics_file: str | Path) -> None:
        """Write the training dynamics, which `ftft select` reads; row i is the i-th uid in order."""
        self.dynamics()
        save_dynamics(dynamics_file, KIND, self._epochs, self._dataset(), {})

    def state_dict(self) -> dict:
        """All that was recorded, the epoch in progress included, of plain values, for a checkpoint."""
        rows = [*self._epochs, np.array([*self._current.values()], np.float32).reshape(-1, WIDTH)]
        recorded = np.concatenate(rows).tobytes()
        state = {"format": STATE, "uids": self._uids, "epochs": self.epochs, "current": [*self._current]}
        return sealed({**state, "recorded": recorded})

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` gave; raises DataError for anything else."""
        state = opened(state, STATE, {"uids", "epochs", "current", "recorded"})
        rows = np.frombuffer(state["recorded"], np.float32).reshape(-1, WIDTH).copy()
        done = state["epochs"] * len(state["uids"])
        self._uids = list(state["uids"])
        self._epochs = np.split(rows[:done], state["epochs"]) if state["epochs"] else []
        self._current = dict(zip(state["current"], rows[done:].tolist(), strict=True))


def _in_memory(values: object) -> object:
    return values.cpu() if isinstance(values, torch.Tensor) else values
