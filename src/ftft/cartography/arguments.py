"""Checks of what a caller gives to the library: each returns a clean value, or raises DataError.

The error names the argument, what was given, what is expected and, where one is known, the cure. No check
changes a value: floating point arrays keep their type, so that results keep their bits.
"""

import difflib
import functools
import inspect
import math
import numbers
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from ..errors import DataError

# Softmax in float32 may exceed 1 by a rounding error.
ROUNDING = 1e-6
NUMBERS = "biuf"


def refuse(argument: str, got: object, expected: str, fix: str | None = None) -> DataError:
    """The error about an argument, to be raised by the caller; `got` is a text, or a value to be shown
    shortly."""
    shown = got if isinstance(got, str) else reprlib.repr(got)
    return DataError(f"the argument '{argument}' cannot be used", got=shown, expected=expected, fix=fix)


def array(argument: str, values: object, expected: str = "an array of numbers") -> np.ndarray:
    """The numbers in `values`: an array, a list of one length throughout, a tensor in the processor's
    memory."""
    if np.ma.is_masked(values):
        raise refuse(argument, "an array with masked values", expected, "fill or remove them")
    try:
        found = np.asarray(values)
    except Exception as error:  # whatever a foreign type raises where it cannot be converted
        raise refuse(argument, f"{type(values).__name__} ({_first_line(error)})", expected) from error
    if found.size == 0 and found.dtype.kind != "O":
        return found if found.dtype.kind in NUMBERS else np.empty(found.shape)
    if found.dtype.kind not in NUMBERS:
        raise refuse(argument, f"{_described(values)} of {found.dtype}", expected)
    return found


def shape(argument: str, values: np.ndarray, expected: Sequence[int | str]) -> None:
    """Raise DataError unless `values` has these dimensions; a name stands for any size from 1 on."""
    fits = values.ndim == len(expected) and all(
        size == wanted if isinstance(wanted, int) else size > 0
        for size, wanted in zip(values.shape, expected, strict=True)
    )
    if not fits:
        wanted = f"shape [{', '.join(map(str, expected))}], none of them 0"
        raise refuse(argument, f"shape {list(values.shape)}", wanted)


def probabilities(values: object, instances: int | None = None, argument: str = "p_true") -> np.ndarray:
    """Probabilities of the true class, [epochs, n], from 0 to 1."""
    found = _floating(array(argument, values))
    shape(argument, found, ("epochs", _size(instances)))
    _each(argument, found, (found >= 0) & (found <= 1 + ROUNDING), "probabilities from 0 to 1")
    return found


def correct(values: object, epochs: int, instances: int, argument: str = "correct") -> np.ndarray:
    """Whether the prediction was right: bool [epochs, n]."""
    found = array(argument, values, "an array of True and False")
    shape(argument, found, (epochs, instances))
    if found.dtype != bool:
        raise refuse(argument, f"an array of {found.dtype}", "an array of True and False")
    return found


def logits(
    values: object, epochs: int | None = None, instances: int | None = None, argument: str = "logits"
) -> np.ndarray:
    """Finite logits, [epochs, n, classes], of at least two classes."""
    found = _floating(array(argument, values))
    shape(argument, found, ("epochs" if epochs is None else epochs, _size(instances), "classes"))
    if found.shape[2] < 2:
        raise refuse(argument, f"shape {list(found.shape)}", "at least two classes in the last dimension")
    _each(argument, found, np.isfinite(found), "finite numbers")
    return found


def outputs(argument: str, values: object, instances: int, width: int) -> np.ndarray:
    """Outputs of a model, [n, width]; a model that diverged gives some that are not finite."""
    found = array(argument, values)
    shape(argument, found, (instances, width))
    return found


def labels(
    values: object, instances: int | None = None, classes: int | None = None, argument: str = "labels"
) -> np.ndarray:
    """Class indices from 0 on, below `classes` where that is given: int64 [n]."""
    expected = f"whole numbers from 0 to {classes - 1}" if classes else "whole numbers from 0 on"
    found = array(argument, values, expected)
    shape(argument, found, (_size(instances),))
    most = np.iinfo(np.int64).max if classes is None else classes - 1
    # 2 to the 63rd, the next float above the largest int64, would wrap around.
    bound = found < 2.0**63 if found.dtype.kind == "f" else True
    _each(argument, found, bound & (found >= 0) & (found <= most) & _whole(found), expected)
    return found.astype(np.int64)


