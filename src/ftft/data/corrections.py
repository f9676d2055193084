"""Corrections of a data set: a file that gives some rows another label, or drops them, before they are read.

Its columns: `uid`; `label`, empty where the row is dropped; and, where it has them, `note` and `text`, a hash
of the row's texts, by which a correction of a text that has changed since is refused.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from ..errors import DataError
from .formats import endings, format_of
from .readers import read_table
from .rows import quoted, refuse


class Correctable(Protocol):
    """What a kind of task says of the labels that corrections give (`tasks.base.Kind`)."""

    def label_form(self, spec: dict) -> str:
        """What such a label looks like."""

    def corrected(
        self, labels: dict[int, str], records: pa.Table, spec: dict, name: str
    ) -> dict[int, dict[str, str] | None]:
        """By row the cells, by column, that give it this label; None where there is no such label."""


COLUMNS = ("uid", "label", "note", "text")


def correct(
    records: pa.Table, uids: list[str], spec: dict, name: str, kind: Correctable
) -> tuple[pa.Table, list[str], list[dict]]:
    """A source's rows and their uids as the file `spec["corrections"]` has them, and the step that it was.

    `spec` is that of the data set, `kind` its kind of task. Without the key nothing changes. Raises DataError
    for a file that is no list of corrections, and for corrections of rows that there are not, to labels that
    there are not, or of texts that have changed.
    """
    path = spec.get("corrections")
    if path is None:
        return records, uids, []
    corrections = read_corrections(path)
    rows = {uid: row for row, uid in enumerate(uids)}
    told = f"{path} holds corrections of data set '{name}'"
    fix = "take these corrections out, or look at the rows again"
    lacking = [uid for uid in corrections if uid not in rows]
    refuse(lacking, f"{told} of rows that it lacks", "uids of it", fix)
    labels = {rows[uid]: one["label"] for uid, one in corrections.items() if one["label"]}
    cells = kind.corrected(labels, records, spec, name)
    unknown = [labels[row] for row, own in cells.items() if own is None]
    refuse(unknown, f"{told} to labels that it lacks", f"{kind.label_form(spec)}, or none", fix)
    texts = [records[column].to_pylist() for column in spec["text"]]
    changed = [
        uid
        for uid, one in corrections.items()
        if one["text"] and one["text"] != text_hash([column[rows[uid]] for column in texts])
    ]
    refuse(changed, f"{told} of texts that have changed since", "the texts that were looked at", fix)
    dropped = [rows[uid] for uid, one in corrections.items() if not one["label"]]
    kept = np.ones(len(uids), bool)
    kept[dropped] = False
    for column in dict.fromkeys(column for own in cells.values() for column in own or ()):
        values, place = records[column].to_pylist(), records.schema.get_field_index(column)
        for row, own in cells.items():
            values[row] = (own or {}).get(column, values[row])
        records = records.set_column(place, records.schema.field(place), pa.array(values, pa.string()))
    step = {
        "step": "corrections",
        "rows": int(kept.sum()),
        "corrected": len(labels),
        "dropped": len(dropped),
    }
    return records.filter(pa.array(kept)), [uids[row] for row in np.flatnonzero(kept)], [step]


def read_corrections(path: str | Path) -> dict[str, dict[str, str]]:
    """By uid its `label`, `note` and `text`, empty where there is none; raises DataError."""
    form = format_of(path)
    if form is None:
        raise DataError(
            f"cannot tell the format of the corrections {path}",
            expected=f"a name that ends in one of {endings()}",
            fix="rename the file, or convert it",
        )
    table = read_table(path, {}, form, "corrections")
    if missing := {"uid", "label"} - set(table.column_names):
        raise DataError(
            f"{path} holds no corrections: it lacks the column(s) {', '.join(sorted(missing))}",
            expected="columns uid and label (empty: the row is dropped); note and text if you like",
            fix="export corrections.csv from the page of a data map, or write these columns",
        )
    columns = {key: table[key].to_pylist() for key in COLUMNS if key in table.column_names}
    found: dict[str, dict[str, str]] = {}
    for number in range(len(table)):
        row = {key: (columns[key][number] or "").strip() if key in columns else "" for key in COLUMNS}
        uid = columns["uid"][number] or ""
        if not uid or uid in found:
            raise DataError(
                f"{path} corrects a row twice, or does not say which",
                got=f"{quoted(uid)} in row {number + 1} of the file",
                expected="each uid once",
                fix="keep one of them",
            )
        found[uid] = row
    return found


def text_hash(texts: Sequence[str | None]) -> str:
    """Eight hexadecimal digits by which a row's texts are recognised."""
    digest = hashlib.blake2b(digest_size=4, person=b"corrections")
    for text in texts:
        encoded = (text or "").encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
