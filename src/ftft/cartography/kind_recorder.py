"""Recording training dynamics of any kind of task in a loop of one's own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.dataset import Dataset
from ..errors import ArtifactError, DataError
from ..tasks.base import KINDS, kind_of
from . import arguments
from .datamap import DataMap
from .dynamics import Dynamics, save_dynamics
from .recorder_state import opened, sealed

STATE = "ftft.KindRecorder/2"


class KindRecorder:
    """Collects what a model gave for every instance of a data set at every epoch, from the training pass.

    `dataset` holds the instances, their targets and the `kind` of task; it need not hold texts. For a
    classification alone, `DynamicsRecorder` needs no data set.
    """

    def __init__(self, dataset: Dataset):
        arguments.instance("dataset", dataset, Dataset)
        self._kind = kind_of(arguments.choice("dataset.kind", dataset.kind, KINDS))
        uids = arguments.uids(dataset.uids, argument="dataset.uids")
        if len(dataset.labels) != len(uids):
            raise arguments.refuse(
                "dataset.labels", f"{len(dataset.labels)} labels", f"one per uid, {len(uids)}"
            )
        self._dataset, self._rows = dataset, {uid: row for row, uid in enumerate(uids)}
        self.clear()

    def clear(self) -> None:
        """Forget all that was recorded."""
        self._epochs: list[np.ndarray] = []
        self.discard_epoch()

    @property
    def epochs(self) -> int:
        """The number of complete epochs."""
        return len(self._epochs)

    @property
    def unfinished(self) -> bool:
        """Whether batches were recorded of an epoch that has not ended."""
        return bool(self._seen.any())

    def record(self, uids: Sequence, outputs: Sequence, words: Sequence | None = None) -> None:
        """Take a batch: uids [batch], and the model's outputs, finite numbers.

        The kind of task says which outputs. classification: logits [batch, classes]. multiple_choice:
        scores [batch, choices]; those beyond a row's own choices are ignored. multilabel: logits [batch,
        labels]. regression: predictions [batch] in the unit of the targets. token_classification: logits
        [batch, tokens, tags]; here `words` [batch, tokens] says which word of its instance each token is the
        first of, -1 for all other tokens. question_answering: [batch, 6]: the log-probabilities of the
        answer's start and end, over all strides as in docs/kinds.md; 1 where the best span is the answer,
        else 0; the best span's first character in the context and the one after its last; how far its score
        is above that of no answer. [batch, 3], without the best spans, works too; then no answer is
        suggested. generation: [batch, 4]: the number of a response's tokens, the sum of their
        log-probabilities, their mean probability, and how many of them have the largest.

        Raises DataError, and the batch is left out.
        """
        if not arguments.ordered(uids):
            raise arguments.refuse("uids", uids, "uids of the data set, [batch]")
        rows = self._places(list(uids))
        found = arguments.array("outputs", _in_memory(outputs), "finite numbers, a row per uid")
        if found.ndim == 0 or len(found) != len(rows) or not np.isfinite(found).all():
            raise arguments.refuse(
                "outputs",
                f"shape {list(found.shape)}, or a number not finite",
                f"{len(rows)} rows of finite numbers",
            )
        places = None if words is None else arguments.array("words", _in_memory(words), "whole numbers")
        taken = self._kind.taken(found.astype(np.float32), np.array(rows, np.int64), self._dataset, places)
        self._current[rows], self._seen[rows] = taken, True

    def end_epoch(self) -> None:
        """Close an epoch in which every instance was recorded; otherwise DataError, and it stays open."""
        if not self._seen.all():
            missing = np.flatnonzero(~self._seen)
            raise DataError(
                f"epoch {self.epochs} lacks instances of the data set",
                got=f"{len(missing)} missing, the first of them {self._dataset.uids[missing[0]]!r}",
                expected=f"all {len(self._seen)} uids in every epoch",
                fix="keep the last, smaller batch (drop_last=False)",
            )
        self._epochs.append(self._current)
        self.discard_epoch()

    def discard_epoch(self) -> None:
        """Forget the batches of an epoch that has not ended: it is going to be trained again."""
        instances = len(self._dataset)
        self._current = np.zeros((instances, self._kind.width(self._dataset)), np.float32)
        self._seen = np.zeros(instances, bool)

    def dynamics(self) -> Dynamics:
        """The complete epochs; of logits there are none."""
        if not self._epochs:
            raise DataError(
                "no epoch was recorded", fix="call record for every batch, end_epoch after each epoch"
            )
        found = list(self._kind.dynamics(self._epochs, self._dataset))
        p_true, correct = (
            np.stack([np.asarray(epoch[name]) for epoch in found]) for name in ("p_true", "correct")
        )
        worst = {"worst": np.stack([epoch["worst"] for epoch in found])} if "worst" in found[0] else {}
        return Dynamics(list(self._dataset.uids), p_true, correct, own=worst)

    def data_map(self) -> DataMap:
        """The data map of the complete epochs; the method raises ArtifactError for fewer than two."""
        return DataMap.of(self.dynamics())

    def save(self, dynamics_file: str | Path, data_file: str | Path) -> None:
        """Write the workflow's two files: the training dynamics, and the data set."""
        dynamics_file = arguments.path("dynamics_file", dynamics_file)
        data_file = arguments.path("data_file", data_file)
        self.dynamics()
        try:
            self._dataset.save(data_file)
            save_dynamics(dynamics_file, self._kind, self._epochs, self._dataset, {})
        except OSError as error:
            raise ArtifactError(
                f"{dynamics_file} or {data_file} cannot be written",
                got=error.strerror or type(error).__name__,
                fix="name a place where files can be made",
            ) from error

    def state_dict(self) -> dict:
        """All that was recorded, the epoch in progress included, of plain values, for a checkpoint."""
        return sealed(
            {
                "format": STATE,
                "data": self._dataset.content_hash,
                "epochs": self.epochs,
                "recorded": np.stack([*self._epochs, self._current]).tobytes(),
                "seen": self._seen.tobytes(),
            }
        )

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` gave; raises DataError for anything else, and for other data."""
        state = opened(state, STATE, {"data", "epochs", "recorded", "seen"})
        if state["data"] != self._dataset.content_hash:
            raise DataError(
                "the state is that of a recorder of other data",
                got=state["data"],
                expected=self._dataset.content_hash,
            )
        shape = (state["epochs"] + 1, *self._current.shape)
        *self._epochs, self._current = np.frombuffer(state["recorded"], np.float32).reshape(shape).copy()
        self._seen = np.frombuffer(state["seen"], bool).copy()

    def _places(self, uids: list) -> list[int]:
        names = [uid.item() if getattr(uid, "shape", None) == () else uid for uid in uids]
        wrong = [name for name in names if isinstance(name, bool) or not isinstance(name, str | int)]
        strange = [name for name in names if name not in wrong and str(name) not in self._rows]
        if wrong or strange or len({*map(str, names)}) < len(names):
            raise arguments.refuse(
                "uids", (wrong or strange or names)[:1], "uids of the data set, each once in a batch"
            )
        rows = [self._rows[str(name)] for name in names]
        if again := [name for name, row in zip(names, rows, strict=True) if self._seen[row]]:
            raise DataError(
                f"some instances occur twice in epoch {self.epochs}",
                got=f"{len(again)} repeated, the first of them {again[0]!r}",
                expected="each instance once in an epoch",
                fix="call end_epoch after each epoch, discard_epoch before one that is trained again",
            )
        return rows


def _in_memory(values: object) -> object:
    """A tensor without gradients in the processor's memory; anything else as it is."""
    return values.detach().float().cpu().numpy() if hasattr(values, "detach") else values
