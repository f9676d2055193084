"""Faults of a configuration, each as one line: the place, what it got, what was expected."""

import difflib
import math
import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from ..data import sources  # noqa: F401
from ..data.formats import endings
from ..data.registry import SOURCES
from ..paper import cad  # noqa: F401
from .plan import COSTS, LENGTH_TABLE, METHODS, MIXTURES, REGIONS, Selection, scored_by

RESERVED_NAMES = ("full", "random")
# Written by rules of their own.
RESERVED_TABLES = ("table3", "table4", "claims", "patience")
TABLE_COLUMNS = ("section", "method", "main", "reference", "selection", "budget", "runs", "failed", *COSTS)

REQUIRED_BY_SOURCE = {
    "datasets": {name: list(source.required) for name, source in SOURCES.items()},
    "models": {
        "hub": ["id", "revision"],
        "folder": ["path"],
        "package": ["package"],
        "scratch": ["architecture", "tokenizer"],
    },
}
SPLITS = {name: list(source.splits) for name, source in SOURCES.items()}
# Any one of its packages makes a tracker work; the first is the smallest.
TRACKER_PACKAGES = {
    "tensorboard": ("tensorboardX", "tensorboard"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
LIMITS = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
}
JSON_TYPES = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "array": "a list",
    "object": "a mapping of keys to values",
    "boolean": "true or false",
    "null": "nothing",
}


