"""The Contextual Abuse Dataset (CAD; Vidgen et al., 2021) from its one file, cad_v1_1.tsv.

A row of the file is one annotation: a post with several labels stands in several rows, which share all
columns named info_* and meta_*. A post is hateful iff IdentityDirectedAbuse is among its labels.
"""

import hashlib
import html
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from ..data.registry import source
from ..errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("info_id", "meta_text", "annotation_Primary", "annotation_Context", "split")
SPLITS = {"train": "train", "validation": "dev", "test": "test"}
HATEFUL = "IdentityDirectedAbuse"
FOLDS = 10
FOLDS_OF = {"train": range(8), "validation": [8], "test": [9]}
SEED = 42  # of the published preparation


@source(
    "cad",
    required=("path", "split"),
    optional=("preparation",),
    splits=tuple(SPLITS),
    reads_path=True,
    defaults={"preparation": "ramponi-tonelli"},
)
def read_cad(spec: dict, name: str, path: str | Path | None) -> tuple["pa.Table", list[dict]]:
    """The posts of a split, made from the one file of CAD, and how many rows each step left."""
    import pyarrow as pa

    from ..data.readers import read_table
    from ..data.rows import PLACE

    annotations = read_table(path, {"quoting": False}, "tsv", name).drop_columns([PLACE])
    read = {"step": "read", "rows": annotations.num_rows}
    posts, steps = prepare(annotations.to_pylist(), spec["split"], spec["preparation"], name)
    return pa.Table.from_pylist(posts), [read, *steps]


def prepare(
    annotations: list[dict], split: str, preparation: str, name: str
) -> tuple[list[dict], list[dict]]:
    """The posts of a split (uid, text, label), and how many rows each step of the preparation left.

    `annotations` are the file's rows, every value as text. Raises DataError where these are not CAD's.
    """
    columns = annotations[0] if annotations else COLUMNS
    if missing := [column for column in COLUMNS if column not in columns]:
        raise DataError(
            f"data set '{name}' is not the file of CAD: it lacks the column(s) {', '.join(missing)}",
            got=f"columns {', '.join(columns)}",
            expected="cad_v1_1.tsv as released",
            fix="name that file by the key path, or read another one with source: file",
        )
    stages = PREPARATIONS[preparation](annotations, split)
    *_, posts = stages.values()
    return posts, [{"step": step, "rows": len(rows)} for step, rows in stages.items()]


def _ramponi_tonelli(annotations: list[dict], split: str) -> dict[str, list]:
    """The preparation of Ramponi and Tonelli (2022), which the paper follows: splits pooled and drawn anew.

    Shuffles and folds are the published ones, but depend on every text before them: where one is
    cleaned otherwise, or the file differs, the folds hold other posts than theirs. Texts are stripped
    before equal ones are collapsed (there: after), so that no text is in two splits.
    """
    used = [row for row in annotations if row["split"] in SPLITS.values()]
    own = [row for row in used if row["annotation_Context"] != "PreviousContent"]
    written = _with_text(own)
    shared = [column for column in next(iter(used), {}) if column.startswith(("info_", "meta_"))]
    posts = _posts(written, sorted(shared))
    texts = _distinct(posts[key] for key in sorted(posts))
    Random(SEED).shuffle(texts)
    folds = _deal([labels for _, labels in texts])
    chosen = [
        text for wanted in FOLDS_OF[split] for text, fold in zip(texts, folds, strict=True) if fold == wanted
    ]
    Random(SEED).shuffle(chosen)
    return {
        "annotations in train, dev or test": used,
        "annotations that need no earlier post": own,
        "annotations with text": written,
        "posts": list(posts),
        "distinct texts without contradiction": texts,
        f"{split} folds": [_record(_text_hash(text), text, labels) for text, labels in chosen],
    }


def _official(annotations: list[dict], split: str) -> dict[str, list]:
    """The split that the file names, its texts as they are."""
    used = [row for row in annotations if row["split"] == SPLITS[split]]
    written = _with_text(used)
    posts = _posts(written, ["info_id"])
    return {
        f"annotations in {SPLITS[split]}": used,
        "annotations with text": written,
        "posts": [_record(uid, text, labels) for (uid,), (text, labels) in posts.items()],
    }


PREPARATIONS = {"ramponi-tonelli": _ramponi_tonelli, "official": _official}


def _with_text(annotations: list[dict]) -> list[dict]:
    return [row for row in annotations if row["meta_text"].strip()]


def _posts(annotations: list[dict], columns: list[str]) -> dict[tuple, tuple[str, set[str]]]:
    """Text and labels by the values that a post's rows share in `columns`."""
    posts: dict[tuple, tuple[str, set[str]]] = {}
    for row in annotations:
        key = tuple(row[column] for column in columns)
        _, labels = posts.setdefault(key, (row["meta_text"].strip(), set()))
        labels.add(row["annotation_Primary"])
    return posts


def _distinct(posts: Iterable[tuple[str, set[str]]]) -> list[tuple[str, frozenset[str]]]:
    """Each cleaned text once with its labels; texts that came with different labels are left out."""
    found: dict[str, set[frozenset[str]]] = {}
    for text, labels in posts:
        found.setdefault(_clean(text), set()).add(frozenset(labels))
    return [(text, *label_sets) for text, label_sets in found.items() if text and len(label_sets) == 1]


def _deal(strata: list[frozenset[str]]) -> list[int]:
    """The fold of each instance: the strata, one after the other, are dealt to the folds in turn.

    So folds differ by one instance at most, as do a stratum's shares of them. Within a stratum,
    earlier instances are in earlier folds. Equals stratified k-fold splitting without shuffling.
    """
    folds_of, dealt = {}, 0
    for stratum, size in Counter(strata).items():
        folds_of[stratum] = iter(sorted(position % FOLDS for position in range(dealt, dealt + size)))
        dealt += size
    return [next(folds_of[stratum]) for stratum in strata]


def _record(uid: str, text: str, labels: Iterable[str]) -> dict:
    return {"uid": uid, "text": text, "label": "hateful" if HATEFUL in labels else "not_hateful"}


def _text_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _clean(text: str) -> str:
    """Lower case without mark-up; addresses, links and names masked; hashtags split into words."""
    text = re.sub(r"\\(\\?)", r"\1", text)  # Markdown's escapes
    text = html.unescape(text).lower()
    text = re.sub(r"\b[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}\b", "[EMAIL]", text)
    text = re.sub(r"\[([^][]+)\]\((?:https://|/message/compose|/r/)[^)]*\)", r"\1", text)
    text = re.sub(r"https?://[^])}\s]+|www\.\S+", "[URL]", text)
    text = re.sub(r"/[ur]/\w+", "[USER]", text)
    text = re.sub(r"#[a-z0-9]+", lambda hashtag: " ".join(_segmenter().segment(hashtag[0])), text)
    return re.sub(r"\[linebreak\]|[\n\t\u00a0\u200d]", " ", text).strip()


@cache
def _segmenter():
    from wordsegment import Segmenter

    segmenter = Segmenter()
    segmenter.load()
    return segmenter
