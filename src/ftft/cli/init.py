"""`ftft init`: a configuration from a file, by a look at its columns and rows."""

import argparse
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from ..errors import DataError, FtftError, ModelError
from ..pipeline.config import resolve
from ..pipeline.config.checks import RESERVED_NAMES
from ..places import CONFIG
from ..tasks.base import kind_of
from .columns import FEWEST_WORDS, Columns, mean_words
from .labels import NO_GOLD_LABEL, UNEVEN, classes_of, smallest_share, sorted_labels
from .lengths import max_length
from .parts import SHARES, TWO_SHARES, Part, labels_to_mend, read_further, read_whole, rows_to_mend, split
from .run import CONFIGURATION

# Where the paper's encoders are pinned.
PRESET = CONFIG / "nli.yaml"
ENCODERS = {"small": "deberta-v3-small", "large": "deberta-v3-large"}
# Of the labels of a data set.
MOST_SHOWN = 20
# Where the file's name cannot be the task's.
TASK = "data"
NOTE = "   # share: a part of the rows, by a hash of their texts, so that equal texts stay together"

TEMPLATE = """\
# Written by `ftft init` from {file}; config/README.md describes every key.
tasks:
  {task}:
{keys}
    text: {text}
    uid: {uid}
    train: train
    validation: validation
    evaluate: {evaluate}
    datasets:{note}
{datasets}
models:
  small: {small}
  large: {large}
training: {{max_length: {max_length}}}   # tokens, for 99 % of the rows; {measured}
early_stopping: {{monitors: [id]}}   # by the validation set; ood: by sets named under dev
finetune:
  {task}: {{main: large, reference: small{selector}}}
"""


def init(arguments: argparse.Namespace) -> None:
    """Write the configuration that `arguments` ask for; print what was guessed, why, and what is doubtful.

    Raises FtftError for files that cannot be read, columns that cannot be told, and an output that exists.
    """
    whole = read_whole(
        arguments.file,
        arguments.text,
        arguments.label,
        arguments.uid,
        arguments.kind,
        arguments.group,
        arguments.encoding,
    )
    kind = kind_of(whole.columns.kind)
    if kind.head == "CausalLM" and None in (arguments.reference, arguments.main):
        raise FtftError(
            "ftft init knows no language models that fit these rows",
            got=f"{whole.columns.reasons['label']}: a task of the kind '{kind.name}', and no models",
            expected="a small and a large language model",
            fix="name them: --reference MODEL --main MODEL, each owner/name@COMMIT or a folder",
        )
    labels = whole.columns.keys.get("label_columns") or classes_of(
        name for own in whole.names for name in own
    )
    unlabelled = _without_gold_label(whole, labels)
    whole = _with_gold_labels(whole, labels)
    further = [
        _with_gold_labels(read_further(name, path, whole.columns, arguments.encoding), labels)
        for name, path in _further_files(arguments)
    ]
    if not arguments.validation:
        own = list(split(whole, labels, SHARES))
    elif arguments.evaluate:
        own = [whole]
    else:
        own = list(split(whole, labels, TWO_SHARES))
    if "labels" in kind.required and len(labels) < kind.fewest_labels:
        raise DataError(
            f"the label column '{whole.columns.label}' of {arguments.file} has fewer than two values",
            got=", ".join(labels) or "empty cells",
            fix="name another: --label COLUMN",
        )
    counts = Counter(name for own in whole.names for name in own)
    uneven = whole.columns.kind == "classification" and smallest_share(counts) < UNEVEN
    metric = "macro_f1" if uneven else kind.metrics[0]
    length, measured = max_length(whole.read_at_once, [arguments.reference, arguments.main])
    text = _configuration(arguments, whole, own + further, labels, metric, length, measured)
    resolve(yaml.safe_load(text))
    print("\n".join(_report(whole, own + further, length, measured)))
    if uneven:
        smallest = min(counts, key=counts.get)
        print(
            f"  {'metric':<10}  macro_f1 (of {counts.total()} rows only {counts[smallest]} are '{smallest}')"
        )
    if unlabelled:
        mark = f"labelled {NO_GOLD_LABEL}, as the hub marks rows without a label"
        print(f"  {'left out':<10}  {unlabelled} rows {mark}")
    for part in (whole, *further):
        for warning in rows_to_mend(part):
            print(f"warning: {warning}")
    for part in own + further:
        for warning in labels_to_mend(part, labels):
            print(f"warning: {warning}")
    _write(arguments.output, text)
    print(f"wrote {arguments.output}; read it, then:")
    given = arguments.output == CONFIGURATION
    for verb in ("preflight", "finetune"):
        print(f"  ftft {verb}" + ("" if given else f" --configfile {shlex.quote(str(arguments.output))}"))


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
                expected=f"NAME=FILE, the name none of {', '.join(sorted(taken))}",
                fix="name it otherwise, e.g. --evaluate ood=other.csv",
            )
        taken.add(name)
        yield name, path


