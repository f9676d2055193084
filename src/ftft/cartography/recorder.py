"""Recording training dynamics in a loop of one's own: arrays of NumPy, tensors of torch, or plain lists."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from .datamap import DataMap, build_map
from .dynamics import Dynamics, true_class_probability
from .interchange import write_dynamics

KINDS = ("logits", "probabilities")


class DynamicsRecorder:
    """Collects what a model gave for every instance at every epoch, from the training pass itself.

    `outputs` says whether that is logits or probabilities; of these the logarithms are kept, which have
    the same softmax and the same margins. Instances are sorted by uid, whatever order a loop draws them in,
    so that rows of several runs on the same data are comparable. The first epoch says who is in the data.
    """

    def __init__(self, outputs: str = "logits"):
        if outputs not in KINDS:
            raise DataError("unknown kind of outputs", got=repr(outputs), expected=" or ".join(KINDS))
        self._kind = outputs
        self._batches: list[tuple] = []
        self._uids: list[str] = []
        self._rows: dict[str, int] = {}
        self._classes = 0
        self._labels = np.empty(0, np.int64)
        self._epochs: list[np.ndarray] = []

    def record(self, uids: Sequence, outputs: Sequence, labels: Sequence) -> None:
        """Take a batch: uids [batch], outputs [batch, classes], labels [batch] of class indices.

        They are copied where they are: nothing leaves an accelerator before the epoch ends. Raises DataError
        where the shapes do not fit.
        """
        outputs = _copied(outputs)
        if outputs.ndim != 2 or outputs.shape[1] != (self._classes or max(2, outputs.shape[1])):
            raise DataError(
                f"these are not {self._kind} of classes",
                got=f"shape {list(outputs.shape)}",
                expected=f"[batch, {self._classes or 'classes'}], at least two classes and always as many",
            )
        self._classes = outputs.shape[1]
        if not len(uids) == len(outputs) == len(labels):
            raise DataError(
                "the parts of a batch differ in size",
                got=f"{len(uids)} uids, {len(outputs)} {self._kind}, {len(labels)} labels",
                expected="one of each per instance",
            )
        self._batches.append((_copied(uids), outputs, _copied(labels)))

    def end_epoch(self) -> None:
        """Close an epoch, in which every instance occurs once, with one label and finite outputs.

        Otherwise raises DataError, and the epoch is left out.
        """
        batches, self._batches = self._batches, []
        number = len(self._epochs)
        if not batches:
            raise DataError(f"no batch was recorded in epoch {number}", fix="call record for every batch")
        uids = [str(uid) for batch in batches for uid in _array(batch[0]).tolist()]
        labels = np.concatenate([_array(batch[2]) for batch in batches])
        logits = self._logits(np.concatenate([_array(batch[1]) for batch in batches]), labels, uids)
        _require_once(uids, number)
        if not self._epochs:
            order = np.array(sorted(range(len(uids)), key=uids.__getitem__))
            self._uids, self._labels = [uids[row] for row in order], labels[order].astype(np.int64)
            self._rows = {uid: row for row, uid in enumerate(self._uids)}
        self._require_same(uids, labels, number)
        epoch = np.empty_like(logits)
        epoch[[self._rows[uid] for uid in uids]] = logits
        self._epochs.append(epoch)

    def record_epoch(self, batches: Iterable[tuple[Sequence, Sequence, Sequence]]) -> None:
        """Take a whole epoch, an iterable of what `record` takes."""
        for batch in batches:
            self.record(*batch)
        self.end_epoch()

    def dynamics(self) -> Dynamics:
        """The complete epochs; batches of an epoch that was not ended are left out."""
        p_true = [true_class_probability(logits, self._labels) for logits in self._epochs]
        if not p_true:
            raise DataError(
                "no epoch was recorded", fix="call record for every batch, end_epoch after each epoch"
            )
        return Dynamics(self._uids, self._labels, np.stack(p_true), np.stack(self._epochs))

    def data_map(self) -> DataMap:
        """The data map of the complete epochs; raises ArtifactError for fewer than two."""
        uids, labels, p_true, logits = self.dynamics()
        return build_map(p_true, logits, labels, uids)

    def save(self, dynamics_file: str | Path, data_file: str | Path) -> None:
        """Write the workflow's two files: the training dynamics, and whose they are (uids and labels)."""
        write_dynamics(self.dynamics(), dynamics_file, data_file)

    def _logits(self, outputs: np.ndarray, labels: np.ndarray, uids: list[str]) -> np.ndarray:
        """Finite float32 logits [n, classes] of a whole epoch."""
        if self._kind == "probabilities":
            wrong = (outputs < 0).any(1) | ~(np.abs(outputs.sum(1, dtype=np.float64) - 1) < 1e-2)
            _refuse(wrong, uids, "some outputs are no probabilities", "numbers from 0 on that sum to 1")
            # The least normal number stands in for 0, whose logarithm is not finite.
            outputs = np.log(np.maximum(outputs.astype(np.float64), np.finfo(np.float32).tiny))
        _refuse(~np.isfinite(outputs).all(1), uids, "some outputs are not finite", "finite numbers")
        unknown = ~np.isin(labels, np.arange(self._classes))
        _refuse(unknown, uids, "some labels are none of the classes", f"0 to {self._classes - 1}")
        return outputs.astype(np.float32)

    def _require_same(self, uids: list[str], labels: np.ndarray, number: int) -> None:
        known = self._rows.keys()
        strangers, absent = sorted(set(uids) - known), sorted(known - set(uids))
        if strangers or absent:
            raise DataError(
                f"the instances of epoch {number} are not those of the first epoch",
                got=f"{len(absent)} missing{_first(absent)}, {len(strangers)} unknown{_first(strangers)}",
                expected=f"the same {len(known)} uids in every epoch",
                fix="keep the last, smaller batch (drop_last=False), and record training batches only",
            )
        before = self._labels[[self._rows[uid] for uid in uids]]
        _refuse(labels != before, uids, f"some labels changed by epoch {number}", "one label per instance")


def _copied(values: Sequence) -> Sequence:
    """A copy without gradients on the device that the values are on."""
    return values.detach().clone() if hasattr(values, "detach") else np.array(values)


def _array(values: Sequence) -> np.ndarray:
    if not hasattr(values, "detach"):
        return values
    # NumPy has no bfloat16.
    return (values.float() if values.is_floating_point() else values).cpu().numpy()


def _require_once(uids: list[str], number: int) -> None:
    seen: set[str] = set()
    repeated = [uid for uid in uids if uid in seen or seen.add(uid)]
    if repeated:
        raise DataError(
            f"epoch {number} has instances more than once",
            got=f"{len(repeated)} repeated{_first(repeated)}",
            expected="every instance once per epoch",
            fix="sample without replacement and without padding, and end each epoch by end_epoch",
        )


def _refuse(wrong: np.ndarray, uids: list[str], what: str, expected: str) -> None:
    if wrong.any():
        found = [uids[row] for row in np.flatnonzero(wrong)]
        raise DataError(what, got=f"{len(found)} instance(s){_first(found)}", expected=expected)


def _first(uids: list[str]) -> str:
    return f" (first {uids[0]!r})" if uids else ""
