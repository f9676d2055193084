"""The interactive data map: one HTML page per reference run that needs nothing but a browser.

The page is `workflow/report/map_page/` with its style, its code and these data inlined. Each block of data is
compressed and in base64, so that no text of an instance is ever markup; the page writes texts as text only.
"""

import base64
import html
import json
import zlib
from pathlib import Path
from string import Template

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..artifacts import read_parquet, to_arrow, to_numpy, write_text
from ..cartography.datamap import DataMap
from ..cartography.dynamics import load_dynamics
from ..cartography.selection import regions
from ..data.corrections import text_hash
from ..data.dataset import TEXT_COLUMNS, Dataset, uid_hash
from ..notebook import WIDEST_VARIABILITY
from ..places import REPORT
from ..tasks.base import Kind, kind_of
from .issues import listed
from .web_page import policy

TEMPLATES = REPORT / "map_page"
SCRIPTS = ("data.js", "plot.js", "review.js", "app.js")
# The texts of 400,000 rows as long as MNLI's (170 bytes) are 68 MB, 40 MB of page.
MOST_TEXT_BYTES = 80_000_000
# Instances whose texts a browser unpacks together, to show one of them: a few milliseconds.
CHUNK = 4096
AMBIGUOUS, HARD_TO_LEARN = 1, 2


def write_page(
    spec: dict, map_file: Path, dynamics_file: Path, data_file: Path, issues_file: Path, output: Path
) -> None:
    """Write the page of a data map, with the issues of its run to go through.

    `spec` holds `title`, the `text` columns' names and the `fraction` of the map's regions. Texts are in the
    page up to 80 MB (UTF-8), those of the instances whose uids hash lowest; all else is of all instances.
    Raises ArtifactError where map, dynamics and data do not belong together.
    """
    data, _ = read_parquet(data_file)
    dataset = Dataset.load(data_file, texts=False)
    data_map = DataMap.load_for(map_file, dataset)
    kind = kind_of(dataset.kind)
    dynamics = load_dynamics(dynamics_file, dataset, logits=kind.shows_dynamics)
    curves, epochs = quantised_curves(dynamics.p_true), len(dynamics.p_true)
    groups, names = kind.groups(dataset)
    arrays = {
        **map_arrays(data_map, epochs, spec["fraction"]),
        "label": groups.astype("<u2"),
    }
    # Most ambiguous first: what is listed or brushed together is then unpacked together.
    order = np.argsort(-data_map.variability, kind="stable")
    ordered = data.take(to_arrow(order))
    shown = shown_texts(ordered, dataset, order)
    beside = beside_texts(ordered, dataset, order, dynamics.own)
    for name, lines in beside.items():
        shown = shown.append_column(name, pa.array(lines, pa.string()))
    texts = texts_that_fit(ordered["uid"], shown)
    column, marks = kind.marked(dataset.labels) or (None, None)
    page = {
        **{key: spec[key] for key in ("title", "fraction")},
        "text": [*spec["text"], *beside],
        # The column of texts with parts that are marked.
        "marked": column,
        "labels": names,
        # Labels that a correction may give: of other kinds the file holds more than a name.
        "choices": dataset.label_names if kind.name == "classification" else [],
        "data": dataset.content_hash[:16],
        "instances": len(data_map),
        "epochs": epochs,
        "chunk": CHUNK,
        **borders(data_map, arrays["regions"]),
    }
    page["texts"] = len(texts) - texts[0].null_count
    first = {name: values[order].tobytes() for name, values in arrays.items()}
    later = {
        "uids": json_bytes(ordered["uid"].to_pylist()),
        "curves": curves[order].tobytes(),
        "issues": json_bytes(issues_of(issues_file, ordered, kind)),
        **({} if marks is None else {"marks": marks[order].astype("<u4").tobytes()}),
        **chunks(texts),
    }
    write_text(output, fill(page, first, later))


def map_arrays(data_map: DataMap, epochs: int, fraction: float) -> dict[str, np.ndarray]:
    """What the page draws of n instances, in data order, little-endian.

    variability and confidence [n] in 65,535ths of 0.5 and of 1; correct [n], the number of epochs; regions
    [n], bits: 1 ambiguous, 2 hard-to-learn; easy instances have none.
    """
    masks = regions(data_map, fraction)
    return {
        "variability": np.rint(data_map.variability / WIDEST_VARIABILITY * 65535).astype("<u2"),
        "confidence": np.rint(data_map.confidence * 65535).astype("<u2"),
        "correct": np.rint(data_map.correctness * epochs).astype("<u2"),
        "regions": (AMBIGUOUS * masks["ambiguous"] + HARD_TO_LEARN * masks["hard-to-learn"]).astype(np.uint8),
    }


def borders(data_map: DataMap, membership: np.ndarray) -> dict[str, float]:
    """The least variability of the ambiguous instances, and the largest confidence of the hard-to-learn."""
    return {
        "ambiguous_from": float(data_map.variability[membership & AMBIGUOUS > 0].min()),
        "hard_to_learn_to": float(data_map.confidence[membership & HARD_TO_LEARN > 0].max()),
    }


