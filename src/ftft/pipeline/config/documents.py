"""What the configuration's types generate: config/schema.json, and the tables of config/README.md."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from ...places import CONFIG
from .. import registry
from .base import Part
from .configuration import Configuration
from .errors import known_keys
from .models import Adapter, Model, Recipe
from .settings import Checks, EarlyStopping, Figures, Issues, Runtime, Selection, Statistics
from .tables import Finetune, Mixture, Row, Table
from .tasks import Dataset, Task

MARKER = re.compile(r"(<!-- keys of (\w+), generated -->\n).*?(<!-- end -->)", re.DOTALL)
# pydantic leaves limits that stand outside of a check in its own words.
WORDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
SECTIONS: dict[str, type[Part]] = {
    section.__name__: section
    for section in (
        Configuration, Task, Dataset, Model, Adapter, Recipe, EarlyStopping, Selection, Mixture, Table, Row,
        Finetune, Issues, Statistics, Figures, Checks, Runtime,
    )
}  # fmt: skip


def schema() -> dict:
    """The JSON schema of a configuration file; a file may be an overlay, so that no section is required."""
    made = Configuration.model_json_schema()
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made.pop("required")
    mixture = made["$defs"]["Mixture"]
    for name, (meaning, limits) in registry.SETTINGS.items():
        default = next(
            entry.settings[name] for entry in registry.SELECTORS.values() if name in entry.settings
        )
        mixture["properties"][name] = {
            "type": "integer" if isinstance(default, int) else "number",
            "description": meaning,
            "default": default,
            **limits,
        }
    return _tidied(made)


def _tidied(value: Any, named: bool = False) -> Any:
    """Without the titles that pydantic makes of names, or defaults that mean absence.

    named: whether the keys of `value` are names of sections or keys, not words of JSON schema.
    """
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if not isinstance(value, dict):
        return value
    if named:
        return {name: _tidied(item) for name, item in value.items()}
    tidied = {}
    for word, item in value.items():
        word = WORDS.get(word, word)
        if value.get("type") == "array":
            word = word.replace("Length", "Items")
        if word == "description":
            item = _filled(item)
        if word not in ("title", "x-default") and not (word == "default" and item is None):
            tidied[word] = _tidied(item, word in ("properties", "$defs"))
    return tidied


def _default_issue_scores() -> Iterator[str]:
    """The kinds of task by the scores that they take."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name, kind in registry.KINDS.items():
        kinds.setdefault(kind.issue_scores, []).append(f"`{name}`")
    for scores, names in kinds.items():
        yield f"{', '.join(f'`{score}`' for score in scores)} ({', '.join(names)})"


def _filled(meaning: str) -> str:
    """A meaning with what the registries hold."""
    fillings: dict[str, Callable[[], Iterator[str] | list[str]]] = {
        "{selectors}": lambda: (f"`{name}`" for name in registry.selectors(reference=True)),
        "{issue_scores}": lambda: [f"`{name}`" for name in registry.ISSUE_SCORES],
        "{default_issue_scores}": _default_issue_scores,
        "{mixtures}": lambda: (
            f"`{name}`: {registry.SELECTORS[name].description.rstrip('.')}" for name in registry.mixtures()
        ),
    }
    for mark, names in fillings.items():
        if mark in meaning:
            meaning = meaning.replace(mark, ("; " if mark == "{mixtures}" else ", ").join(names()))
    return meaning


def readme(text: str) -> str:
    """config/README.md with the tables between its markers made anew."""
    return MARKER.sub(lambda found: f"{found[1]}{_table(SECTIONS[found[2]])}{found[3]}", text)


def _table(section: type[Part]) -> str:
    rows = [_row(name, section.model_fields[name]) for name in known_keys(section)]
    if section is Mixture:
        rows += [_setting(name) for name in registry.SETTINGS]
    reruns = any(row[3] for row in rows)
    lines = [["key", "meaning", "default", "an edit reruns"], ["---"] * 4, *rows]
    return "".join("| " + " | ".join(line if reruns else line[:3]) + " |\n" for line in lines)


def _row(name: str, field: FieldInfo) -> list[str]:
    extra: Any = field.json_schema_extra or {}
    if field.is_required():
        default = "required"
    elif "x-default" in extra:
        default = extra["x-default"]
    elif isinstance(field.default, str):
        default = f"`{field.default}`"
    else:
        default = f"`{json.dumps(field.default)}`"
    meaning = _filled(field.description or "").replace("|", "\\|")
    return [f"`{name}`", meaning, default, extra.get("x-reruns", "")]


def _setting(name: str) -> list[str]:
    takers = [selector for selector, entry in registry.SELECTORS.items() if name in entry.settings]
    defaults = {taker: registry.SELECTORS[taker].settings[name] for taker in takers}
    default = defaults[takers[0]]
    meaning = f"{', '.join(f'`{taker}`' for taker in takers)}: {registry.SETTINGS[name][0]}"
    shown = (
        f"`{default}`"
        if len(set(defaults.values())) == 1
        else ", ".join(f"`{value}` (`{taker}`)" for taker, value in defaults.items())
    )
    return [f"`{name}`", meaning, shown, "the selection, its runs"]


def documents() -> dict[Path, str]:
    """What the generated files must hold, by path."""
    page = CONFIG / "README.md"
    return {
        CONFIG / "schema.json": json.dumps(schema(), indent=1, ensure_ascii=False) + "\n",
        page: readme(page.read_text(encoding="utf-8")),
    }
