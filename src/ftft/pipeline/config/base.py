"""What all sections of the configuration are made of: the base class, the key, and the types of values."""

import json
import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_serializer
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")
# Torch and NumPy take seeds and sizes up to here.
WHOLE_LIMIT = 2**31
LONGEST_NAME = 80


class Part(BaseModel):
    """A section of the configuration: immutable, every key known; a dump leaves out what is absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: Callable[[Any], dict]) -> dict | None:
        # An absent section is None (`Maybe`).
        if self is None:
            return None
        given = self.model_fields_set
        return {key: value for key, value in handler(self).items() if value is not None or key in given}

    def dump(self, *keys: str) -> dict:
        """The section as plain data, of these keys alone where there are any."""
        entries = self.model_dump(mode="json")
        return {key: entries[key] for key in keys if key in entries} if keys else entries

    def given(self) -> dict:
        """The keys that were written, as plain data."""
        return self.dump(*(self.model_fields_set or {""}))

    def changed(self, **changes: Any) -> "Part":
        """A copy with other values, validated; None takes a key away."""
        entries = {**self.given(), **changes}
        kept = {key: value for key, value in entries.items() if value is not None or key not in changes}
        return type(self).model_validate(kept)


def key(
    default: Any = ..., *, meaning: str, reruns: str = "", shown: str | None = None, **limits: Any
) -> Any:
    """A key of a section: its default, its meaning, and what an edit of it makes Snakemake do again.

    shown: the default as config/README.md puts it, where the value does not say it.
    """
    extra = {"x-reruns": reruns} if reruns else {}
    extra |= {"x-default": shown} if shown is not None else {}
    if isinstance(default, type):
        return Field(default_factory=default, description=meaning, json_schema_extra=extra or None, **limits)
    return Field(default, description=meaning, json_schema_extra=extra or None, **limits)


class Typed(str):
    """Text from Snakemake's command line, where numbers and truth values are text too."""


def typed(config: Any, given: Any) -> Any:
    """`config` with all text marked as `Typed` that it has from `given`, the values of the command line."""
    if isinstance(config, dict) and isinstance(given, dict):
        return {key: typed(item, given[key]) if key in given else item for key, item in config.items()}
    if isinstance(config, list) and isinstance(given, list) and len(config) == len(given):
        return [typed(*pair) for pair in zip(config, given, strict=True)]
    return Typed(config) if isinstance(config, str) and config == given else config


def _read(value: Any) -> Any:
    if not isinstance(value, Typed):
        return value
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    if isinstance(read, bool):
        return read
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _refuse(expected: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "{expected}", {"expected": expected})


def _number(value: Any) -> Any:
    value = _read(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refuse("a number")
    return value


def _whole(value: Any) -> Any:
    value = _read(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refuse("a whole number")
    if value != int(value) or abs(value) >= WHOLE_LIMIT:
        raise _refuse("a whole number" + (" below 2^31" if abs(value) >= WHOLE_LIMIT else ""))
    return int(value)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Typed) else value


def spelled(value: object) -> str:
    """A value as the rows that are read spell it."""
    return str(value) if isinstance(value, str) else json.dumps(value)


def _once(values: tuple[Hashable, ...]) -> tuple:
    if len(set(values)) < len(values):
        raise _refuse("each entry once")
    return values


@dataclass(frozen=True)
class OneOf:
    """Text that is one of some names; they are asked for when a value is checked."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict:
        return {"type": "string", "enum": list(self.names())}

    def _check(self, value: Any) -> Any:
        if not isinstance(value, str) or value not in self.names():
            raise _refuse("one of: " + ", ".join(self.names()))
        return str(value)


class _NeverNull:
    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        # Absent is None, but nobody may write null.
        schema = handler(source)
        return schema["schema"] if schema["type"] == "nullable" else schema


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_whole)]
Truth = Annotated[bool, Strict(), BeforeValidator(_read)]
PlainText = Annotated[str, Strict(), BeforeValidator(_text)]
Text = Annotated[str, Strict(), Field(min_length=1), BeforeValidator(_text)]
# An absent key is None.
Maybe = Annotated[T | None, _NeverNull()]
Several = Annotated[tuple[T, ...], AfterValidator(_once)]
AtLeastOne = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_once)]
# Set by `resolve`, unknown to those who write a configuration.
Made = SkipJsonSchema

# What text must look like, and how a refusal says so.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
WORD = r"^[A-Za-z0-9][A-Za-z0-9_.]*$"
LINE = (
    r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f\u2028\u2029]"
    r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
)
REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"
COMMIT = r"^[0-9a-f]{40}$"
PACKAGE = r"^[A-Za-z_][A-Za-z0-9_.]*$"
EXPECTED_BY_PATTERN = {
    WORD: "a name of letters, digits, '.', '_' without a dash",
    LINE: "text in one line",
    REPOSITORY: "a repository of the hub, as owner/name",
    COMMIT: "a commit of the repository, all 40 digits, as its history on the hub shows it",
    PACKAGE: "the name by which Python imports the package",
}


def _like(pattern: str, **limits: Any) -> Any:
    return Annotated[str, Strict(), Field(pattern=pattern, **limits), BeforeValidator(_text)]


Name = _like(NAME, max_length=LONGEST_NAME)
Word = _like(WORD, max_length=LONGEST_NAME)
Line = _like(LINE)
Repository = _like(REPOSITORY)
Commit = _like(COMMIT)
Package = _like(PACKAGE)