def _without_gold_label(part: Part, labels: list[str]) -> int:
    """How many rows are marked as having no label."""
    marks = part.columns.kind == "classification" and NO_GOLD_LABEL not in labels
    return part.labels.count(NO_GOLD_LABEL) if marks else 0


def _with_gold_labels(part: Part, labels: list[str]) -> Part:
    """The rows that have a label, chosen so in the configuration too."""
    column = part.columns.label
    if not _without_gold_label(part, labels):
        return part
    rows = part.records.filter(pc.is_in(part.records[column], pa.array(labels)))
    return replace(part, entry={**part.entry, "where": {column: labels}}, records=rows)


def _task_name(file: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file).stem).strip("._-")
    return name if name and name not in RESERVED_NAMES else TASK


def _configuration(
    arguments: argparse.Namespace,
    whole: Part,
    parts: list[Part],
    labels: list[str],
    metric: str,
    length: int,
    measured: str,
) -> str:
    task = arguments.task or _task_name(arguments.file)
    evaluated = [part.name for part in parts if part.name not in ("train", "validation")]
    shared = any("share" in part.entry for part in parts)
    return TEMPLATE.format(
        file=_flow(Path(arguments.file).name),
        task=_flow(task),
        keys="\n".join(f"    {line}" for line in _keys(whole.columns, labels, metric)),
        text=_flow(whole.columns.text),
        uid=_flow(whole.columns.uid),
        evaluate=_flow(evaluated),
        note=NOTE if shared else "",
        datasets="\n".join(f"      {_flow(part.name)}: {_flow(part.entry)}" for part in parts),
        small=_flow(_model("small", arguments.reference)),
        large=_flow(_model("large", arguments.main)),
        max_length=length,
        measured=measured.partition(";")[0],
        # The paper's selection is lost between models of unlike size: docs/generation.md.
        selector=", selector: ambiguous_within_difficulty" if whole.columns.kind == "generation" else "",
    )


def _keys(columns: Columns, labels: list[str], metric: str) -> Iterator[str]:
    """What the task says of its kind, labels and metric, line by line."""
    kind = kind_of(columns.kind)
    if columns.kind != "classification":
        yield f"kind: {columns.kind}   # docs/kinds.md"
    if "labels" in kind.required:
        yield f"labels: {_flow(labels)}"
    others = " or ".join(name for name in kind.metrics if name != metric)
    where = ", where classes differ in size" if columns.kind == "classification" else ""
    yield f"metric: {metric}" + (f"   # or {others}{where}" if others else "")
    for key, names in columns.keys.items():
        yield f"{key}: {_flow(names)}"
    if columns.label:
        yield f"label: {_flow(columns.label)}"
    if columns.group:
        yield f"group: {_flow(columns.group)}   # its rows stay together where one file is split"


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
            got="neither a folder nor a pinned repository",
            expected="a folder, or owner/name@COMMIT with all 40 digits of the commit",
            fix="take the commit from the repository's page on the hub (Files and versions, History)",
        )
    return {"source": "hub", "id": identity, "revision": commit}


def _flow(value: object) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("...\n").strip()


def _report(whole: Part, parts: list[Part], length: int, measured: str) -> Iterator[str]:
    columns, records = whole.columns, whole.records
    yield f"{whole.entry['path']}: {records.num_rows} rows, columns {', '.join(records.column_names)}"
    if columns.kind != "classification":
        yield f"  {'kind':<10}  {columns.kind} (another: --kind)"
    label = columns.label or ", ".join(columns.keys["label_columns"])
    for role, name in (("text", ", ".join(columns.text)), ("label", label), ("uid", columns.uid)):
        yield f"  {role:<10}  {name or '-'} ({columns.reasons[role]})"
    if choices := columns.keys.get("choices"):
        yield f"  {'choices':<10}  {', '.join(choices)}"
    unused = [name for name in records.column_names if name not in columns.used]
    if unused:
        yield f"  {'unused':<10}  {', '.join(unused)}{_second_text(columns, unused, records)}"
    for part in parts:
        counts = Counter(name for own in part.names for name in own)
        first = sorted_labels(counts)
        shown = ", ".join(f"{label} {counts[label]}" for label in first[:MOST_SHOWN])
        shown += f", and {len(first) - MOST_SHOWN} labels more" if len(first) > MOST_SHOWN else ""
        own = {role: part.entry[role] for role in ("text", "label", "uid", "group") if role in part.entry}
        columns_of_its_own = f"; columns {_flow(own)}" if own else ""
        rows = f"{part.records.num_rows} rows{': ' * bool(shown)}{shown}"
        yield f"  {part.name:<10}  {rows}{columns_of_its_own}"
    yield f"  {'max_length':<10}  {length} tokens ({measured})"


def _second_text(columns: Columns, unused: list[str], records: pa.Table) -> str:
    """A hint at texts that are left aside, where there is room for them."""
    texts = [name for name in unused if mean_words(records[name].to_pylist()) >= FEWEST_WORDS]
    if not texts or len(columns.text) == kind_of(columns.kind).text_columns:
        return ""
    return f" (texts too? --text {shlex.quote(texts[0])} {shlex.quote(columns.text[0])})"


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
