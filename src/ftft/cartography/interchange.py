"""Training dynamics in the format of allenai/cartography: one JSONL file per epoch.

Each line of dynamics_epoch_N.jsonl holds guid, logits_epoch_N (a list) and gold (a class index).
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ..artifacts import replacing
from ..data.dataset import Dataset, DatasetIndex
from ..errors import DataError
from .dynamics import Block, Dynamics, DynamicsFile, save_dynamics, true_class_probability

FLOAT32_MAX = float(np.finfo(np.float32).max)
FILE_NAME = re.compile(r"dynamics_epoch_(\d+)\.jsonl")


class Record(NamedTuple):
    """A line of a file: whose logits, and the index of the true class; `place` names file and line."""

    guid: str
    logits: list[float]
    gold: int
    place: str


def export_cartography(dynamics_file: str | Path, data_file: str | Path, folder: str | Path) -> None:
    """Write training dynamics as `folder`/dynamics_epoch_N.jsonl, in the memory of a few blocks.

    Every float32 is written as the double that it is, so that reading gives it back exactly. Raises
    ArtifactError as DynamicsFile.
    """
    dataset = DatasetIndex(data_file)
    dynamics = DynamicsFile(dynamics_file, dataset)

    def lines(block: Block, members: tuple[pa.Array, np.ndarray]) -> list[list[str]]:
        uids, labels = members[0].to_pylist(), members[1].tolist()
        return [_lines(epoch, uids, labels, block) for epoch in range(dynamics.epochs)]

    with ExitStack() as stack:
        paths = [
            stack.enter_context(replacing(Path(folder) / _name(epoch))) for epoch in range(dynamics.epochs)
        ]
        files = [stack.enter_context(open(path, "w", encoding="utf-8", newline="\n")) for path in paths]
        for by_epoch in dynamics.map(lines, dataset.batches(dynamics.block_size)):
            for file, some in zip(files, by_epoch, strict=True):
                file.writelines(some)


def import_cartography(folder: str | Path) -> Dynamics:
    """Read `folder`/dynamics_epoch_N.jsonl, line by line, from epoch 0 on; instances sorted by guid.

    The first epoch says who is in the data. Raises DataError that names file and line.
    """
    paths = _epoch_files(Path(folder))
    gold, classes = {}, 0
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
                got=f"{len(absent)} missing, the first of them {absent[0]!r}",
                expected=f"all {len(rows)} guids of {paths[0]}",
                fix="log the dynamics of whole epochs, with one line per instance",
            )
    p_true = np.stack([true_class_probability(epoch, labels) for epoch in epochs])
    return Dynamics(uids, labels, p_true, epochs)


def write_dynamics(dynamics: Dynamics, dynamics_file: str | Path, data_file: str | Path) -> None:
    """Write the workflow's two files: the training dynamics, and the data set that they belong to.

    That holds uids and labels without texts, the classes named by their indices.
    """
    classes = [str(index) for index in range(dynamics.logits.shape[-1])]
    dataset = Dataset(dynamics.uids, (), dynamics.labels, classes)
    dataset.save(data_file)
    save_dynamics(dynamics_file, list(dynamics.logits), dataset, {})


def _name(epoch: int) -> str:
    return f"dynamics_epoch_{epoch}.jsonl"


def _lines(epoch: int, uids: list[str], labels: list[int], block: Block) -> list[str]:
    logits = np.stack([values[epoch] for values in block.logits], -1).astype(np.float64).tolist()
    key = f"logits_epoch_{epoch}"
    return [
        json.dumps({"guid": uid, key: values, "gold": label}, ensure_ascii=False) + "\n"
        for uid, values, label in zip(uids, logits, labels, strict=True)
    ]


def _epoch_files(folder: Path) -> list[Path]:
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    numbers = sorted(int(match[1]) for match in map(FILE_NAME.fullmatch, names) if match)
    if not numbers or numbers != list(range(len(numbers))):
        missing = sorted(set(range(max(numbers, default=0) + 1)) - set(numbers))
        raise DataError(
            f"the training dynamics in {folder} are not whole",
            got=f"no {_name(missing[0])}",
            expected="a file for every epoch, from 0 on",
            fix="name the folder that holds the files, training_dynamics in a run of allenai/cartography",
        )
    return [folder / _name(number) for number in numbers]


def _records(path: Path, epoch: int) -> Iterator[Record]:
    key = f"logits_epoch_{epoch}"
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}, line {number}"
            try:
                entry = json.loads(line)
                guid, logits, gold = entry["guid"], entry[key], entry["gold"]
            except (ValueError, KeyError, TypeError) as error:
                raise _fault(place, f"{type(error).__name__}: {error}") from error
            if isinstance(guid, bool) or not isinstance(guid, str | int):
                raise _fault(place, f"guid {guid!r}")
            if not isinstance(logits, list) or len(logits) < 2 or not all(map(_is_logit, logits)):
                raise _fault(place, f"{key} {logits!r}")
            if type(gold) is not int or not 0 <= gold < len(logits):
                raise _fault(place, f"gold {gold!r} of {len(logits)} classes")
            yield Record(str(guid), logits, gold, place)


def _is_logit(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= FLOAT32_MAX


def _check(record: Record, rows: dict[str, int], labels: np.ndarray, classes: int, places: dict) -> None:
    if record.guid in places:
        raise _fault(record.place, f"guid {record.guid!r} again, first in {places[record.guid]}")
    if record.guid not in rows:
        raise _fault(record.place, f"guid {record.guid!r}, which the first epoch lacks")
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
