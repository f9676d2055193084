"""Training dynamics in the format of allenai/cartography: one JSONL file per epoch.

Each line of dynamics_epoch_N.jsonl holds guid, logits_epoch_N (a list) and gold (a class index).
"""

import itertools
import json
import re
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.dataset import Dataset
from ..errors import ArtifactError, DataError
from ..replacing import replacing
from ..tasks.base import ABSENT, kind_of, true_class_probability
from . import arguments
from .dynamics import Dynamics, load_dynamics, save_dynamics

FLOAT32_MAX = float(np.finfo(np.float32).max)
FILE_NAME = re.compile(r"dynamics_epoch_(0|[1-9][0-9]*)\.jsonl")
# The labels of a data set are stored as int16.
MOST_CLASSES = int(np.iinfo(np.int16).max)


class Record(NamedTuple):
    """A line of a file: whose logits, and the index of the true class; `place` names file and line."""

    guid: str
    logits: list[float]
    gold: int
    place: str


def export_cartography(dynamics_file: str | Path, data_file: str | Path, folder: str | Path) -> None:
    """Write training dynamics as `folder`/dynamics_epoch_N.jsonl.

    Every float32 is written as the double that it is, so that reading gives it back exactly. Of a multiple
    choice each line holds the scores of the instance's own choices, whatever their number. The function
    raises ArtifactError for files that are torn or do not belong together, and for a folder that cannot be
    written.
    """
    dynamics_file = arguments.path("dynamics_file", dynamics_file)
    data_file = arguments.path("data_file", data_file)
    folder = arguments.path("folder", folder)
    dynamics = load_dynamics(dynamics_file, Dataset.load(data_file))
    dynamics, widths = _padded(dynamics)
    logits, labels = _classification(dynamics)
    with ExitStack() as stack:
        stack.enter_context(_writing(folder))
        for epoch, values in enumerate(logits):
            temporary = stack.enter_context(replacing(folder / _name(epoch)))
            with open(temporary, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(_lines(epoch, dynamics.uids, labels, values, widths))


def import_cartography(folder: str | Path) -> Dynamics:
    """Read `folder`/dynamics_epoch_N.jsonl, line by line, from epoch 0 on; the instances are sorted by guid.

    The first epoch says which instances there are. The function raises DataError that names file and line.
    """
    paths = _epoch_files(arguments.path("folder", folder))
    gold: dict[str, int] = {}
    classes = 0
    for record in _records(paths[0], 0):
        gold.setdefault(record.guid, record.gold)
        classes = classes or len(record.logits)
    if not gold:
        raise DataError(f"{paths[0]} is empty", expected="one line per training instance")
    uids = sorted(gold)
    rows = {uid: row for row, uid in enumerate(uids)}
    labels = np.array([gold[uid] for uid in uids], np.int64)
    epochs = np.empty((len(paths), len(uids), classes), np.float32)
    for number, (path, epoch) in enumerate(zip(paths, epochs, strict=True)):
        places: dict[str, str] = {}
        for record in _records(path, number):
            _check(record, rows, labels, classes, places)
            epoch[rows[record.guid]] = record.logits
            places[record.guid] = record.place
        if absent := sorted(rows.keys() - places.keys()):
            raise DataError(
                f"{path} lacks instances of the first epoch",
                got=f"{len(absent)} missing, the first of them {reprlib.repr(absent[0])}",
                expected=f"all {len(rows)} guids of {paths[0]}",
                fix="log the dynamics of whole epochs, with one line per instance",
            )
    return dynamics_of_logits(uids, labels, epochs)


def write_dynamics(dynamics: Dynamics, dynamics_file: str | Path, data_file: str | Path) -> None:
    """Write the workflow's two files: the training dynamics, and the data set that they belong to.

    The data set holds uids and labels without texts; its classes are named by their indices. The function
    raises DataError for dynamics that do not fit together, and ArtifactError for files that cannot be
    written.
    """
    arguments.instance("dynamics", dynamics, Dynamics)
    dynamics_file = arguments.path("dynamics_file", dynamics_file)
    data_file = arguments.path("data_file", data_file)
    if dynamics_file == data_file:
        raise arguments.refuse("data_file", str(data_file), "another file than the dynamics_file")
    logits, labels = _classification(dynamics)
    classes = [str(index) for index in range(logits.shape[-1])]
    dataset = Dataset(dynamics.uids, (), labels, classes)
    with _writing(data_file):
        dataset.save(data_file)
    with _writing(dynamics_file):
        save_dynamics(dynamics_file, kind_of(dataset.kind), list(logits), dataset, {})


def dynamics_of_logits(uids: list[str], labels: np.ndarray, logits: np.ndarray) -> Dynamics:
    """The training dynamics of a classification: labels [n], logits [epochs, n, classes] float32.

    The prediction is the class of the largest logit, the first of equal ones.
    """
    p_true = np.stack([true_class_probability(epoch, labels) for epoch in logits])
    return Dynamics(uids, p_true, logits.argmax(-1) == labels, labels, logits)


def _padded(dynamics: Dynamics) -> tuple[Dynamics, np.ndarray | None]:
    """Dynamics whose absent choices have a logit too, and how many choices each instance has, [n]."""
    if dynamics.logits is None:
        return dynamics, None
    absent = np.isnan(dynamics.logits[0])
    return replace(dynamics, logits=np.where(absent, ABSENT, dynamics.logits)), (~absent).sum(-1)


def _classification(dynamics: Dynamics) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels, float32 [epochs, n, classes] and int64 [n]."""
    if dynamics.logits is None or dynamics.labels is None:
        missing = "logits" if dynamics.logits is None else "labels"
        raise DataError(
            "these training dynamics are not those of a classification",
            got=f"{missing}: None",
            expected="logits and labels, of which the format consists",
        )
    instances = len(arguments.uids(dynamics.uids, argument="dynamics.uids"))
    logits = arguments.logits(dynamics.logits, None, instances, "dynamics.logits")
    with np.errstate(over="ignore"):
        single = logits.astype(np.float32, copy=False)
    arguments.logits(single, None, instances, "dynamics.logits as float32")
    classes = logits.shape[2]
    if classes > MOST_CLASSES:
        raise arguments.refuse("dynamics.logits", f"{classes} classes", f"at most {MOST_CLASSES} classes")
    return single, arguments.labels(dynamics.labels, instances, classes, "dynamics.labels")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be written",
            got=error.strerror or type(error).__name__,
            fix="name a place where files can be made",
        ) from error


def _name(epoch: int) -> str:
    return f"dynamics_epoch_{epoch}.jsonl"


def _lines(
    epoch: int, uids: Sequence[str], labels: np.ndarray, logits: np.ndarray, widths: np.ndarray
) -> Iterator[str]:
    """A line for each instance, with the first of its logits [n, classes], as many as `widths` [n] says."""
    key = f"logits_epoch_{epoch}"
    values = logits.astype(np.float64).tolist()
    for uid, of_instance, label, width in zip(uids, values, labels.tolist(), widths.tolist(), strict=True):
        yield json.dumps({"guid": uid, key: of_instance[:width], "gold": label}, ensure_ascii=False) + "\n"


def _epoch_files(folder: Path) -> list[Path]:
    try:
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise _unreadable(folder, error) from error
    numbers = {int(match[1]) for match in map(FILE_NAME.fullmatch, names) if match}
    missing = next(number for number in itertools.count() if number not in numbers)
    if missing != len(numbers) or not numbers:
        raise DataError(
            f"the training dynamics in {folder} are not whole",
            got=f"no {_name(missing)}",
            expected="a file for every epoch, from 0 on",
            fix="name the folder that holds the files, training_dynamics in a run of allenai/cartography",
        )
    return [folder / _name(number) for number in range(missing)]


def _records(path: Path, epoch: int) -> Iterator[Record]:
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                yield _record(line, f"logits_epoch_{epoch}", f"{path}, line {number}")
    except OSError as error:
        raise _unreadable(path, error) from error


def _record(line: bytes, key: str, place: str) -> Record:
    try:
        entry = json.loads(line)
        guid, logits, gold = entry["guid"], entry[key], entry["gold"]
        # An escape may stand for half a character, which no file of ours can hold.
        str(guid).encode()
    # Brackets that open too often raise RecursionError.
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _fault(place, f"{type(error).__name__}: {error}") from error
    if isinstance(guid, bool) or not isinstance(guid, str | int) or not str(guid).strip():
        raise _fault(place, f"guid {reprlib.repr(guid)}")
    if not isinstance(logits, list) or len(logits) < 2 or not all(map(_is_logit, logits)):
        raise _fault(place, f"{key} {reprlib.repr(logits)}")
    if type(gold) is not int or not 0 <= gold < len(logits):
        raise _fault(place, f"gold {reprlib.repr(gold)} of {len(logits)} classes")
    return Record(str(guid), logits, gold, place)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read", got=error.strerror or type(error).__name__)


def _is_logit(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= FLOAT32_MAX


def _check(record: Record, rows: dict[str, int], labels: np.ndarray, classes: int, places: dict) -> None:
    if record.guid in places:
        raise _fault(record.place, f"guid {reprlib.repr(record.guid)} again, first in {places[record.guid]}")
    if record.guid not in rows:
        raise _fault(record.place, f"guid {reprlib.repr(record.guid)}, which the first epoch lacks")
    if len(record.logits) != classes:
        raise _fault(record.place, f"{len(record.logits)} logits, elsewhere {classes}")
    if record.gold != labels[rows[record.guid]]:
        raise _fault(record.place, f"gold {record.gold}, in the first epoch {labels[rows[record.guid]]}")


def _fault(place: str, got: str) -> DataError:
    return DataError(
        f"{place}: no line of training dynamics",
        got=got,
        expected='{"guid": text or number, "logits_epoch_N": [finite numbers], "gold": index of the class}, '
        "each guid once per file",
    )
