"""`ftft select`: the rows that training dynamics select, as a list of ids, without a workflow."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import write_text
from ..cartography import arguments
from ..cartography.controls import longest
from ..cartography.datamap import COORDINATES, DataMap
from ..cartography.dynamics import Dynamics, load_numbered
from ..cartography.interchange import import_cartography
from ..cartography.losses import dynamics_of_losses, import_s2l, import_small2large
from ..cartography.overlap import overlap
from ..cartography.selection import SELECTORS, Pool, choose, scores_read, select_random
from ..data.dataset import require
from ..data.rows import visible
from ..errors import DataError
from .parts import read_rows

# By a file that tells it, what a folder holds.
FOLDERS = {
    "dynamics_epoch_0.jsonl": import_cartography,
    "epoch-*.pkl": lambda folder: dynamics_of_losses(import_small2large(folder)),
    "checkpoint-*/losses.pt": lambda folder: dynamics_of_losses(import_s2l(folder)),
}


def select_ids(chosen: argparse.Namespace) -> None:
    """Write the ids that `chosen` asks for; print how many they are and what they share with others.

    Raises DataError for a rule that these dynamics do not give, and for rows that are not theirs.
    """
    arguments.fraction(chosen.fraction, "--fraction")
    arguments.whole("--seed", chosen.seed)
    arguments.whole("--clusters", chosen.clusters, least=1)
    dynamics = load(chosen.dynamics)
    records, uids, lengths = None, list(dynamics.uids), None
    if chosen.rows:
        records, _ = read_rows(str(chosen.rows), None)
        uids, lengths = _rows(records, chosen, len(uids))
    pool = pool_of(replace(dynamics, uids=uids), lengths, chosen)
    rows = choose(chosen.rule, pool, {"selector": chosen.selector, "clusters": chosen.clusters}).rows
    write_text(chosen.out, "".join(f"{uids[row]}\n" for row in rows))
    print(f"{len(rows)} of {len(uids)} rows by {chosen.rule}: {chosen.out}")
    chance = overlap(rows, select_random(uids, chosen.fraction, chosen.seed + 1))
    print(f"  shared with random rows: {chance:.2f} (of two random selections: {chosen.fraction:.2f})")
    if lengths is not None:
        print(f"  shared with the longest: {overlap(rows, longest(pool)):.2f}")
        print(f"  length: {lengths[rows].mean():.0f} characters, of all rows {lengths.mean():.0f}")
    if chosen.keep:
        if records is None:
            raise DataError("--keep writes rows", got="no --rows", fix="name their file: --rows FILE")
        kept = records.take(pa.array(rows)).to_pylist()
        write_text(chosen.keep, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in kept))
        print(f"  the rows themselves: {chosen.keep}")


def load(path: Path) -> Dynamics:
    """Training dynamics of a file of the workflow or of a recorder, or of another program's folder."""
    if path.is_dir():
        for pattern, read in FOLDERS.items():
            if any(path.glob(pattern)):
                return read(path)
        raise DataError(f"{path} holds no training dynamics", expected=f"one of {', '.join(FOLDERS)}")
    if not path.is_file():
        raise DataError(f"there is no file {path}", got=f"nothing of that name in {Path.cwd()}")
    return load_numbered(path)


def pool_of(dynamics: Dynamics, lengths: np.ndarray | None, chosen: argparse.Namespace) -> Pool:
    """What the rule may look at; raises DataError for one that looks at what is not there."""
    entry = SELECTORS.get(chosen.rule)
    fitting = [name for name, own in SELECTORS.items() if not own.all_rows]
    if entry is None or entry.all_rows:
        raise DataError(f"there is no rule '{chosen.rule}'", expected=f"one of {', '.join(fitting)}")
    arguments.choice("--selector", chosen.selector, fitting)
    scores = scores_read(chosen.rule, {"selector": chosen.selector})
    if entry.looks and lengths is None:
        raise DataError(
            f"'{chosen.rule}' goes by the lengths of the responses",
            got="no --rows with --response",
            fix="name the file of the rows and its column of responses: --rows FILE --response COLUMN",
        )
    if not dynamics.correct.any() and "forgetting" in scores:
        raise DataError(f"'{chosen.rule}' asks whether predictions were right", got="losses alone")
    data_map = DataMap.of(dynamics, [name for name in scores if name not in COORDINATES])
    make_up = np.zeros(len(dynamics.uids), np.int64)
    return Pool(dynamics.uids, chosen.fraction, chosen.seed, data_map, make_up, lengths, dynamics=dynamics)


def _rows(records: pa.Table, chosen: argparse.Namespace, count: int) -> tuple[list[str], np.ndarray | None]:
    """The ids of the rows, and the characters of their responses where a column is named."""
    wanted = [name for name in (chosen.uid, chosen.response) if name]
    require(records, wanted, str(chosen.rows), "name columns that the file has")
    if records.num_rows != count:
        raise DataError(
            f"{chosen.rows} holds other rows than the training dynamics",
            got=f"{records.num_rows} rows",
            expected=f"{count}, in the order in which the model was trained on them",
        )
    uids = records[chosen.uid].to_pylist() if chosen.uid else [str(row) for row in range(count)]
    arguments.uids(uids, argument=f"--uid {chosen.uid}")
    if broken := [uid for uid in uids if len(uid.splitlines()) != 1]:
        raise DataError(
            f"an id in column '{chosen.uid}' of {chosen.rows} has several lines",
            got=visible(broken[0]),
            expected="ids of one line, for there is one on each line of the result",
        )
    if not chosen.response:
        return uids, None
    return uids, np.array([len(text or "") for text in records[chosen.response].to_pylist()], np.int64)