def place_of(path: Iterable[str | int]) -> str:
    """A place in the configuration, as text: tables.table1.rows[0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the configuration"


def describe(error) -> Iterator[str]:
    """The lines that say what a schema validation error found."""
    place, got = place_of(error.absolute_path), error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in sorted(set(map(str, got)) - set(known)):
            yield f"{place}: unknown key '{key}'{_nearest(key, known, 'known keys')}"
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in got:
                yield f"{place}: the key '{key}' is missing"
    elif error.validator == "type":
        types = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        expected = " or ".join(JSON_TYPES[name] for name in types)
        yield f"{place}: got {got!r}, expected {expected}{_number_cure(got, types) or _text_cure(got, types)}"
    elif error.validator == "enum":
        choices = ", ".join(map(str, error.validator_value))
        yield f"{place}: got {got!r}, expected one of: {choices}"
    elif error.validator == "pattern" and "x-expected" in error.schema:
        yield f"{place}: got {got!r}, expected {error.schema['x-expected']}"
    elif error.validator == "pattern":
        yield (
            f"{place}: the name {got!r} may hold letters, digits, '.', '_', '-' only "
            "and must begin with a letter or digit"
        )
    elif error.validator in LIMITS:
        yield f"{place}: got {got!r}, expected {LIMITS[error.validator]} {error.validator_value}"
    elif error.validator in ("minItems", "minProperties", "minLength"):
        yield f"{place}: got {got!r}, expected at least {error.validator_value} entry or character"
    elif error.validator == "not" and isinstance(got, dict):
        pairs = [pair["required"] for pair in error.validator_value["anyOf"]]
        for one, other in (pair for pair in pairs if set(pair) <= set(got)):
            yield f"{place}: got both '{one}' and '{other}', expected one of them"
    elif error.validator == "not":
        return  # its type is a fault already
    elif error.validator == "uniqueItems":
        yield f"{place}: got {got!r}, expected each entry once"
    else:
        yield f"{place}: {error.message}"


def _text_cure(got: object, types: list[str]) -> str:
    if "string" not in types or not isinstance(got, bool | int | float):
        return ""
    return ". Put it in quotes: YAML reads no, yes, on, off and bare digits as other things than text"


def _number_cure(got: object, types: list[str]) -> str:
    if "integer" in types and isinstance(got, int | float) and math.isfinite(got) and abs(got) >= 2**31:
        return " below 2^31"
    if not isinstance(got, str) or not {"number", "integer"} & set(types):
        return ""
    try:
        if not math.isfinite(float(got)):
            return ""
    except ValueError:
        return ""
    mantissa, _, exponent = got.lower().partition("e")
    if exponent:
        point = "" if "." in mantissa else ".0"
        sign = "" if exponent[0] in "+-" else "+"
        if point or sign:
            return f". YAML reads {got} as text: write {mantissa}{point}e{sign}{exponent}"
    return f". Write {got} without quotes in a configuration file, not by --config"


def cross_check(config: dict) -> Iterator[str]:
    """What no schema sees: names that lead nowhere, absent files, rows that contradict themselves."""
    for section in ("models", "tasks"):
        for name in sorted(set(RESERVED_NAMES) & set(config[section])):
            yield f"{section}: the name '{name}' is reserved"
    for name, model in config["models"].items():
        yield from _check_source(f"models.{name}", "models", model)
    for name, task in config["tasks"].items():
        yield from _check_task(f"tasks.{name}", task)
        shown = any(table["task"] == name for table in config["tables"].values())
        if shown and "ood" in config["early_stopping"]["monitors"] and not task["dev"]:
            yield (
                f"tasks.{name}.dev: early_stopping.monitors has 'ood' but there is no development "
                "set; name some, or set early_stopping.monitors: [id]"
            )
    yield from _check_fraction("selection.fraction", config["selection"]["fraction"])
    for name, entry in config["selections"].items():
        yield from _check_mixture(f"selections.{name}", name, entry)
    for name in config["runtime"]["trackers"]:
        packages = TRACKER_PACKAGES[name]
        if not any(map(find_spec, packages)):
            yield f"runtime.trackers: '{name}' is not installed; pip install {packages[0]}"
    for section in ("models", "tasks"):
        yield from _check_roles(section, config[section])
    if not config["tables"] and not config["finetune"]:
        yield (
            "tables: there is none, and the paper's need tasks and models that stand for its own; "
            "name rows under tables, or a model under finetune, or set stands_for"
        )
    for name, entry in config["finetune"].items():
        yield from _check_finetune(f"finetune.{name}", name, entry, config)
    for name, table in config["tables"].items():
        if name in RESERVED_TABLES:
            yield f"tables: the name '{name}' is reserved"
        length = name.removeprefix(LENGTH_TABLE)
        place = f"tables.{name}" if length == name else f"figures.training_length.{length}"
        yield from _check_table(place, table, config)
    for figure, models in config["figures"]["overlap"].items():
        for name in models:
            if name not in config["models"]:
                near = _nearest(name, config["models"])
                yield f"figures.overlap.{figure}: there is no model '{name}'{near}"


def _check_roles(section: str, entries: dict) -> Iterator[str]:
    players: dict[str, str] = {}
    for name, entry in entries.items():
        role = entry.get("stands_for", name)
        if role in players:
            yield f"{section}.{name}.stands_for: '{role}' is already played by '{players[role]}'"
        players.setdefault(role, name)


def _check_source(place: str, kind: str, entry: dict) -> Iterator[str]:
    for key in REQUIRED_BY_SOURCE[kind][entry["source"]]:
        if key not in entry:
            yield f"{place}: source '{entry['source']}' needs the key '{key}'"
    if entry["source"] in ("file", "cad", "folder") and "path" in entry:
        path, sort = entry["path"], "folder" if entry["source"] == "folder" else "file"
        saved = entry.get("format") == "saved" and os.path.isdir(path)
        if not (saved or (os.path.isfile(path) if sort == "file" else os.path.isdir(path))):
            yield f"{place}.path: there is no {sort} '{path}' (relative paths start from {Path.cwd()})"
        elif not os.access(path, os.R_OK):
            yield f"{place}.path: the {sort} '{path}' may not be read; change its permissions"
        elif sort == "file" and set(path) & set("{}"):
            yield f"{place}.path: Snakemake reads the braces in '{path}' as a wildcard; rename the file"


def _check_task(place: str, task: dict) -> Iterator[str]:
    used = {"train": [task["train"]], "validation": [task["validation"]]}
    used |= {"dev": task["dev"], "evaluate": task["evaluate"]}
    for key, names in used.items():
        for name in names:
            if name not in task["datasets"]:
                yield f"{place}.{key}: there is no data set '{name}'{_nearest(name, task['datasets'])}"
            elif key != "train" and name == task["train"]:
                yield f"{place}.{key}: '{name}' is the training set"
    for name, dataset in task["datasets"].items():
        where = f"{place}.datasets.{name}"
        yield from _check_source(where, "datasets", dataset)
        if name in TABLE_COLUMNS or name.endswith("_std"):
            yield f"{where}: the name '{name}' is a column of the tables"
        if dataset["source"] == "file" and "path" in dataset and "format" not in dataset:
            yield (
                f"{where}.path: cannot tell the format of '{dataset['path']}'; "
                f"name it by the key 'format', or let it end in one of {endings()}"
            )
        splits = SPLITS.get(dataset["source"])
        if splits and dataset.get("split", splits[0]) not in splits:
            yield f"{where}.split: got {dataset['split']!r}, expected one of: {', '.join(splits)}"
        if len(dataset.get("text", task["text"])) != len(task["text"]):
            yield f"{where}.text: got {dataset['text']}, expected as many columns as in {place}.text"
        columns = {"text": task["text"], "label": task["label"], "uid": task["uid"], **dataset}
        if columns["label"] in [*columns["text"], columns["uid"]]:
            yield f"{where}: the column '{columns['label']}' is the label and a text or uid too; name another"
        low, high = dataset.get("share", (0, 1))
        if low >= high:
            yield f"{where}.share: got [{low:g}, {high:g}], expected the smaller number first"
        for value, label in dataset.get("label_names", {}).items():
            if label not in task["labels"]:
                yield f"{where}.label_names[{value}]: '{label}' is none of the labels of {place}"


def _check_table(place: str, table: dict, config: dict) -> Iterator[str]:
    if table["task"] not in config["tasks"]:
        yield f"{place}.task: there is no task '{table['task']}'"
    models = {"cost_of": table.get("cost_of")}
    for index, row in enumerate(table["rows"]):
        where = f"rows[{index}]"
        reference = row.get("reference")
        models[f"{where}.main"] = row["main"]
        models[f"{where}.reference"] = None if reference == "random" else reference
        yield from _check_fraction(f"{place}.{where}.fraction", row.get("fraction", 1))
        if row["method"].startswith("ERM") and reference:
            yield f"{place}.{where}: {row['method']} trains on all data and takes no reference"
        if row["method"].startswith("ERM") and "fraction" in row:
            yield f"{place}.{where}: {row['method']} trains on all data and takes no fraction"
        if reference and reference != "random":
            yield from _check_region(f"{place}.{where}.region", row, config)
        if "steps" in row and METHODS[row["method"]][1]:
            yield f"{place}.{where}: {row['method']} keeps the full length's schedule and takes no steps"
        if not row["method"].startswith("ERM") and not reference:
            yield f"{place}.{where}: {row['method']} needs a reference: a model's name, or random"
    for where, name in models.items():
        if name is not None and name not in config["models"]:
            yield f"{place}.{where}: there is no model '{name}'{_nearest(name, config['models'])}"


def _check_finetune(place: str, task: str, entry: dict, config: dict) -> Iterator[str]:
    if task not in config["tasks"]:
        yield f"{place}: there is no task '{task}'{_nearest(task, config['tasks'])}"
    for role in ("main", "reference"):
        if entry[role] not in config["models"]:
            near = _nearest(entry[role], config["models"])
            yield f"{place}.{role}: there is no model '{entry[role]}'{near}"
    yield from _check_fraction(f"{place}.fraction", entry.get("fraction", 1))
    yield from _check_region(f"{place}.region", entry, config)


def _check_mixture(place: str, name: str, entry: dict) -> Iterator[str]:
    if name in REGIONS:
        yield f"selections: the name '{name}' is that of a region"
    settings = MIXTURES[entry["mixture"]]
    for key in sorted(set(entry) - {"mixture", "region", *settings}):
        takes = f"takes {', '.join(settings)}" if settings else "takes no settings"
        yield f"{place}.{key}: the mixture {entry['mixture']} {takes}"


def _check_region(place: str, row: dict, config: dict) -> Iterator[str]:
    region, reference = row["region"], row["reference"]
    known = [*REGIONS, *config["selections"]]
    if region not in known:
        yield f"{place}: got {region!r}, expected a region or one of selections{_nearest(region, known)}"
        return
    read_back = Selection.parse(Selection(reference, region, 0.5).name)
    if (read_back.reference, read_back.region) != (reference, region):
        yield (
            f"{place}: '{reference}-{region}' could also be read as '{read_back.region}' of "
            f"'{read_back.reference}'; rename the selection"
        )
    model = config["models"].get(reference, {})
    epochs = model.get("training", {}).get("epochs", math.inf)
    if scored_by(region, config) == "el2n" and max(config["selection"]["el2n_epochs"]) + 1 > epochs:
        yield (
            f"selection.el2n_epochs: got {config['selection']['el2n_epochs']}, but the reference "
            f"'{reference}' trains for {epochs:g} epochs, counted from 0"
        )


def _check_fraction(place: str, fraction: float) -> Iterator[str]:
    if Selection(None, None, fraction).name == "random-0":
        yield f"{place}: got {fraction}, too small for a selection of any data"


def _nearest(name: str, known: Iterable[str], listing: str = "there are") -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean '{near[0]}'?" if near else f"; {listing}: {', '.join(known)}"
