"""A configuration as it is given: what means other than it seems, or can be held by nothing."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import yaml

from ...errors import ConfigError
from .errors import place_of, shown

DEEPEST = 20
# Of values, aliases unfolded: the paper's presets have about a thousand.
MOST_VALUES = 200_000
MOST_BITS = 1024
TOO_MANY = f"more than {MOST_VALUES} values, aliases unfolded: write less, or let fewer aliases hold aliases"


class _StrictLoader(yaml.SafeLoader):
    """YAML without Python's types, in which no mapping has a key twice and aliases do not explode."""

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

    def compose_document(self):
        node = super().compose_document()
        if weight(node, _nodes_below) > MOST_VALUES:
            raise yaml.YAMLError(TOO_MANY)
        return node


def _nodes_below(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _values_below(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def weight(value: object, below: Callable[[object], Iterable], seen: dict | None = None) -> int:
    """How many values a value holds, itself included, each counted wherever an alias repeats it."""
    seen = {} if seen is None else seen
    if id(value) not in seen:
        # A value that holds itself is counted once, and refused elsewhere.
        seen[id(value)] = 0
        seen[id(value)] = 1 + sum(weight(part, below, seen) for part in below(value))
    return seen[id(value)]


def check_file(path: str | Path) -> None:
    """Refuse a configuration file that Snakemake reads otherwise than it looks.

    Raises ConfigError for a key that stands twice (Snakemake takes the last), types of Python,
    `__use_yte__` (Snakemake runs the Python in such a file), aliases that explode, and what is not YAML or
    JSON in UTF-8.
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


def unholdable(config: object) -> Iterator[str]:
    """What YAML can spell and no specification can hold: cycles, dates, infinities, lone surrogates."""
    try:
        total = weight(config, _values_below)
    except RecursionError:
        total = 0
    if total > MOST_VALUES:
        yield f"the configuration: {TOO_MANY}"
    else:
        yield from _unholdable(config)


def _unholdable(value: object, path: tuple = (), above: tuple = ()) -> Iterator[str]:
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
                yield from _unholdable(item, (*path, key), (*above, value))
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield f"{place}: got {shown(value)}, expected text without lone surrogates"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{place}: got {value}, expected a number that is finite"
    elif isinstance(value, int) and value.bit_length() > MOST_BITS:
        yield f"{place}: got a number of {value.bit_length()} bits, expected {MOST_BITS} at most"
    elif not isinstance(value, int | float | None):
        yield f"{place}: got {shown(value)}, expected text, a number, true or false; put text in quotes"


def _unholdable_key(key: object, path: tuple) -> Iterator[str]:
    if isinstance(key, str):
        yield from _unholdable(key, path)
    elif "architecture" in path or path[-1:] == ("where",):
        yield f"{place_of(path)}: got the key {shown(key)}, expected text; put it in quotes"
    elif not isinstance(key, int | float) or not math.isfinite(key):
        yield f"{place_of(path)}: got the key {shown(key)}, expected text or a number; put text in quotes"
