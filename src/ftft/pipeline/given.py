"""A configuration as it is given, before defaults: files and values that mean other than they seem."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from ..data.registry import SOURCES
from ..errors import ConfigError
from .faults import REQUIRED_BY_SOURCE, place_of
from .plan import LENGTH_TABLE

TAKEN_BY_SOURCE = {
    "datasets": {name: list(source.optional) for name, source in SOURCES.items()},
    "models": {"hub": ["keep_layers"], "folder": ["keep_layers"], "package": ["keep_layers"], "scratch": []},
}
# No file can have these names on Windows, whatever the suffix.
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}
DEEPEST = 20


class _StrictLoader(yaml.SafeLoader):
    """YAML without Python's types, in which no mapping has a key twice."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if (key.tag, key.value) in lines:
                    first = lines[key.tag, key.value]
                    raise yaml.YAMLError(f"the key '{key.value}' stands twice: in lines {first} and {line}")
                lines[key.tag, key.value] = line
        return node


def check_file(path: str | Path) -> None:
    """Refuse a configuration file that Snakemake reads otherwise than it looks.

    Raises ConfigError for a key that stands twice (Snakemake takes the last), types of Python,
    `__use_yte__` (Snakemake runs the Python in such a file), and what is not YAML or JSON in UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        try:
            entries = json.loads(text, object_pairs_hook=_once_each)
        except json.JSONDecodeError:
            entries = yaml.load(text, _StrictLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"the configuration file {path} cannot be used",
            got=" ".join(str(error).split()),
            expected="plain YAML or JSON in UTF-8, each key once",
            fix="correct the file there",
        ) from error
    if isinstance(entries, dict) and "__use_yte__" in entries:
        raise ConfigError(
            f"the configuration file {path} holds a program",
            got="the key '__use_yte__', by which Snakemake runs Python in it: it has run by now",
            expected="plain YAML or JSON",
            fix="read the file, find out what it did, and write its values out",
        )


def _once_each(pairs: list[tuple[str, object]]) -> dict:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice}' stands twice in one mapping")
    return entries


def spelled(value: object) -> str:
    """A value as the rows that are read spell it."""
    return value if isinstance(value, str) else json.dumps(value)


def unholdable(value: object, path: tuple = (), above: tuple = ()) -> Iterator[str]:
    """What YAML can spell and no specification can hold: cycles, dates, infinities, lone surrogates."""
    place = place_of(path)
    if isinstance(value, dict | list):
        if any(value is other for other in above):
            yield f"{place}: an anchor that holds itself; write the values out"
        elif len(above) > DEEPEST:
            yield f"{place}: nested more than {DEEPEST} deep"
        else:
            keys = value if isinstance(value, dict) else ()
            for key in keys:
                yield from _unholdable_key(key, path)
            for key, item in value.items() if keys else enumerate(value):
                yield from unholdable(item, (*path, key), (*above, value))
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield f"{place}: got {value!r}, expected text without lone surrogates"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{place}: got {value}, expected a number that is finite"
    elif not isinstance(value, int | float | None):
        yield f"{place}: got {value!r}, expected text, a number, true or false; put text in quotes"


def _unholdable_key(key: object, path: tuple) -> Iterator[str]:
    if isinstance(key, str):
        yield from unholdable(key, path)
    elif "architecture" in path or path[-1:] == ("where",):
        yield f"{place_of(path)}: got the key {key!r}, expected text; put it in quotes"
    elif not isinstance(key, int | float) or not math.isfinite(key):
        yield f"{place_of(path)}: got the key {key!r}, expected text or a number; put text in quotes"


def misplaced(config: dict) -> Iterator[str]:
    """What would be overlooked in `config`, as it was given: keys and names without effect."""
    for section, entries in _sourced(config):
        kind = section.rpartition(".")[2]
        for name, entry in entries.items():
            yield from _check_keys(f"{section}.{name}", kind, entry)
    for section, entries in _named(config):
        yield from _check_names(section, entries)
    for name, table in config.get("tables", {}).items():
        if name.startswith(LENGTH_TABLE) or name.endswith(".costs"):
            yield f"tables: the name '{name}' is reserved"
        for index, row in enumerate(table["rows"]):
            if "region" in row and (row["method"].startswith("ERM") or row.get("reference") == "random"):
                yield (
                    f"tables.{name}.rows[{index}].region: a region is a reference model's; "
                    "remove it, or name a model under reference"
                )


def _sourced(config: dict) -> Iterator[tuple[str, dict]]:
    yield "models", config["models"]
    for name, task in config["tasks"].items():
        yield f"tasks.{name}.datasets", task["datasets"]


def _named(config: dict) -> Iterator[tuple[str, dict]]:
    yield from _sourced(config)
    yield "tasks", config["tasks"]
    yield "tables", config.get("tables", {})
    yield "figures.overlap", config.get("figures", {}).get("overlap", {})


def _check_keys(place: str, kind: str, entry: dict) -> Iterator[str]:
    """Keys that only other sources take, and raw labels that are spelled alike."""
    taken = {
        source: [*required, *TAKEN_BY_SOURCE[kind][source]]
        for source, required in REQUIRED_BY_SOURCE[kind].items()
    }
    source = entry["source"]
    foreign = {key for keys in taken.values() for key in keys} - set(taken[source])
    for key in sorted(foreign & set(entry)):
        yield f"{place}.{key}: source '{source}' takes no such key; it takes {', '.join(taken[source])}"
    spellings = Counter(map(spelled, entry.get("label_names", {})))
    for value, count in spellings.items():
        if count > 1:
            yield f"{place}.label_names: {count} keys are spelled {value} in the rows; keep one of them"


def _check_names(section: str, names: Iterable[str]) -> Iterator[str]:
    """Names that are no file's, or the same file's, on some systems."""
    folded: dict[str, str] = {}
    for name in names:
        if name.partition(".")[0].lower() in DEVICES or name.endswith("."):
            yield f"{section}: the name '{name}' is no file's on Windows; choose another"
        if (other := folded.setdefault(name.lower(), name)) != name:
            yield f"{section}: the names '{other}' and '{name}' are one file where case does not count"
