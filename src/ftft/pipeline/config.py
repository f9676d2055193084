"""The configuration: checked against the schema, defaults filled in, all faults reported at once."""

import copy
import math
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, validators

from ..data.formats import format_of
from ..errors import ConfigError
from ..paper import roles as paper
from .faults import cross_check, describe
from .given import misplaced, spelled, unholdable
from .plan import LENGTH_TABLE, METHODS

SCHEMA_FILE = Path(__file__).with_name("config.schema.yaml")

# Torch and NumPy take seeds and sizes up to here.
WHOLE_LIMIT = 2**31


def _is_finite_number(_, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole_number(checker, value: object) -> bool:
    return _is_finite_number(checker, value) and value == int(value) and abs(value) < WHOLE_LIMIT


Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_finite_number, "integer": _is_whole_number}
    ),
)


@cache
def load_schema() -> dict:
    """The JSON schema of the configuration."""
    return yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))


def resolve(config: dict) -> dict:
    """Return `config` with all defaults filled in.

    Raises ConfigError that lists every fault with its place, what it got, what was expected.
    """
    schema = load_schema()
    faults = set(unholdable(config)) or {
        fault for error in Validator(schema).iter_errors(config) for fault in describe(error)
    }
    if not faults:
        own = set(misplaced(config))
        config = copy.deepcopy({"tables": {}, **config})
        paper.add_tables(config)
        _add_length_tables(config)
        config = _complete(config, schema, schema)
        paper.add_overlap(config)
        _settle_recipes(config)
        _settle_datasets(config)
        _settle_finetune(config)
        faults = own | set(cross_check(config))
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        listing = "\n".join(f"  - {fault}" for fault in sorted(faults))
        raise ConfigError(
            f"The configuration has {count}:\n{listing}",
            fix="correct the keys named above; config/README.md describes each of them",
        )
    _settle_rows(config)
    return config


def _complete(value: object, schema: dict, root: dict) -> object:
    """`value` with defaults filled in and one spelling per number: 3 and 3.0 are the same setting."""
    schema = _dereference(schema, root)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        if not schema.get("x-overrides"):
            entries = {key: _dereference(entry, root) for key, entry in known.items()}
            defaults = {key: entry["default"] for key, entry in entries.items() if "default" in entry}
            value = {**copy.deepcopy(defaults), **value}
        other = schema.get("additionalProperties") or {}
        return {key: _complete(item, known.get(key, other), root) for key, item in value.items()}
    if isinstance(value, list):
        return [_complete(item, schema.get("items", {}), root) for item in value]
    if isinstance(value, int | float) and schema.get("type") in ("integer", "number"):
        return int(value) if schema["type"] == "integer" else float(value)
    return value


def _dereference(schema: dict, root: dict) -> dict:
    if "$ref" not in schema:
        return schema
    target = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **schema}


def _settle_recipes(config: dict) -> None:
    """Give every model the whole recipe it is trained with."""
    recipe = config.pop("training")
    for model in config["models"].values():
        own = model["training"]
        merged = {**recipe, **own}
        for one, other, default in (
            ("steps", "epochs", {"epochs": 4.0}),
            ("checkpoint_every", "checkpoints", {"checkpoints": 12}),
        ):
            if one in own:
                merged.pop(other, None)
            elif other in own:
                merged.pop(one, None)
            if one not in merged and other not in merged:
                merged |= default
        model["training"] = merged


def _add_length_tables(config: dict) -> None:
    """Define the tables behind the figures of score against training length (paper, section 5)."""
    for task, lengths in config.get("figures", {}).get("training_length", {}).items():
        transfers = ({"method": "DM", "reference": name} for name in lengths["references"])
        rows = [
            {**method, "main": lengths["main"], **length}
            for method in ({"method": "ERM"}, *transfers)
            for length in (*({"steps": steps} for steps in lengths["steps"]), {})
        ]
        title = f"Score against training length ({task})"
        config["tables"][LENGTH_TABLE + task] = {"task": task, "title": title, "rows": rows}


def _settle_rows(config: dict) -> None:
    """Show every row that stops early once per monitor."""
    for table in config["tables"].values():
        table["rows"] = [
            {**row, **choice}
            for row in table["rows"]
            for choice in (
                [{"monitor": monitor} for monitor in config["early_stopping"]["monitors"]]
                if METHODS[row["method"]][1]
                else [{}]
            )
        ]


def _settle_finetune(config: dict) -> None:
    """Fine-tune with the first seed where no others are asked for."""
    for entry in config["finetune"].values():
        entry.setdefault("seeds", config["seeds"][:1])


def _settle_datasets(config: dict) -> None:
    """Name every file's format, and spell the raw labels as the rows that are read do."""
    for task in config["tasks"].values():
        for dataset in task["datasets"].values():
            if "label_names" in dataset:
                dataset["label_names"] = {
                    spelled(value): label for value, label in dataset["label_names"].items()
                }
            form = format_of(dataset.get("path", ""))
            if dataset["source"] == "file" and form:
                dataset.setdefault("format", form)
