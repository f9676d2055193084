"""States of recorders, as they travel with checkpoints: plain values and a hash of them."""

import hashlib

from ..errors import DataError


def sealed(state: dict) -> dict:
    """The state with a hash of its values, plain values and bytes."""
    return {**state, "hash": _hash(state)}


def opened(state: object, format: str, keys: set[str]) -> dict:
    """A state of that `format` ("ftft.Recorder/1"), as `sealed` made it, with these keys beside these two.

    Raises DataError for anything else, and for a state that was damaged.
    """
    recorder = format.removeprefix("ftft.").partition("/")[0]
    expected = {*keys, "format", "hash"}
    if not isinstance(state, dict) or state.keys() != expected or state["format"] != format:
        raise DataError(
            f"this is no state of a {recorder}",
            got=f"keys {', '.join(map(str, state))}" if isinstance(state, dict) else type(state).__name__,
            expected=f"what state_dict() gives, {format}",
        )
    if state["hash"] != _hash(state):
        raise DataError(f"the state of a {recorder} was damaged", expected="what state_dict() gave")
    return state


def _hash(state: dict) -> str:
    digest = hashlib.sha256()
    for key in sorted(state.keys() - {"hash"}, key=str):
        value = state[key]
        digest.update(f"{key}=".encode())
        digest.update(value if isinstance(value, bytes) else f"{type(value).__name__} {value!r};".encode())
    return digest.hexdigest()
