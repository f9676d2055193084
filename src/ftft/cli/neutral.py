"""Texts from outside, such as names of files and lines of logs, made harmless for a terminal."""

import json
import re

# Controls, among them the escapes that terminals obey, marks that turn the direction of writing, and halves
# of characters, which no encoding can print.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST = 1000


def neutral_text(text: str) -> str:
    """One line without any character that a terminal obeys, and of bounded length."""
    clean = UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\t", "    "))
    return clean if len(clean) <= LONGEST else f"{clean[:LONGEST]} ... ({len(clean)} characters)"


def neutral_json(value: object, indent: int | None = 2) -> str:
    """JSON in which such characters are written as escapes, so that it reads back as `value`."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return re.sub(f"(?!\n){UNSAFE.pattern}", lambda match: f"\\u{ord(match[0]):04x}", text)
