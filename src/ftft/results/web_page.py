"""What the pages for browsers share: their policy, and of those without code the look and the tables."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from string import Template

from ..places import REPORT

LOOK = REPORT / "page"


def fill(folder: Path, images: bool = False, **values: str) -> str:
    """The whole page of the template in `folder`, with the look of all pages without code and its own.

    `images` says whether the page holds pictures, as data.
    """
    style = "".join((part / "style.css").read_text(encoding="utf-8") for part in (LOOK, folder))
    template = Template((folder / "page.html").read_text(encoding="utf-8"))
    return template.substitute(values, policy=policy(style, images=images), style=style)


def policy(style: str, code: str = "", images: bool = False) -> str:
    """A content security policy: this style and this code, nothing else, and nothing from anywhere."""
    allowed = [f"style-src '{_hash(style)}'"]
    allowed += [f"script-src '{_hash(code)}'"] if code else []
    allowed += ["img-src data:"] if images else []
    return "; ".join(["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"])


def table(header: Sequence[str], rows: Sequence[str]) -> str:
    """A table of rows that are marked up already."""
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table>"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
