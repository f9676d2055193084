"""The characters of a data file: unpacked, decoded, and told from what only looks like text."""

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

# First bytes, and how to unpack what begins with them.
PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
ZSTANDARD = b"\x28\xb5\x2f\xfd"
# Byte order marks, the longer ones first; Python's codec of that name leaves the mark out.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# First bytes of files that are no text: what they are, and what to do.
NO_TEXT = (
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of an old form", "save it as CSV in UTF-8"),
    (b"PAR1", "a Parquet file", "set the key 'format: parquet', or name it .parquet"),
    (b"ARROW1", "an Arrow file", "set the key 'format: arrow', or name it .arrow"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the data", "fetch the data: git lfs pull"),
    (b"<!DOCTYPE html", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
    (b"%PDF", "a PDF file", "export its rows as CSV in UTF-8"),
)
HEAD = 4096


class UnreadableError(ValueError):
    """A file that cannot be read: the message says why, `fix` what to do about it."""

    def __init__(self, reason: str, fix: str):
        super().__init__(reason)
        self.fix = fix


@contextmanager
def open_bytes(path: str | Path) -> Iterator[io.BufferedIOBase]:
    """The bytes of a file, unpacked where its first bytes are those of gzip, bzip2, xz or Zstandard."""
    with open(path, "rb") as file:
        head = file.read(8)
    unpack = next((unpack for first, unpack in PACKED.items() if head.startswith(first)), None)
    if head.startswith(ZSTANDARD):
        with pa.input_stream(str(path), compression="zstd") as stream:
            yield stream
    else:
        with (unpack or open)(path, "rb") as file:
            yield file


@contextmanager
def open_text(path: str | Path, encoding: str | None, newline: str | None = "") -> Iterator[io.TextIOBase]:
    """The characters of a file in this encoding, else that of its byte order mark, else UTF-8.

    Raises UnreadableError for bytes that are not in that encoding, and for files that are no text.
    """
    with open_bytes(path) as file:
        head = file.read(HEAD)
    _refuse_no_text(head)
    chosen = encoding or _encoding_of(head)
    try:
        with open_bytes(path) as file, io.TextIOWrapper(file, chosen, newline=newline) as text:
            yield text
    except UnicodeError as error:
        raise UnreadableError(_reason(error, chosen), _cure(encoding)) from error


def _refuse_no_text(head: bytes) -> None:
    for first, what, fix in NO_TEXT:
        if head.lstrip()[: len(first)].lower() == first.lower():
            raise UnreadableError(f"it is {what}", fix)


def _encoding_of(head: bytes) -> str:
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    # Text in a Latin script has a zero as every second byte of UTF-16.
    zeros = [head[start::2].count(0) / max(1, len(head[start::2])) for start in (0, 1)]
    if abs(zeros[0] - zeros[1]) > 0.3:
        name = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
        raise UnreadableError(
            "every second byte is zero, as in UTF-16 without a byte order mark",
            f"set the key 'encoding: {name}', or save the file in UTF-8",
        )
    return "utf-8"


def _reason(error: UnicodeError, encoding: str) -> str:
    shown = "UTF-8" if encoding in ("utf-8", "utf-8-sig") else encoding
    return f"its text is not in {shown}: {error}"


def _cure(encoding: str | None) -> str:
    if encoding:
        return "set the key 'encoding' to the encoding that the file is in"
    return (
        "set the key 'encoding', or --encoding of ftft init, to the file's encoding (cp1252 where a Windows "
        "program of Western Europe wrote it), or save the file in UTF-8"
    )
