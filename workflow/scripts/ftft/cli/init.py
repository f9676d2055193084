"""`ftft init`: a configuration from a file, by a look at its columns and rows."""

import argparse
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import yaml

from ..data.dataset import listing
from ..data.sources import read, text_position
from ..errors import DataError, FtftError, ModelError
from ..workflow.config import FORMAT_BY_SUFFIX, SCHEMA_FILE, resolve
from .columns import Columns, guess_columns, present

# Where the paper's encoders are pinned.
PRESET = SCHEMA_FILE.parents[2] / "config" / "nli.yaml"
ENCODERS = {"small": "deberta-v3-small", "large": "deberta-v3-large"}
SHARES = {"train": [0, 0.8], "validation": [0.8, 0.9], "test": [0.9, 1]}
RARE = 0.01
SPECIAL_TOKENS = 3
LONGEST = 512

TEMPLATE = """\
# Written by `ftft init` from {file}; config/README.md describes every key.
tasks:
  {task}:
    labels: {labels}
    metric: accuracy   # or macro_f1, where classes differ in size
    text: {text}
    label: {label}
    uid: {uid}
    train: train
    validation: validation
    evaluate: {evaluate}
    # share: a part of the rows by a hash of their texts, so that equal texts stay together
    datasets:
{datasets}
models:
  small: {small}
  large: {large}
training: {{max_length: {max_length}}}   # tokens; guessed at four bytes each to cover 99 % of the rows
early_stopping: {{monitors: [id]}}   # by the validation set; ood: by the sets named under dev
finetune:
  {task}: {{main: large, reference: small}}
"""


@dataclass(frozen=True)
class Part:
    """A data set of the configuration: its entry there, its rows and their columns."""

    name: str
    entry: dict
    records: pa.Table
    columns: Columns

    @property
    def labels(self) -> list[str | None]:
        return self.records[self.columns.label].to_pylist()

    @property
    def texts(self) -> list[tuple[str | None, ...]]:
        return list(zip(*(self.records[name].to_pylist() for name in self.columns.text), strict=True))


def init(arguments: argparse.Namespace) -> None:
    """Write the configuration that `arguments` ask for; print what was guessed, why, and what is doubtful.

    Raises FtftError for files that cannot be read, columns that cannot be told, and an output that exists.
    """
    if not PRESET.exists():
        raise FtftError(
            "ftft init needs the workflow beside the library",
            got=f"no {PRESET}",
            fix="run it from a clone, installed there by pip install --editable .",
        )
    records = _read(arguments.file)
    columns = guess_columns(records, arguments.file, arguments.text, arguments.label, arguments.uid)
    whole = Part("train", {"source": "file", "path": arguments.file}, records, columns)
    labels = _sorted(set(present(whole.labels)))
    own = [whole] if arguments.validation else list(_split(whole))
    further = [_further(name, path, columns) for name, path in _further_files(arguments)]
    task = arguments.task or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(arguments.file).stem).strip("._-")
    length = _max_length(whole.texts)
    evaluated = [part.name for part in own + further if part.name not in ("train", "validation")]
    text = TEMPLATE.format(
        file=_flow(Path(arguments.file).name),
        task=_flow(task),
        labels=_flow(labels),
        text=_flow(columns.text),
        label=_flow(columns.label),
        uid=_flow(columns.uid),
        evaluate=_flow((["validation"] if arguments.validation else []) + evaluated),
        datasets="\n".join(f"      {_flow(part.name)}: {_flow(part.entry)}" for part in own + further),
        small=_flow(_model("small", arguments.reference)),
        large=_flow(_model("large", arguments.main)),
        max_length=length,
    )
    resolve(yaml.safe_load(text))
    print("\n".join(_report(whole, own + further, length)))
    for warning in (
        *_rows_to_mend(whole),
        *(warning for part in further for warning in _rows_to_mend(part)),
        *(warning for part in own + further for warning in _labels_to_mend(part, labels)),
    ):
        print(f"warning: {warning}")
    _write(arguments.output, text)
    print(f"wrote {arguments.output}; read it, then:")
    for target in ("preflight", "finetune"):
        print(f"  snakemake --cores 1 --configfile {shlex.quote(str(arguments.output))} -- {target}")


def _read(path: str) -> pa.Table:
    form = FORMAT_BY_SUFFIX.get(Path(path).suffix.lower())
    if form is None:
        raise DataError(
            f"cannot tell the format of {path}",
            expected=f"a name that ends in one of {', '.join(FORMAT_BY_SUFFIX)}",
            fix="rename the file, or convert it",
        )
    records, _ = read({"source": "file", "format": form}, Path(path).name, path)
    if records.num_rows == 0:
        raise DataError(f"{path} has no rows", expected="at least 2")
    return records


