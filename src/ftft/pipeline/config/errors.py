"""Faults of a configuration, each as one line: the place, what it got, what was expected, what to do."""

import difflib
import math
from collections.abc import Hashable, Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.json_schema import SkipJsonSchema

from .base import EXPECTED_BY_PATTERN, NAME, Part

LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
TYPES = {
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "string_type": "text",
    "bool_type": "true or false",
}
LENGTHS = {
    "too_short": ("at least", "min_length", "entry"),
    "too_long": ("at most", "max_length", "entry"),
    "string_too_short": ("at least", "min_length", "character"),
    "string_too_long": ("at most", "max_length", "character"),
}
PLURALS = {"entry": "entries", "character": "characters"}
KEY = "[key]"
LONGEST_SHOWN = 160


def place_of(path: Iterable[Hashable]) -> str:
    """A place in the configuration, as text: tables.table1.rows[0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the configuration"


def shown(value: object) -> str:
    """A value as a message shows it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of very many digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}... ({len(text)} characters)"


def nearest(name: str, known: Iterable[str], listing: str = "there are") -> str:
    """The end of a message about a name that leads nowhere: the nearest known one, else all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean '{near[0]}'?" if near else f"; {listing}: {', '.join(known)}"


def known_keys(section: type[Part]) -> list[str]:
    """The keys of a section that a configuration may write."""
    return [
        name
        for name, field in section.model_fields.items()
        if not any(isinstance(note, SkipJsonSchema) for note in field.metadata)
    ]


def faults_of(error: ValidationError, root: type[Part], at: tuple = ()) -> Iterator[str]:
    """The lines that say what a validation of `root`, which stands at `at`, found."""
    found = error.errors(include_url=False)
    # What lies below a key that is no name is nobody's concern.
    bad_keys = {entry["loc"][:-1] for entry in found if entry["loc"][-1:] == (KEY,)}
    for entry in found:
        location = entry["loc"]
        below = any(location[: len(bad)] == bad for bad in bad_keys)
        if location[-1:] == (KEY,):
            yield _line(place_of((*at, *location[:-2])), entry)
        elif not below:
            yield _describe(entry, root, at)


def _describe(entry: Any, root: type[Part], at: tuple) -> str:
    location, place = entry["loc"], place_of((*at, *entry["loc"]))
    parent = place_of((*at, *location[:-1]))
    if entry["type"] == "missing":
        return f"{parent}: the key '{location[-1]}' is missing"
    if entry["type"] in ("extra_forbidden", "invalid_key"):
        keys = known_keys(_section(root, location[:-1]))
        return f"{parent}: unknown key '{location[-1]}'{nearest(str(location[-1]), keys, 'known keys')}"
    if entry["type"] == "string_type" and _may_be_null(root, location):
        entry = {**entry, "expected": "text or nothing"}
    return _line(place, entry)


def _line(place: str, entry: Any) -> str:
    kind, got, context = entry["type"], entry["input"], entry.get("ctx", {})
    if kind == "fault":
        return f"{place}: {context['text']}"
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME:
        return (
            f"{place}: the name {shown(got)} may hold letters, digits, '.', '_', '-' only "
            "and must begin with a letter or digit"
        )
    return f"{place}: got {shown(got)}, expected {_expected(kind, got, context, entry)}"


def _expected(kind: str, got: object, context: dict, entry: Any) -> str:
    if kind == "expected":
        expected = context["expected"]
        return expected + (_number_cure(got) if expected in ("a number", "a whole number") else "")
    if kind == "string_type":
        return entry.get("expected", "text") + _text_cure(got)
    if kind in TYPES:
        return TYPES[kind]
    if kind in LIMITS:
        word, limit = LIMITS[kind]
        return f"{word} {context[limit]:g}"
    if kind in LENGTHS:
        word, limit, unit = LENGTHS[kind]
        return f"{word} {context[limit]} {unit if context[limit] == 1 else PLURALS[unit]}"
    if kind == "string_pattern_mismatch":
        return EXPECTED_BY_PATTERN[context["pattern"]]
    return entry["msg"]


def _text_cure(got: object) -> str:
    if not isinstance(got, bool | int | float):
        return ""
    return ". Put it in quotes: YAML reads no, yes, on, off and bare digits as other things than text"


def _number_cure(got: object) -> str:
    if not isinstance(got, str):
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
    return f". Write {got} without quotes"


def _section(root: type[Part], location: tuple) -> type[Part]:
    """The section at a place that is one."""
    kind: Any = root
    for part in location:
        kind = _below(kind, part)
    return kind


def _below(kind: Any, part: Hashable) -> Any:
    if isinstance(kind, type) and issubclass(kind, Part):
        return _bare(kind.model_fields[part].annotation)
    arguments = get_args(kind)
    return _bare(arguments[1] if get_origin(kind) is dict else arguments[0])


def _bare(annotation: Any) -> Any:
    """An annotation without its notes and without None."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, UnionType):
            annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
        else:
            return annotation


def _may_be_null(root: type[Part], location: tuple) -> bool:
    *parents, name = location
    section = _section(root, tuple(parents)) if isinstance(name, str) else None
    field = getattr(section, "model_fields", {}).get(name)
    return field is not None and type(None) in get_args(field.annotation) and not field.metadata
