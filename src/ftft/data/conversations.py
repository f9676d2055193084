"""Conversations: lists of messages, the last of which is the response that a model is to learn."""

import json

import pyarrow as pa

from ..errors import DataError
from .rows import describe_rows

ROLES = ("system", "user", "assistant", "tool")
# ShareGPT's names of roles and keys.
SHARED_ROLES = {"human": "user", "gpt": "assistant"}


def conversations(records: pa.Table, column: str, spec: dict, name: str) -> tuple[list[list[str]], list[str]]:
    """The messages before the last one of every row, role and text by turns, and the last one's text.

    Raises DataError for rows that are no lists of messages, or whose last message is not the assistant's.
    """
    found = [messages_of(value) for value in records[column].to_pylist()]
    bad = [row for row, messages in enumerate(found) if not messages]
    if bad:
        raise DataError(
            f"data set '{name}' has rows without a conversation in column '{column}'",
            got=describe_rows(records, bad, spec.get("uid")),
            expected='a list of messages {"role": ..., "content": ...} that ends in one of the assistant\'s',
            fix="correct or remove these rows",
        )
    before = [[part for message in messages[:-1] for part in message.values()] for messages in found]
    return before, [messages[-1]["content"] for messages in found]


def messages_of(value: str | None) -> list[dict] | None:
    """The messages {role, content} of a row, from JSON, of which the last is the assistant's; None for
    anything else.
    """
    try:
        entries = json.loads(value or "null")
    except ValueError:
        return None
    if not isinstance(entries, list) or len(entries) < 2:
        return None
    found = [_message(entry) for entry in entries]
    if None in found or found[-1]["role"] != "assistant" or not found[-1]["content"].strip():
        return None
    return found


def _message(entry: object) -> dict | None:
    if not isinstance(entry, dict):
        return None
    role, content = entry.get("role", entry.get("from")), entry.get("content", entry.get("value"))
    role = SHARED_ROLES.get(role, role) if isinstance(role, str) else None
    return {"role": role, "content": content} if role in ROLES and isinstance(content, str) else None


def as_messages(parts: list[str]) -> list[dict]:
    """The messages of roles and texts by turns."""
    return [{"role": role, "content": text} for role, text in zip(parts[::2], parts[1::2], strict=True)]
