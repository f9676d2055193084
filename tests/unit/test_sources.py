import csv
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftft.data import demo
from ftft.data.sources import READERS, read
from ftft.errors import DataError

ODD = {
    "embedded quotes": 'she said "no", then ""left""',
    "leading quote": '"Stop" is a word',
    "lone quote": 'a 27" screen',
    "the text null": "null",
    "the text NA": "NA",
    "the text nan": "nan",
    "a number": "007",
    "emoji": "👩‍👩‍👧 👍🏽",
    "right to left": "\u202bשלום עולם\u202c مرحبا",
    "long": "word " * 2000,
    "leading spaces": "   indented  ",
    "separators": "a,b;c|d\u2028e\u0085f",
    "hash": "# not a comment",
    "backslash": "C:\\new\\table",
}
BROKEN_LINES = {"newline": "two\nlines", "CRLF": "two\r\nlines", "tab": "two\tcells"}


def write_csv(path, columns):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])


def write_tsv(path, columns):
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path.write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())


def write_jsonl(path, columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_arrow(path, columns, make=pa.ipc.new_file):
    table = pa.table(columns)
    with make(str(path), table.schema) as writer:
        writer.write_table(table)


def write_arrow_stream(path, columns):
    write_arrow(path, columns, pa.ipc.new_stream)


WRITERS = {
    "csv": [write_csv],
    "tsv": [write_tsv],
    "jsonl": [write_jsonl],
    "parquet": [lambda path, columns: pq.write_table(pa.table(columns), path)],
    "arrow": [write_arrow, write_arrow_stream],
}
FORMS = [(form, writer) for form, writers in WRITERS.items() for writer in writers]


def rows_of(path, form, **spec):
    rows, _ = read({"source": "file", "format": form, **spec}, "train", path)
    return rows.to_pydict()


def fault_of(path, form):
    with pytest.raises(DataError) as caught:
        rows_of(path, form)
    message = str(caught.value)
    assert f"data set 'train' cannot be read from {path}" in message
    assert f"expected: a {form} file in UTF-8" in message
    return message


@pytest.mark.parametrize(("form", "write"), FORMS)
def test_every_format_reads_the_same_rows_and_keeps_their_oddities(tmp_path, form, write):
    texts = dict(ODD) if form == "tsv" else {**ODD, **BROKEN_LINES}
    columns = {"uid": list(texts), "text": list(texts.values()), "label": ["01"] * len(texts)}
    write(tmp_path / "rows", columns)
    assert rows_of(tmp_path / "rows", form) == columns


def test_every_format_is_tried():
    assert set(WRITERS) == set(READERS)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("csv", 'text,label\na,yes\n"b",no\n'),
        ("tsv", "text\tlabel\na\tyes\nb\tno\n"),
        ("jsonl", '{"text": "a", "label": "yes"}\n\n{"text": "b", "label": "no"}\n'),
    ],
)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", [True, False])
def test_byte_order_marks_and_line_ends_leave_no_trace(tmp_path, form, text, bom, newline, end):
    text = (bom + text if end else bom + text[:-1]).replace("\n", newline)
    (tmp_path / "rows").write_bytes(text.encode())
    assert rows_of(tmp_path / "rows", form) == {"text": ["a", "b"], "label": ["yes", "no"]}


def test_stray_quotes_of_a_glue_file_swallow_no_rows(tmp_path):
    lines = ["text\tlabel", '"Oh, no\tyes', 'He left"\tno', '"a" and "b"\tyes', '"\tno', '"whole"\tyes']
    (tmp_path / "rows.tsv").write_text("\n".join(lines) + "\n")
    assert rows_of(tmp_path / "rows.tsv", "tsv") == {
        "text": ['"Oh, no', 'He left"', '"a" and "b"', '"', '"whole"'],
        "label": ["yes", "no", "yes", "no", "yes"],
    }


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        ("jsonl", '{"text": "a"}\n\n{"text": \n', "line 3"),
        ("jsonl", '{"text": "a"}\n["b"]\n', "line 2: not a JSON object"),
        ("jsonl", '{"text": "\\ud800"}\n', "surrogates not allowed"),
        ("csv", "", "No columns"),
        ("csv", 'text,label\n"open,yes\n', "EOF inside string"),
        ("csv", "text,label\na,yes\nb,c,no\n", "line 3"),
        ("csv", "text,label\na,b,yes\nc,d,no\n", "more fields than the header"),
        ("tsv", "text\tlabel\na\tb\tyes\n", "more fields than the header"),
        ("parquet", "text,label\n", "Parquet"),
        ("arrow", "text,label\n", ""),
        ("arrow", "", ""),
    ],
)
def test_a_broken_file_is_one_fault_with_its_reason(tmp_path, form, text, reason):
    path = tmp_path / "rows"
    path.write_text(text)
    assert reason in fault_of(path, form)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_refused(tmp_path, form, encoding):
    path = tmp_path / "rows"
    path.write_bytes('{"text": "naïve"}\n'.encode(encoding))
    assert "codec can't decode" in fault_of(path, form)


@pytest.mark.parametrize("form", READERS)
def test_a_missing_file_is_refused(tmp_path, form):
    assert "No such file" in fault_of(tmp_path / "absent", form)


