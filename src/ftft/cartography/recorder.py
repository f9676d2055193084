"""Recording training dynamics in a loop of one's own: arrays of NumPy, tensors of torch, or plain lists."""

import reprlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ..errors import DataError
from . import arguments
from .datamap import DataMap, build_map
from .dynamics import Dynamics
from .interchange import dynamics_of_logits, write_dynamics
from .recorder_state import opened, sealed

KINDS = ("logits", "probabilities")
STATE = "ftft.DynamicsRecorder/2"
EXPECTED = {
    "uids": "texts or whole numbers, one per instance, in order",
    "outputs": "numbers, [batch, classes]",
    "labels": "class indices, [batch]",
}


class Part(NamedTuple):
    """Some instances of an epoch: uids [m], labels int64 [m], finite logits float32 [m, classes]."""

    uids: list[str]
    labels: np.ndarray
    logits: np.ndarray


class DynamicsRecorder:
    """Collects what a model gave for every instance at every epoch, from the training pass itself.

    `outputs` says whether that is logits or probabilities. Of probabilities the recorder keeps the
    logarithms, which have the same softmax and the same margins. The instances are sorted by uid, whatever
    order a loop draws them in, so that rows of several runs on the same data are comparable. The first epoch
    says which instances there are.
    """

    def __init__(self, outputs: str = "logits"):
        self._kind = arguments.choice("outputs", outputs, KINDS)
        self.clear()

    def clear(self) -> None:
        """Forget all that was recorded."""
        self._classes = 0
        # Batches as they came, on their devices; then checked and in the processor's memory.
        self._batches: list[tuple] = []
        self._parts: list[Part] = []
        self._uids: list[str] = []
        self._rows: dict[str, int] = {}
        self._labels = np.empty(0, np.int64)
        self._epochs: list[np.ndarray] = []

    @property
    def epochs(self) -> int:
        """The number of complete epochs."""
        return len(self._epochs)

    @property
    def unfinished(self) -> bool:
        """Whether batches were recorded of an epoch that has not ended."""
        return bool(self._parts)

    def record(self, uids: Sequence, outputs: Sequence, labels: Sequence) -> None:
        """Take a batch: uids [batch], texts or whole numbers; outputs [batch, classes]; labels [batch], class
        indices.

        The recorder copies them on their device. Of every batch it checks the shapes, of the first batch of
        an epoch the values too; those of the other batches are checked when the epoch ends, so that nothing
        has to leave an accelerator before. The method raises DataError, and the batch is left out.

        Record a batch after its step has succeeded: a batch that is repeated, after an error of memory, say,
        then counts once.
        """
        uids, outputs, labels = _taken("uids", uids), _taken("outputs", outputs), _taken("labels", labels)
        shape = list(np.shape(outputs))
        if len(shape) != 2 or shape[1] != (self._classes or max(2, shape[1])):
            raise DataError(
                f"these are not {self._kind} of classes",
                got=f"shape {shape}",
                expected=f"[batch, {self._classes or 'classes'}], at least two classes and always as many",
            )
        if len(np.shape(labels)) != 1:
            raise DataError(
                "these are not labels of one class per instance",
                got=f"shape {list(np.shape(labels))}",
                expected=f"[batch], whole numbers from 0 to {shape[1] - 1}",
                fix="give class indices: labels.squeeze(-1) of [batch, 1], labels.argmax(-1) of one-hot",
            )
        if not isinstance(uids, list) and len(np.shape(uids)) != 1:
            raise arguments.refuse("uids", f"shape {list(np.shape(uids))}", EXPECTED["uids"])
        sizes = (len(uids), shape[0], len(labels))
        if len(set(sizes)) > 1:
            raise DataError(
                "the parts of a batch differ in size",
                got="{} uids, {} {}, {} labels".format(*sizes[:2], self._kind, sizes[2]),
                expected="one of each per instance",
            )
        batch = (uids, outputs, labels)
        if self._batches or self._parts:
            self._batches.append(batch)
        elif sizes[0]:
            self._parts.append(self._checked([batch], shape[1]))
        self._classes = shape[1]

    def end_epoch(self) -> None:
        """Close an epoch, in which every instance occurs once, with one label and finite outputs.

        Otherwise the method raises DataError, and the epoch is left out.
        """
        number, parts = self.epochs, self._settled()
        self._parts = []
        if not parts:
            raise DataError(f"no batch was recorded in epoch {number}", fix="call record for every batch")
        uids = [uid for part in parts for uid in part.uids]
        labels = np.concatenate([part.labels for part in parts])
        _require_once(uids, number)
        if not self._epochs:
            order = np.array(sorted(range(len(uids)), key=uids.__getitem__))
            self._uids, self._labels = [uids[row] for row in order], labels[order]
            self._rows = {uid: row for row, uid in enumerate(self._uids)}
        self._require_known(uids, number, whole=True)
        epoch = np.empty((len(uids), self._classes), np.float32)
        epoch[[self._rows[uid] for uid in uids]] = np.concatenate([part.logits for part in parts])
        self._epochs.append(epoch)

    def record_epoch(self, batches: Iterable[tuple[Sequence, Sequence, Sequence]]) -> None:
        """Take a whole epoch, an iterable of what `record` takes; of an epoch that is refused nothing is
        kept."""
        if not isinstance(batches, Iterable) or getattr(batches, "shape", None) == ():
            raise arguments.refuse("batches", batches, "batches, each of them (uids, outputs, labels)")
        try:
            for batch in batches:
                if not isinstance(batch, tuple | list) or len(batch) != 3:
                    raise arguments.refuse("batches", batch, "batches, each of them (uids, outputs, labels)")
                self.record(*batch)
        except BaseException:
            self.discard_epoch()
            raise
        self.end_epoch()

    def discard_epoch(self) -> None:
        """Forget the batches of an epoch that has not ended: it is going to be trained again."""
        self._batches, self._parts = [], []

    def dynamics(self) -> Dynamics:
        """The complete epochs; batches of an epoch that has not ended are left out."""
        if not self._epochs:
            raise DataError(
                "no epoch was recorded", fix="call record for every batch, end_epoch after each epoch"
            )
        return dynamics_of_logits(list(self._uids), self._labels.copy(), np.stack(self._epochs))

    def data_map(self) -> DataMap:
        """The data map of the complete epochs; the method raises ArtifactError for fewer than two."""
        found = self.dynamics()
        return build_map(found.p_true, found.logits, found.labels, found.uids)

    def save(self, dynamics_file: str | Path, data_file: str | Path) -> None:
        """Write the workflow's two files: the training dynamics, and whose they are (uids and labels)."""
        write_dynamics(self.dynamics(), dynamics_file, data_file)

    def state_dict(self) -> dict:
        """All that was recorded, the epoch in progress included, of plain values.

        It goes into a checkpoint with the model's: torch.save takes it, and torch.load with weights_only. The
        method raises DataError for batches that `end_epoch` would refuse.
        """
        parts = [Part(self._uids, self._labels, logits) for logits in self._epochs]
        numbers = [*range(self.epochs), *[self.epochs] * len(self._settled())]
        parts += self._parts
        columns = {
            "epoch": np.repeat(numbers, [len(part.uids) for part in parts]).astype(np.int64),
            "uid": pa.array([uid for part in parts for uid in part.uids], pa.string()).dictionary_encode(),
            "label": np.concatenate([np.empty(0, np.int64), *[part.labels for part in parts]]),
        }
        for index in range(self._classes):
            values = [part.logits[:, index] for part in parts]
            columns[f"logit_{index}"] = np.concatenate([np.empty(0, np.float32), *values])
        table = pa.table(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        recorded = sink.getvalue().to_pybytes()
        state = {"format": STATE, "outputs": self._kind, "epochs": self.epochs, "recorded": recorded}
        return sealed(state)

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` gave; what was recorded before is forgotten.

        The method raises DataError for what is no state, a state that was damaged, and one of other outputs.
        """
        state = opened(state, STATE, {"outputs", "epochs", "recorded"})
        if state["outputs"] != self._kind:
            raise DataError(
                "the state is that of a recorder of other outputs",
                got=state["outputs"],
                expected=self._kind,
                fix=f'make it by DynamicsRecorder("{state["outputs"]}")',
            )
        table = pa.ipc.open_stream(state["recorded"]).read_all()
        names = [name for name in table.column_names if name.startswith("logit_")]
        logits = np.empty((table.num_rows, len(names)), np.float32)
        for index, name in enumerate(names):
            logits[:, index] = table[name].to_numpy()
        uids, labels = table["uid"].to_pylist(), table["label"].to_numpy().copy()
        ends = np.searchsorted(table["epoch"].to_numpy(), np.arange(state["epochs"]), side="right").tolist()
        self.clear()
        self._classes = len(names)
        if ends:
            self._uids, self._labels = uids[: ends[0]], labels[: ends[0]]
            self._rows = {uid: row for row, uid in enumerate(self._uids)}
            self._epochs = [logits[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        if rest := uids[ends[-1] if ends else 0 :]:
            self._parts = [Part(rest, labels[-len(rest) :], logits[-len(rest) :])]

    def _settled(self) -> list[Part]:
        """The epoch in progress, checked; batches that are refused are forgotten with the whole epoch."""
        batches, self._batches = self._batches, []
        if batches:
            try:
                self._parts.append(self._checked(batches, self._classes))
            except DataError:
                self._parts = []
                raise
        return self._parts

    def _checked(self, batches: list[tuple], classes: int) -> Part:
        """Batches as one part; raises DataError for values that are refused."""
        uids = [uid for batch in batches for uid in _names(batch[0])]
        labels = np.concatenate([_array(batch[2]) for batch in batches])
        outputs = np.concatenate([_array(batch[1]) for batch in batches])
        logits = self._logits(outputs, uids)
        unknown = ~np.isin(labels, np.arange(classes))
        _refuse(unknown, uids, "some labels are none of the classes", f"0 to {classes - 1}")
        labels = labels.astype(np.int64)
        if self._epochs:
            self._require_known(uids, self.epochs, whole=False)
            before = self._labels[[self._rows[uid] for uid in uids]]
            what = f"some labels changed by epoch {self.epochs}"
            _refuse(labels != before, uids, what, "one label per instance")
        return Part(uids, labels, logits)

    def _logits(self, outputs: np.ndarray, uids: list[str]) -> np.ndarray:
        """Finite float32 logits [m, classes]."""
        if self._kind == "probabilities":
            near = np.abs(outputs.sum(1, dtype=np.float64) - 1) < 1e-2
            wrong = (outputs < 0).any(1) | ~near
            _refuse(wrong, uids, "some outputs are no probabilities", "numbers from 0 on that sum to 1")
            # The least normal number stands in for 0, whose logarithm is not finite.
            outputs = np.log(np.maximum(outputs.astype(np.float64), np.finfo(np.float32).tiny))
        with np.errstate(over="ignore", invalid="ignore"):
            logits = outputs.astype(np.float32)
        _refuse(~np.isfinite(logits).all(1), uids, "some outputs are not finite", "finite numbers")
        return logits

    def _require_known(self, uids: list[str], number: int, whole: bool) -> None:
        """Raise DataError for instances that the first epoch lacks and, for a whole epoch, for absent
        ones."""
        found, known = set(uids), self._rows.keys()
        strangers, absent = sorted(found - known), sorted(known - found) if whole else []
        if strangers or absent:
            raise DataError(
                f"the instances of epoch {number} are not those of the first epoch",
                got=f"{len(absent)} missing{_first(absent)}, {len(strangers)} unknown{_first(strangers)}",
                expected=f"the same {len(known)} uids in every epoch",
                fix="keep the last, smaller batch (drop_last=False), and record training batches only",
            )


def _taken(name: str, values: Any) -> Any:
    """A copy without gradients on the device that the values are on; a list of plain uids stays a list."""
    if hasattr(values, "detach"):
        if values.is_complex() or (name == "uids" and values.is_floating_point()):
            raise arguments.refuse(name, f"a tensor of {values.dtype}", EXPECTED[name])
        return values.detach().clone()
    if name != "uids":
        return arguments.array(name, values, EXPECTED[name]).copy()
    if not isinstance(values, np.ndarray) and not arguments.ordered(values):
        raise arguments.refuse(name, values, EXPECTED[name])
    return values.copy() if isinstance(values, np.ndarray) else list(values)


def _names(uids: Sequence) -> list[str]:
    """The uids of a batch as texts."""
    found = uids if isinstance(uids, list) else _array(uids).tolist()
    found = [uid.item() if getattr(uid, "shape", None) == () else uid for uid in found]
    for uid in found:
        if isinstance(uid, bool) or not isinstance(uid, str | int):
            raise arguments.refuse("uids", uid, EXPECTED["uids"])
    return arguments.uids(map(str, found), distinct=False) if found else []


def _array(values: Any) -> np.ndarray:
    if not hasattr(values, "detach"):
        return values
    # NumPy has no bfloat16.
    return (values.float() if values.is_floating_point() else values).cpu().numpy()


def _require_once(uids: list[str], number: int) -> None:
    repeated = list((Counter(uids) - Counter(set(uids))).elements())
    if repeated:
        raise DataError(
            f"epoch {number} has instances more than once",
            got=f"{len(repeated)} repeated{_first(repeated)}",
            expected="every instance once per epoch",
            fix="sample without replacement and without padding, end each epoch by end_epoch, and record a "
            "batch after its step, so that one that is repeated counts once",
        )


def _refuse(wrong: np.ndarray | np.bool, uids: list[str], what: str, expected: str) -> None:
    if wrong.any():
        found = [uids[row] for row in np.flatnonzero(wrong)]
        raise DataError(what, got=f"{len(found)} instance(s){_first(found)}", expected=expected)


def _first(uids: list[str]) -> str:
    return f" (first {reprlib.repr(uids[0])})" if uids else ""