def uids(
    values: object, instances: int | None = None, argument: str = "uids", distinct: bool = True
) -> list[str]:
    """Names of the instances: texts that are not blank and, unless `distinct` is false, occur once."""
    expected = "distinct texts, one per instance"
    if not ordered(values):
        raise refuse(argument, values, expected)
    found = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if wrong := [uid for uid in found if not isinstance(uid, str)]:
        got = f"{len(wrong)} of other types, the first of them {reprlib.repr(wrong[0])}"
        raise refuse(argument, got, expected, "turn them into texts: [str(uid) for uid in uids]")
    if len(found) == 0 or (instances is not None and len(found) != instances):
        raise refuse(argument, f"{len(found)} uids", f"{'some' if instances is None else instances} uids")
    if distinct and len(set(found)) < len(found):
        seen: set[str] = set()
        repeated = [uid for uid in found if uid in seen or seen.add(uid)]
        got = f"{len(repeated)} repeated, the first of them {reprlib.repr(repeated[0])}"
        raise refuse(argument, got, expected)
    if blank := [uid for uid in found if not uid.strip()]:
        raise refuse(argument, f"{len(blank)} blank", expected)
    try:
        "".join(found).encode()
    except UnicodeEncodeError as error:
        raise refuse(argument, f"a text that UTF-8 cannot hold ({error.reason})", expected) from error
    return found


def ordered(values: object) -> bool:
    """Whether `values` has an order to be read in: an array of one dimension, a list, a column, an
    iterator."""
    if isinstance(values, np.ndarray):
        return values.ndim == 1
    without = isinstance(values, str | bytes | Set | Mapping) or getattr(values, "shape", None) == ()
    return isinstance(values, Iterable) and not without


def scores(values: object, instances: int | None = None, argument: str = "scores") -> np.ndarray:
    """One finite number per instance: float64 [n]."""
    found = array(argument, values)
    shape(argument, found, (_size(instances),))
    _each(argument, found, np.isfinite(found), "finite numbers")
    return found.astype(np.float64, copy=False)


def fraction(value: object, argument: str = "fraction") -> float:
    """A part of the data that is not empty: above 0, at most 1."""
    found = number(argument, value)
    if not 0 < found <= 1:
        percent = 1 < found <= 100
        fix = f"write a percentage as a fraction: {found / 100:g}" if percent else None
        raise refuse(argument, f"{found:g}", "a number above 0 and at most 1", fix)
    return found


def share(argument: str, value: object) -> float:
    """A part that may be nothing or everything: from 0 to 1."""
    found = number(argument, value)
    if not 0 <= found <= 1:
        raise refuse(argument, f"{found:g}", "a number from 0 to 1")
    return found


def number(argument: str, value: object) -> float:
    """A finite number."""
    found = _scalar(value)
    try:
        # Integers above the largest float raise OverflowError.
        finite = isinstance(found, numbers.Real) and not isinstance(found, bool) and math.isfinite(found)
    except OverflowError:
        finite = False
    if not finite:
        raise refuse(argument, found, "a finite number")
    return float(found)


def whole(argument: str, value: object, least: int = 0, most: int = 2**63 - 1) -> int:
    """A whole number from `least` to `most`."""
    found = _scalar(value)
    fits = isinstance(found, numbers.Integral) and not isinstance(found, bool) and least <= found <= most
    if not fits:
        to = "on" if most == 2**63 - 1 else f"to {most}"
        raise refuse(argument, found, f"a whole number from {least} {to}")
    return int(found)


def choice(argument: str, value: object, allowed: Iterable[str]) -> str:
    """One of the names `allowed`; the error suggests the nearest to a misspelt one."""
    allowed = list(allowed)
    if not isinstance(value, str) or value not in allowed:
        near = difflib.get_close_matches(value, allowed, 1) if isinstance(value, str) else []
        fix = f"did you mean {near[0]!r}?" if near else None
        raise refuse(argument, value, f"one of {', '.join(allowed)}", fix)
    return value


def epochs(argument: str, values: object, available: int) -> list[int]:
    """Distinct numbers of epochs, from 0 to `available` - 1, at least one of them."""
    expected = f"distinct epochs from 0 to {available - 1}"
    found = array(argument, values, expected)
    shape(argument, found, ("epochs",))
    _each(argument, found, (found >= 0) & (found < available) & _whole(found), expected)
    if len(np.unique(found)) < len(found):
        raise refuse(argument, values, expected)
    return [int(epoch) for epoch in found]


def rows(argument: str, values: object, instances: int | None = None) -> np.ndarray:
    """Distinct rows of a data set, in any order, at least one of them: int64 [m]."""
    expected = "distinct whole numbers from 0 on" if instances is None else f"distinct rows below {instances}"
    found = array(argument, values, expected)
    if found.dtype == bool:
        raise refuse(argument, "an array of True and False", expected, "give rows: numpy.flatnonzero(mask)")
    if found.size == 0:
        raise refuse(argument, "an empty selection", "at least one instance")
    found = labels(found, classes=instances, argument=argument)
    if repeated := len(found) - len(np.unique(found)):
        raise refuse(argument, f"{repeated} repeated", expected, "count each once: numpy.unique(rows)")
    return found