def quantised_curves(p_true: np.ndarray) -> np.ndarray:
    """p_true [epochs, n] in 255ths, uint8 [n, epochs]: an instance's curve in one piece."""
    return np.rint(p_true.T * 255).astype(np.uint8)


def issues_of(issues_file: Path, data: pa.Table, kind: Kind) -> list[dict]:
    """The issues of a run, worst first, as the page reads them: `row` is the place among the rows of `data`,
    `shown` the given and the suggested label as the kind of task shows them.

    `hash` recognises the texts of the row (`corrections.text_hash`); it is empty where these are lists, which
    a source may write in many ways.
    """
    table, metadata = read_parquet(issues_file)
    places = {uid: place for place, uid in enumerate(data["uid"].to_pylist())}
    found = listed(table, metadata["share"])
    rows = [places[uid] for uid in found["uid"]]
    columns = [data[name].take(pa.array(rows, pa.int64())).to_pylist() for name in text_columns(data)]
    texts = [*zip(*columns, strict=True)]
    hashed = [text_hash(row) if all(isinstance(text, str) for text in row) else "" for row in texts]
    shown = [
        [kind.readable(label, row) if label else "" for label in pair]
        for *pair, row in zip(found["given"], found["suggested"], texts, strict=True)
    ]
    chances = [None if np.isnan(chance) else chance for chance in found["probability"].astype(float)]
    labels = (found["given"], found["suggested"], shown)
    entries = zip(rows, *labels, chances, found["reason"], hashed, strict=True)
    keys = ("row", "given", "suggested", "shown", "probability", "reason", "hash")
    return [dict(zip(keys, entry, strict=True)) for entry in entries]


def text_columns(data: pa.Table) -> list[str]:
    """The columns of texts that a data set has."""
    return [name for name in TEXT_COLUMNS if name in data.column_names]


def shown_texts(data: pa.Table, dataset: Dataset, order: np.ndarray) -> pa.Table:
    """The columns of texts of the rows of `data`, which are those of `dataset` in this order, as the kind of
    task shows them.
    """
    texts = data.select(text_columns(data))
    kind = kind_of(dataset.kind)
    lists = any(pa.types.is_list(column.type) for column in texts.columns)
    if not lists and not kind.shows_targets:
        return texts
    columns = [column.to_pylist() for column in texts.columns]
    shown = kind.shown(columns, dataset.labels[order], dataset.label_names)
    return pa.table({str(place): pa.chunked_array([column]) for place, column in enumerate(shown)})


def beside_texts(
    data: pa.Table, dataset: Dataset, order: np.ndarray, own: dict[str, np.ndarray]
) -> dict[str, list[str]]:
    """What the kind of task shows beside the texts of the rows of `data`, as `shown_texts` has them, by name;
    `own` [epochs, n] is what it records, in the order of `dataset`.
    """
    kind = kind_of(dataset.kind)
    if not kind.shows_dynamics:
        return {}
    texts = [data[name].to_pylist() for name in text_columns(data)]
    ordered = {name: values[:, order] for name, values in own.items()}
    return kind.beside(texts, dataset.labels[order], ordered)


def texts_that_fit(uids: pa.ChunkedArray, texts: pa.Table) -> pa.Table:
    """Texts by column; null for instances that do not fit, of which those whose uids hash lowest do."""
    sizes = sum(to_numpy(pc.binary_length(column)).astype(np.int64) for column in texts.columns)
    if sizes.sum() <= MOST_TEXT_BYTES:
        return texts
    uids = uids.to_pylist()
    by_hash = np.array(sorted(range(len(uids)), key=lambda row: (uid_hash(uids[row]), uids[row])))
    fits = np.zeros(len(uids), bool)
    fits[by_hash[np.cumsum(sizes[by_hash]) <= MOST_TEXT_BYTES]] = True
    kept = [pc.if_else(pa.array(fits), column, None) for column in texts.columns]
    return pa.table(kept, names=texts.column_names)


def chunks(texts: pa.Table) -> dict[str, bytes]:
    """Texts as JSON by the name of their block: a list per column, of `CHUNK` instances after the other."""
    parts = (texts.slice(start, CHUNK) for start in range(0, len(texts), CHUNK))
    return {
        f"texts-{number}": json_bytes([column.to_pylist() for column in part.columns])
        for number, part in enumerate(parts)
    }


def json_bytes(value: object) -> bytes:
    """`value` as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def data_block(name: str, content: bytes) -> str:
    """An element that browsers neither show nor run, with `content` deflated and in base64."""
    packed = base64.b64encode(zlib.compress(content)).decode()
    return f'<script type="application/octet-stream" id="{name}">{packed}</script>'


def fill(page: dict, first: dict[str, bytes], later: dict[str, bytes]) -> str:
    """The whole page around its data: what it draws at first stands before its code, the rest after it."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    code = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    # "<" alone could end the element that holds the JSON.
    described = json_bytes(page).decode().replace("<", r"\u003c")
    return Template((TEMPLATES / "page.html").read_text(encoding="utf-8")).substitute(
        policy=policy(style, code),
        title=html.escape(page["title"]),
        style=style,
        page=described,
        first="\n".join(data_block(name, content) for name, content in first.items()),
        code=code,
        later="\n".join(data_block(name, content) for name, content in later.items()),
    )