def test_values_of_other_types_become_their_json_text(tmp_path):
    columns = {"label": [1, 0, None], "flag": [True, False, None], "share": [0.5, 1.0, None]}
    expected = {"label": ["1", "0", None], "flag": ["true", "false", None], "share": ["0.5", "1.0", None]}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    assert rows_of(tmp_path / "rows.parquet", "parquet") == expected
    write_jsonl(tmp_path / "rows.jsonl", columns)
    assert rows_of(tmp_path / "rows.jsonl", "jsonl") == expected


def test_a_key_absent_from_a_json_line_is_missing(tmp_path):
    (tmp_path / "rows").write_text('{"a": "x"}\n{"b": ["y", 1]}\n')
    assert rows_of(tmp_path / "rows", "jsonl") == {"a": ["x", None], "b": [None, '["y", 1]']}


def test_a_short_row_leaves_no_text_in_its_last_cells(tmp_path):
    (tmp_path / "rows").write_text("text,label\na\nb,no\n")
    assert rows_of(tmp_path / "rows", "csv") == {"text": ["a", "b"], "label": ["", "no"]}


def test_downloads_from_the_hub_are_read_as_parquet(tmp_path):
    pq.write_table(pa.table({"label": [2]}), tmp_path / "rows")
    spec = {"source": "hub", "id": "a/b", "name": "c", "revision": "0123abc", "split": "test_r1"}
    rows, provenance = read(spec, "train", tmp_path / "rows")
    assert rows.to_pydict() == {"label": ["2"]}
    assert provenance == {**spec, "steps": [{"step": "read", "rows": 1}]}


def test_demonstration_rows_are_generated():
    spec = {"source": "demo", "split": "r1_dev", "rows": 7, "seed": 0}
    rows, provenance = read(spec, "dev")
    assert rows.to_pylist() == demo.generate("r1_dev", 7, 0)
    assert provenance == {"source": "demo", "split": "r1_dev", "steps": [{"step": "read", "rows": 7}]}


def test_a_demonstration_set_that_cannot_be_generated_is_refused():
    with pytest.raises(DataError, match="data set 'dev' cannot be generated"):
        read({"source": "demo", "split": "absent", "rows": 1, "seed": 0}, "dev")


GRID = {
    "round": ["1", "2", "2", "3", "2"],
    "split": ["dev", "dev", "test", None, "dev"],
    "text": ["a", "b", "c", "d", "e"],
}


def grid(folder, **spec):
    pq.write_table(pa.table(GRID), folder / "rows")
    return read({"source": "file", "format": "parquet", **spec}, "r2", folder / "rows")


@pytest.mark.parametrize(
    ("where", "texts"),
    [
        ({"round": "2"}, "bce"),
        ({"round": 2}, "bce"),
        ({"round": [3, "1"]}, "ad"),
        ({"round": 2, "split": "dev"}, "be"),
        ({"split": "dev", "round": 2}, "be"),
        ({"split": ["dev", "test", "train"]}, "abce"),
    ],
)
def test_where_keeps_the_rows_that_match_in_every_column(tmp_path, where, texts):
    rows, provenance = grid(tmp_path, where=where)
    assert rows["text"].to_pylist() == list(texts)
    assert provenance["steps"] == [{"step": "read", "rows": 5}, {"step": "where", "rows": len(texts)}]


def test_where_compares_values_as_the_rows_spell_them(tmp_path):
    write_jsonl(tmp_path / "rows", {"a": [True, False, None], "b": [1, 1.5, "null"]})
    assert rows_of(tmp_path / "rows", "jsonl", where={"a": True})["b"] == ["1"]
    assert rows_of(tmp_path / "rows", "jsonl", where={"b": [1.5, "null"]})["a"] == ["false", None]


@pytest.mark.parametrize(
    ("where", "texts"),
    [
        (
            {"level": "original"},
            ["lacks the column(s) level", "got: columns round, split, text", "under where"],
        ),
        (
            {"round": 9},
            ["no row of data set 'r2' passes where", "'1', '2', '3' in column 'round'", "one of '9'"],
        ),
        ({"round": 3, "split": "dev"}, ["got: (missing) in column 'split'"]),
        ({"text": [5, "z"]}, ["'a', 'b', 'c', 'd', 'e' in column", "one of '5', 'z'"]),
    ],
)
def test_a_where_without_rows_names_what_there_is(tmp_path, where, texts):
    with pytest.raises(DataError) as caught:
        grid(tmp_path, where=where)
    for text in texts:
        assert text in str(caught.value)


def test_at_most_five_values_are_named(tmp_path):
    write_csv(tmp_path / "rows", {"n": [str(n) for n in range(7)]})
    with pytest.raises(DataError, match=r"'0', '1', '2', '3', '4', \.\.\. in column 'n'"):
        rows_of(tmp_path / "rows", "csv", where={"n": 8})


def test_the_provenance_of_a_file_is_its_hash(tmp_path):
    _, provenance = grid(tmp_path)
    digest = hashlib.sha256((tmp_path / "rows").read_bytes()).hexdigest()
    assert provenance == {"source": "file", "sha256": digest, "steps": [{"step": "read", "rows": 5}]}