def path(argument: str, value: object) -> Path:
    """The path of a file or folder."""
    if not isinstance(value, str | os.PathLike):
        raise refuse(argument, value, "the path of a file or folder")
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        raise refuse(argument, text, "the path of a file or folder")
    return Path(text)


def instance(argument: str, value: object, *kinds: type) -> None:
    """Raise DataError unless `value` is of one of these classes."""
    if not isinstance(value, kinds):
        raise refuse(argument, value, f"a {' or '.join(kind.__name__ for kind in kinds)}")


def _size(instances: int | None) -> int | str:
    return "n" if instances is None else instances


def _whole(values: np.ndarray) -> np.ndarray:
    return values == np.floor(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)


def _floating(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _scalar(value: object) -> object:
    """A number out of an array or tensor without dimensions."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _each(argument: str, values: np.ndarray, fits: np.ndarray, expected: str) -> None:
    if not fits.all():
        place = tuple(int(index) for index in np.argwhere(~fits)[0])
        count = int(np.count_nonzero(~fits))
        got = f"{count} other value(s), the first of them {values[place]} at {list(place)}"
        raise refuse(argument, got, expected)


def _described(values: object) -> str:
    return "an array" if isinstance(values, np.ndarray) else f"a {type(values).__name__}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def checked(function: Callable) -> Callable:
    """A public function whose arguments are checked by their names before it computes.

    Sizes that a first argument shows bind the next ones: scores, labels and uids belong to the same
    instances. Raises DataError.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*positional: object, **named: object) -> object:
        given = signature.bind(*positional, **named)
        given.apply_defaults()
        sizes: dict[str, int] = {}
        for name, value in given.arguments.items():
            given.arguments[name] = BY_NAME[name](name, value, sizes)
        return function(*given.args, **given.kwargs)

    return call


def _p_true(argument: str, value: object, sizes: dict[str, int]) -> np.ndarray:
    found = probabilities(value, sizes.get("instances"), argument)
    sizes["epochs"], sizes["instances"] = found.shape
    return found


def _logits(argument: str, value: object, sizes: dict[str, int]) -> np.ndarray:
    found = logits(value, sizes.get("epochs"), sizes.get("instances"), argument)
    sizes["epochs"], sizes["instances"], sizes["classes"] = found.shape
    return found


def _scores(argument: str, value: object, sizes: dict[str, int]) -> np.ndarray:
    found = scores(value, sizes.get("instances"), argument)
    sizes["instances"] = len(found)
    return found


def _data_map(argument: str, value: object, _: dict[str, int]) -> object:
    from .datamap import DataMap

    instance(argument, value, DataMap)
    instances = len(uids(value.uids, argument=f"{argument}.uids"))
    for name, values in value.scores.items():
        scores(values, instances, f"{argument}.{name}")
    return value


def _region(argument: str, value: object, _: dict[str, int]) -> str:
    from .selection import ENDS

    return choice(argument, value, ENDS)


def _dataset(argument: str, value: object, _: dict[str, int]) -> object:
    from ..data.dataset import Dataset

    instance(argument, value, Dataset)
    return value


BY_NAME: dict[str, Callable[[str, object, dict[str, int]], object]] = {
    "p_true": _p_true,
    "logits": _logits,
    "labels": lambda name, value, sizes: labels(value, sizes.get("instances"), sizes.get("classes"), name),
    "uids": lambda name, value, sizes: uids(value, sizes.get("instances"), name),
    "scores": _scores,
    "ambiguity": _scores,
    "confidence": _scores,
    "data_map": _data_map,
    "dataset": _dataset,
    "fraction": lambda name, value, _: fraction(value, name),
    "base": lambda name, value, _: fraction(value, name),
    "easy": lambda name, value, _: share(name, value),
    "pruned": lambda name, value, _: share(name, value),
    "seed": lambda name, value, _: whole(name, value),
    "copies": lambda name, value, _: whole(name, value, least=1),
    "strata": lambda name, value, _: whole(name, value, least=1),
    "epochs": lambda name, value, sizes: epochs(name, value, sizes["epochs"]),
    "region": _region,
    "rule": lambda name, value, _: choice(name, value, ("exact", "quantile")),
    "path": lambda name, value, _: path(name, value),
    "dynamics_file": lambda name, value, _: path(name, value),
    "data_file": lambda name, value, _: path(name, value),
    "output": lambda name, value, _: path(name, value),
}