def _further_files(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    taken = {"train", "validation"} if arguments.validation else set(SHARES)
    if arguments.validation:
        yield "validation", arguments.validation
    for choice in arguments.evaluate:
        name, _, path = choice.partition("=")
        if not name or not path or name in taken:
            raise FtftError(
                "cannot use an evaluation set",
                got=f"--evaluate {choice}",
                expected=f"NAME=FILE, each name once and none of {', '.join(sorted(taken))}",
                fix="name it otherwise, e.g. --evaluate ood=other.csv",
            )
        taken.add(name)
        yield name, path


def _further(name: str, path: str, columns: Columns) -> Part:
    """A data set of another file, which may name its columns otherwise."""
    records = _read(path)
    text = columns.text if set(columns.text) <= set(records.column_names) else None
    label = columns.label if columns.label in records.column_names else None
    own = guess_columns(records, path, text, label, None)
    entry = {"source": "file", "path": path}
    for role in ("text", "label", "uid"):
        if getattr(own, role) != getattr(columns, role):
            entry[role] = getattr(own, role)
    return Part(name, entry, records, own)


def _split(whole: Part) -> Iterator[Part]:
    positions = [text_position(texts) for texts in whole.texts]
    for name, (low, high) in SHARES.items():
        rows = whole.records.filter(pa.array(low <= position < high for position in positions))
        yield Part(name, {**whole.entry, "share": [low, high]}, rows, whole.columns)


def _sorted(labels: set[str]) -> list[str]:
    try:
        return sorted(labels, key=int)
    except ValueError:
        return sorted(labels)


def _max_length(texts: list[tuple[str | None, ...]]) -> int:
    """A multiple of 8 that covers 99 % of the rows at four bytes a token, and at least one a word."""
    lengths = sorted(
        max(
            sum(len(text.encode()) for text in row if text) / 4,
            sum(len(text.split()) for text in row if text),
        )
        for row in texts
    )
    covered = lengths[math.ceil(0.99 * len(lengths)) - 1] + SPECIAL_TOKENS
    return min(LONGEST, 8 * max(2, math.ceil(covered / 8)))


def _model(name: str, choice: str | None) -> dict:
    if choice is None:
        entry = yaml.safe_load(PRESET.read_text(encoding="utf-8"))["models"][ENCODERS[name]]
        return {key: entry[key] for key in ("source", "id", "revision", "training") if key in entry}
    if Path(choice).is_dir():
        return {"source": "folder", "path": choice}
    identity, _, commit = choice.partition("@")
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ModelError(
            f"cannot use the encoder {choice}",
            got="no such folder, and no pinned repository",
            expected="a folder, or owner/name@COMMIT with all 40 digits of the commit",
            fix="take the commit from the repository's page on the hub (Files and versions, History)",
        )
    return {"source": "hub", "id": identity, "revision": commit}


def _flow(value: object) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("...\n").strip()


def _report(whole: Part, parts: list[Part], length: int) -> Iterator[str]:
    columns = whole.columns
    yield f"{whole.entry['path']}: {whole.records.num_rows} rows, columns {', '.join(whole.records.column_names)}"
    for role, name in (("text", ", ".join(columns.text)), ("label", columns.label), ("uid", columns.uid)):
        yield f"  {role:<11} {name or '-'} ({columns.reasons[role]})"
    for part in parts:
        counts = Counter(present(part.labels))
        shown = ", ".join(f"{label} {counts[label]}" for label in _sorted(set(counts)))
        own = {role: part.entry[role] for role in ("text", "label", "uid") if role in part.entry}
        yield f"  {part.name:<11} {part.records.num_rows} rows: {shown}{f'; {_flow(own)}' if own else ''}"
    yield f"  {'max_length':<11} {length} tokens (a guess: four bytes a token, 99 % of the rows)"


def _rows_to_mend(part: Part) -> Iterator[str]:
    """What a file's rows are doubtful for, whatever the task's labels."""
    file, labels, texts = part.entry["path"], part.labels, part.texts
    if missing := len(labels) - len(present(labels)):
        yield f"{file}: {missing} rows have no label; remove them, or keep the others by the key where"
    if empty := sum(len(present(row)) < len(row) for row in texts):
        yield f"{file}: {empty} rows have an empty text; they will be refused, remove them"
    repeated = len(texts) - len(set(texts))
    if repeated:
        contradicting = len(set(zip(texts, labels, strict=True))) - len(set(texts))
        yield f"{file}: {repeated} rows repeat a text, {contradicting} of them with another label"
    for label, count in Counter(present(labels)).items():
        if count < RARE * len(labels):
            yield f"{file}: only {count} of {len(labels)} rows are labelled '{label}'"


def _labels_to_mend(part: Part, labels: list[str]) -> Iterator[str]:
    found = set(present(part.labels))
    if len(found) < 2:
        yield f"{part.name}: rows of one class only will be refused; give more, or files of your own"
    if unknown := _sorted(found - set(labels)):
        names = _flow({label: "..." for label in unknown})
        yield f"{part.name}: labels unknown to the task; map them: label_names: {names}"


def _write(path: Path, text: str) -> None:
    try:
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise FtftError(
            f"{path} exists and is left as it is", fix="choose another name by --output, or remove it"
        ) from None
    except OSError as error:
        raise FtftError(f"{path} cannot be written", got=error.strerror) from error
