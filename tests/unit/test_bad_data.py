"""Data files that must be refused, oddities that must be read as they are, and security."""

import ast
import csv
import gzip
import io
import json
import re
from xml.etree import ElementTree

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from ftft.data.dataset import Dataset
from ftft.data.sources import read
from ftft.errors import DataError
from ftft.results.figures.style import save
from ftft.results.rendering import Rendering, to_latex, to_markdown
from ftft.tasks.prepare import prepare

SPEC = {"source": "file", "text": ["text"], "label": "label", "uid": "uid", "labels": ["yes", "no"]}
ROWS = [{"uid": f"u{row}", "text": f"text {row}", "label": ("yes", "no")[row % 2]} for row in range(6)]
CSV = "uid,text,label\nu0,text 0,yes\nu1,text 1,no\n"
TSV = CSV.replace(",", "\t")
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)


def parquet(table=None, **columns):
    buffer = io.BytesIO()
    if table is None:
        table = pa.table({"uid": ["u0", "u1"], "text": ["a", "b"], "label": ["yes", "no"], **columns})
    pq.write_table(table, buffer)
    return buffer.getvalue()


def arrow(**columns):
    table = pa.table({"uid": ["u0", "u1"], "text": ["a", "b"], "label": ["yes", "no"], **columns})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def twin_columns():
    values = pa.array(["yes", "no"])
    return parquet(pa.Table.from_arrays([values] * 3, names=["text", "label", "label"]))


def line(**changes):
    return json.dumps({**ROWS[0], "uid": "last", **changes}) + "\n"


# What is broken: (format, content, words of the message).
BROKEN = {
    # Delimited text.
    "empty CSV": ("csv", "", "No columns: the file is empty"),
    "empty TSV": ("tsv", "", "No columns: the file is empty"),
    "byte order mark alone": ("csv", "\ufeff", "No columns: the file is empty"),
    "byte order mark alone, TSV": ("tsv", "\ufeff\n\n", "No columns: the file is empty"),
    "blank lines": ("csv", "\n\n\n", "No columns: the file is empty"),
    "more fields": ("csv", CSV + "u2,a,yes,more\n", "line 4: more fields than the header, 4 for 3"),
    "more fields, TSV": ("tsv", TSV + "u2\ta\tyes\tmore\n", "line 4: more fields than the header"),
    "unquoted comma": ("csv", CSV + "u2,well, no,no\n", "line 4: more fields than the header"),
    "more fields throughout": (
        "csv",
        "text,label\nu0,a,yes\nu1,b,no\n",
        "line 2: more fields than the header",
    ),
    "fewer fields": ("csv", CSV + "u2,yes\n", "unknown or missing labels", "'' in 1 row: row 3 of the file"),
    "fewer fields, TSV": (
        "tsv",
        TSV + "u2\n",
        "missing or empty texts in column 'text'",
        "1 row: row 3 of the file",
    ),
    "open quote": (
        "csv",
        CSV + 'u2,"open,yes\nu3,a,no\n',
        "line 5: EOF inside string",
        "are all quotes closed",
    ),
    "quote not doubled": (
        "csv",
        CSV + 'u2,"a" b,yes\n',
        "line 4: ',' expected after '\"'",
        "closed and doubled",
    ),
    "column twice": ("csv", "uid,text,text,label\nu0,a,b,yes\n", "2 columns are named 'text'"),
    "column twice, TSV": ("tsv", "uid\ttext\tlabel\tlabel\nu0\ta\tyes\tno\n", "2 columns are named 'label'"),
    "no header": (
        "csv",
        "u0,text 0,yes\nu1,text 1,no\n",
        "lacks the column(s) text, label",
        "u0, text 0, yes",
    ),
    "space in a header": ("csv", CSV.replace("label", " label"), "lacks the column(s) label", "' label'"),
    "capitals in a header": ("csv", CSV.replace("label", "Label"), "lacks the column(s) label", "Label"),
    "Latin-1": ("csv", (CSV + "u2,café,no\n").encode("latin-1"), "codec can't decode byte 0xe9", "in UTF-8"),
    "Latin-1, TSV": ("tsv", (TSV + "u2\tcafé\tno\n").encode("latin-1"), "codec can't decode", "in UTF-8"),
    "Windows-1252": ("csv", (CSV + "u2,“a”,no\n").encode("cp1252"), "codec can't decode byte 0x93"),
    "Shift JIS": ("csv", (CSV + "u2,日本,no\n").encode("shift_jis"), "codec can't decode", "in UTF-8"),
    "header alone": ("csv", "uid,text,label\n", "data set 'train' is empty", "at least 2"),
    "header alone, TSV": ("tsv", "uid\ttext\tlabel\n", "data set 'train' is empty"),
    "UTF-16 without mark": (
        "csv",
        CSV.encode("utf-16-le"),
        "every second byte is zero",
        "encoding: utf-16-le",
    ),
    "UTF-16 BE": ("jsonl", JSONL.encode("utf-16-be"), "every second byte is zero", "encoding: utf-16-be"),
    "zip archive": (
        "tsv",
        b"PK\x03\x04\x14\x00\xff\xfe",
        "it is a zip archive or a spreadsheet",
        "unpack it",
    ),
    "web page": ("csv", "\n<!doctype HTML><p>404</p>", "it is a web page", "download the file itself"),
    "LFS pointer": (
        "csv",
        "version https://git-lfs.github.com/spec/v1\n",
        "pointer of Git LFS",
        "git lfs pull",
    ),
    "cut gzip": ("csv", gzip.compress(CSV.encode())[:-9], "Compressed file ended", "expected: a csv file"),
    "bad gzip": ("csv", b"\x1f\x8b" + b"\xff" * 40, "cannot be read"),
    "bad Zstandard": ("csv", b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "cannot be read"),
    "quoted TSV": (
        "tsv",
        TSV + '"u2"\t"two\nlines"\t"no"\n',
        "its cells are quoted: 2 lines have too few cells",
        "quoting: true",
    ),
    "half a character": ("csv", CSV.encode() + "u2,日".encode()[:-1], "unexpected end of data"),
    "JSONL as CSV": ("csv", JSONL, "lacks the column(s) text, label, uid"),
    "Parquet as CSV": ("csv", parquet(), "it is a Parquet file", "format: parquet"),
    # JSON Lines.
    "one object of columns": ("jsonl", '{"text": ["a", "b"]}', "one JSON object", "orient='records'"),
    "article without paragraphs": (
        "jsonl",
        '{"data": [{"paragraphs": []}, {"title": "T"}]}',
        "article 2 is not in SQuAD's form: no 'paragraphs'",
    ),
    "paragraph without questions": (
        "jsonl",
        '{"data": [{"paragraphs": [{"context": "a"}]}]}',
        "article 1 is not in SQuAD's form: no 'qas'",
    ),
    "list in a list": ("jsonl", '[{"text": "a"}, ["b"]]', "entry 2 of the JSON array: not a JSON object"),
    "empty JSONL": ("jsonl", "", "data set 'train' is empty"),
    "broken line": ("jsonl", JSONL + '{"uid": "x", "text": \n', "line 7: Expecting value"),
    "cut last line": ("jsonl", JSONL[:-10], "line 6: "),
    "list on a line": ("jsonl", JSONL + '["a", "yes"]\n', "line 7: not a JSON object"),
    "number on a line": ("jsonl", JSONL + "7\n", "line 7: not a JSON object"),
    "null on a line": ("jsonl", JSONL + "null\n", "line 7: not a JSON object"),
    "text on a line": ("jsonl", JSONL + '"a"\n', "line 7: not a JSON object"),
    "two objects on a line": ("jsonl", line().strip() + line(), "line 1: Extra data"),
    "single quotes": ("jsonl", JSONL + "{'text': 'a'}\n", "line 7: Expecting property name"),
    "comma between lines": ("jsonl", JSONL.replace("}\n", "},\n"), "line 1: Extra data"),
    "key twice": ("jsonl", '{"text": "a", "text": "b"}\n', "line 1: 2 columns are named 'text'"),
    "list as text": ("jsonl", JSONL + line(text=["a", "b"]), "row 7: a list in column 'text', not text"),
    "object as text": ("jsonl", JSONL + line(text={"a": 1}), "row 7: a dict in column 'text', not text"),
    "list as label": ("jsonl", JSONL + line(label=["yes"]), "row 7: a list in column 'label', not text"),
    "object as uid": ("jsonl", JSONL + line(uid={"id": 1}), "row 7: a dict in column 'uid', not text"),
    "null as text": ("jsonl", JSONL + line(text=None), "missing or empty texts", "1 row: row 7 of the file"),
    "NaN as text": (
        "jsonl",
        JSONL + line(text=float("nan")),
        "missing or empty texts",
        "1 row: row 7 of the file",
    ),
    "null as label": (
        "jsonl",
        JSONL + line(label=None),
        "(missing) in 1 row: row 7 of the file",
        "label_names",
    ),
    "true as label": (
        "jsonl",
        JSONL + line(label=True),
        "'true' in 1 row: row 7 of the file",
        "one of yes, no",
    ),
    "number as label": ("jsonl", JSONL + line(label=1), "'1' in 1 row: row 7 of the file", "one of yes, no"),
    "key absent": (
        "jsonl",
        JSONL + '{"uid": "x", "label": "no"}\n',
        "missing or empty texts",
        "1 row: row 7 of the file",
    ),
    "half a surrogate pair": (
        "jsonl",
        JSONL + line(text="a\ud83d"),
        "row 7: half a character in column 'text'",
    ),
    "half a pair in a key": ("jsonl", '{"\\ud800": "a"}\n', "surrogates not allowed"),
    "nested without end": ("jsonl", "[" * 100_000, "maximum recursion depth"),
    "number without end": ("jsonl", '{"text": ' + "9" * 5000 + "}\n", "line 1: Exceeds the limit"),
    "Latin-1, JSONL": ("jsonl", '{"text": "café"}\n'.encode("latin-1"), "codec can't decode", "in UTF-8"),
    "CSV as JSONL": ("jsonl", CSV, "line 1: Expecting value"),
    # Parquet and Arrow.
    "empty Parquet": ("parquet", b"", "file size is 0 bytes"),
    "cut Parquet": ("parquet", parquet()[:-9], "Parquet magic bytes not found"),
    "Parquet without its start": ("parquet", parquet()[50:], "cannot be read"),
    "CSV as Parquet": ("parquet", CSV, "cannot be read", "expected: a parquet file"),
    "Arrow as Parquet": ("parquet", arrow(), "Parquet magic bytes not found"),
    "no rows in Parquet": ("parquet", parquet(pa.table({"text": pa.array([], pa.string())})), "is empty"),
    "column twice in Parquet": ("parquet", twin_columns(), "2 columns are named 'label'"),
    "bytes in Parquet": ("parquet", parquet(text=[b"a", b"b"]), "row 1: a bytes in column 'text', not text"),
    "lists in Parquet": ("parquet", parquet(text=[["a"], ["b"]]), "row 1: a list in column 'text'"),
    "objects in Parquet": ("parquet", parquet(text=[{"a": 1}, {"a": 2}]), "row 1: a dict in column 'text'"),
    "nan in Parquet": (
        "parquet",
        parquet(text=[1.0, float("nan")]),
        "missing or empty texts",
        "1 row: row 2 of the file",
    ),
    "floats as labels": ("parquet", parquet(label=[1.0, None]), "'1.0', (missing) in 2 rows", "yes, no"),
    "empty Arrow": ("arrow", b"", "cannot be read"),
    "cut Arrow": ("arrow", arrow()[:-60], "cannot be read", "expected: a arrow file"),
    "Parquet as Arrow": ("arrow", parquet(), "cannot be read"),
    "bytes in Arrow": ("arrow", arrow(label=[b"yes", b"no"]), "row 1: a bytes in column 'label'"),
    # Rows.
    "uid twice": (
        "csv",
        CSV + "u0,a,no\n",
        "duplicate or missing uids",
        "'u0' first, in 1 row: row 3 of the file",
        "uid: null",
    ),
    "empty uid": (
        "csv",
        CSV + ",a,no\n",
        "duplicate or missing uids",
        "'' first, in 1 row: row 3 of the file",
    ),
    "uid of spaces": (
        "csv",
        CSV + "  ,a,no\n",
        "duplicate or missing uids",
        "'  ' first, in 1 row: row 3 of the file",
    ),
    "uid twice in two types": (
        "jsonl",
        line(uid=1) + line(uid="1"),
        "duplicate or missing uids",
        "'1' first",
    ),
    "empty text": (
        "csv",
        CSV + "u2,,no\n",
        "missing or empty texts in column 'text'",
        "1 row: row 3 of the file",
    ),
    "text of spaces": (
        "csv",
        CSV + "u2,\u3000\u00a0 ,no\n",
        "missing or empty texts",
        "1 row: row 3 of the file",
    ),
    "empty label": ("csv", CSV + "u2,a,\n", "unknown or missing labels", "'' in 1 row: row 3 of the file"),
    "unknown label": (
        "csv",
        CSV + "u2,a,maybe\n",
        "'maybe' in 1 row: row 3 of the file",
        "one of yes, no",
        "label_names",
    ),
    "label in capitals": ("csv", CSV + "u2,a,Yes\n", "'Yes' in 1 row: row 3 of the file"),
    "label with a space": ("csv", CSV + "u2,a,yes \n", "'yes ' in 1 row: row 3 of the file"),
    "look-alike label": ("csv", CSV + "u2,a,y\u0435s\n", "'y\u0435s' in 1 row: row 3 of the file"),
    "text in the label column": (
        "csv",
        CSV + f"u2,a,{'long ' * 2000}\n",
        "'long long long long long lo...ng long long ",
        "in 1 row: row 3 of the file",
    ),
    "one class": ("csv", CSV.replace(",no", ",yes"), "has one class only", "2 rows labelled 'yes'"),
}


def refusal(path, form, **spec):
    with pytest.raises(DataError) as caught:
        spec = {**SPEC, "format": form, **spec}
        prepare(*_read(spec, path))
    return str(caught.value)


def _read(spec, path):
    rows, provenance = read(spec, "train", path)
    return rows, spec, "train", provenance


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("what", BROKEN)
def test_broken_file_is_refused_with_place_and_cure(what, tmp_path):
    form, content, *words = BROKEN[what]
    message = refusal(write(tmp_path / "rows", content), form)
    assert "data set 'train'" in message and len(message) < 1000
    for word in words:
        assert word in message


def test_label_that_is_a_text_column_is_cut_short(tmp_path):
    rows = "".join(f"u{row},a,{'x' * 10_000}{row}\n" for row in range(9))
    assert len(refusal(write(tmp_path / "rows", CSV + rows), "csv")) < 1000


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("make", ["folder", "loop", "nothing"])
def test_what_is_no_file_is_refused(form, make, tmp_path):
    path = tmp_path / "rows"
    if make == "folder":
        path.mkdir()
    if make == "loop":
        path.symlink_to(path)
    assert "cannot be read from" in refusal(path, form)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), form=st.sampled_from(["csv", "tsv", "jsonl", "parquet", "arrow"]))
def test_damaged_file_is_refused_or_read_but_never_a_crash(tmp_path_factory, data, form):
    """Damaged Arrow files used to end the process: their offsets point outside the file."""
    content = bytearray({"csv": CSV, "tsv": TSV, "jsonl": JSONL}.get(form, "").encode())
    content = content or bytearray(parquet() if form == "parquet" else arrow())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path = write(tmp_path_factory.mktemp("damaged") / "rows", bytes(content))
    try:
        prepare(*_read({**SPEC, "format": form}, path))
    except DataError as error:
        assert "data set 'train'" in str(error)


def test_offsets_outside_an_arrow_file_are_refused(tmp_path):
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1].to_pybytes()
    content = arrow()
    assert offsets in content
    damaged = content.replace(offsets, pa.array([0, 1, 2**30], pa.int32()).buffers()[1].to_pybytes())
    assert "cannot be read" in refusal(write(tmp_path / "rows", damaged), "arrow")


# Oddities of real data, which are to be read as they are.
TEXTS = {
    "quotes": 'she said "no", then ""left""',
    "newline": "two\nlines",
    "CRLF": "two\r\nlines",
    "old Mac's line end": "two\rlines",
    "tab": "two\tcells",
    "NUL": "before\0after",
    "control characters": "\x01\x1a\x1b[31m\x7f",
    "null": "null",
    "NA": "NA",
    "None": "None",
    "nan": "nan",
    "NULL": "NULL",
    "#N/A": "#N/A",
    "true": "true",
    "number": "007",
    "exponent": "1e5",
    "infinity": "inf",
    "formula": "=1+1",
    "emoji": "👩‍👩‍👧 👍🏽 🏳️‍🌈",
    "right to left": "\u202bשלום\u202c مرحبا",
    "combining marks": "Z̷̰͝a̵͇̾l̸͉͝g̶̫̈o̴̘͝",
    "decomposed": "e\u0301",
    "beyond the first plane": "𝒳𐍈",
    "replacement character": "\ufffd",
    "byte order mark inside": "a\ufeffb",
    "separators": "a,b;c|d\u2028e\u2029f\u0085g\u000bh\u000ci",
    "spaces that matter": "   indented  ",
    "long": "word " * 2000,
    "long word": "x" * 200_000,
    "mark-up": "<script>alert(1)</script> & $x_1$ \\",
    "backslashes": "C:\\new\\table \\u0041",
    "hash": "# not a comment",
    "lone quote": 'a 27" screen',
    "braces": "{task} %s {{x}}",
}
UNWRITTEN = {"tsv": {"newline", "CRLF", "tab"}}


def write_texts(path, form, texts):
    columns = {"uid": list(texts), "text": list(texts.values()), "label": ["yes", "no"] * (len(texts) // 2)}
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    if form == "csv":
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    elif form == "tsv":
        path.write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())
    elif form == "jsonl":
        records = [dict(zip(columns, row, strict=True)) for row in rows[1:]]
        write(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    else:
        write(path, parquet(**columns) if form == "parquet" else arrow(**columns))


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "arrow"])
def test_oddities_of_real_data_are_read_and_kept_as_they_are(form, tmp_path):
    texts = {name: text for name, text in TEXTS.items() if name not in UNWRITTEN.get(form, ())}
    texts = dict(list(texts.items())[: len(texts) // 2 * 2])
    write_texts(tmp_path / "rows", form, texts)
    dataset = prepare(*_read({**SPEC, "format": form}, tmp_path / "rows"))
    assert dict(zip(dataset.uids, dataset.texts[0], strict=True)) == texts
    dataset.save(tmp_path / "data.parquet")
    assert Dataset.load(tmp_path / "data.parquet").texts == dataset.texts


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=6))
def test_any_text_comes_back_from_a_csv_file(texts, tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "rows"
    columns = [[f"u{row}", text, ("yes", "no")[row % 2]] for row, text in enumerate(texts)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["uid", "text", "label"], *columns])
    assert list(prepare(*_read({**SPEC, "format": "csv"}, path)).texts[0]) == texts


@pytest.mark.parametrize("names", [("0", "1"), ("true", "false"), ("null", "NA"), ("1.0", "01")])
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_labels_that_look_like_other_things_stay_text(names, form, tmp_path):
    rows = [{**row, "label": names[index % 2]} for index, row in enumerate(ROWS)]
    if form == "jsonl":
        write(tmp_path / "rows", "".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [list(ROWS[0]), *(row.values() for row in rows)]
        write(
            tmp_path / "rows", "".join({"csv": ",", "tsv": "\t"}[form].join(cells) + "\n" for cells in lines)
        )
    spec = {**SPEC, "format": form, "labels": list(names)}
    assert prepare(*_read(spec, tmp_path / "rows")).labels.tolist() == [0, 1] * 3


def test_semicolons_in_a_tab_separated_file_are_text(tmp_path):
    write(tmp_path / "rows", TSV + "u2\ta;b;c\tyes\n")
    assert prepare(*_read({**SPEC, "format": "tsv"}, tmp_path / "rows")).texts[0][-1] == "a;b;c"


def test_columns_that_are_not_used_may_hold_anything(tmp_path):
    write(tmp_path / "rows.jsonl", JSONL + line(extra=[{"a": [1]}], other=None, more=float("nan")))
    assert len(prepare(*_read({**SPEC, "format": "jsonl"}, tmp_path / "rows.jsonl"))) == 7
    write(tmp_path / "rows.parquet", parquet(image=[b"\xff", b"\x00"]))
    assert len(prepare(*_read({**SPEC, "format": "parquet"}, tmp_path / "rows.parquet"))) == 2
    write(tmp_path / "rows.csv", "uid,text,label,,\nu0,a,yes,,\nu1,b,no,,\n")
    assert len(prepare(*_read({**SPEC, "format": "csv"}, tmp_path / "rows.csv"))) == 2


# Security: what the library may call. Names of functions by the modules that may use them.
ALLOWED = {
    # Tensors alone: from a checkpoint of the hub that has no safetensors, and losses of another program.
    "torch.load": {"models/pretrained.py", "cartography/losses.py"},
    # For the error that weights_only raises; and to refuse whatever a list of numbers would call.
    "import pickle": {"models/pretrained.py", "cartography/losses.py"},
    "pickle.Unpickler": {"cartography/losses.py"},
    # Processes of this library, and torch and transformers by their names.
    "subprocess.PIPE": {"pipeline/warm.py"},
    "subprocess.Popen": {"cli/bars.py", "execution/launch.py", "pipeline/warm.py"},
    # nvidia-smi, with fixed arguments.
    "subprocess.run": {"execution/devices.py"},
    "subprocess.TimeoutExpired": {"execution/devices.py"},
    "__import__": {"pipeline/warm.py"},
}
FORBIDDEN = re.compile(
    r"^(torch\.load|torch\.jit\.load|torch\.hub\..*|joblib\..*|dill\..*|marshal\..*|shelve\..*|cloudpickle\..*"
    r"|(pickle|cPickle)\.(load|loads|Unpickler)|(pd|pandas)\.read_pickle|.*\.read_pickle"
    r"|yaml\.(load|load_all|full_load|unsafe_load|FullLoader|UnsafeLoader|Loader)|np\.load|numpy\.load"
    r"|eval|exec|compile|__import__|os\.system|os\.popen|subprocess\..*"
    r"|import (pickle|dill|joblib|shelve|marshal))$"
)


def used_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"import {node.module}"


def test_no_code_of_others_is_loaded_or_run(root):
    found: dict[str, set[str]] = {}
    library = root / "src/ftft"
    files = sorted((root / "src").rglob("*.py"))
    assert len(files) > 50
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for name in used_names(tree):
            if FORBIDDEN.match(name) and name != "yaml.load":
                found.setdefault(name, set()).add(file.relative_to(library).as_posix())
            if name == "yaml.load":
                assert file.name == "files.py"
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert ast.unparse(node.value) == "False", file
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(word.arg == "weights_only" and word.value.value is True for word in node.keywords)
    assert found == ALLOWED


# Text of the configuration in what is written for readers.
HOSTILE = r"<script>alert(1)</script> & &lt; | $x_1$ \alert \| {y} 1 % #1 ~ ^ _z_ *b* `c` [d](javascript:e)"
TABLE = Rendering(HOSTILE, ["Method", HOSTILE], [["ERM", HOSTILE]], [HOSTILE], [HOSTILE])


def test_markdown_holds_text_and_no_mark_up_of_it():
    text = to_markdown(TABLE)
    assert not re.search(r"(?<!\\)([<$`]|\]\(|&lt;)", text)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [3] * 4
    for word in (r"\<script>", r"\_z\_", r"\*b*", r"\alert", "x_1", " & "):
        assert text.count(word) == 5
    assert text.count(r"\\\|") == 3 and text.count(r"\\|") == 5


def test_latex_holds_text_and_no_commands_of_it():
    text = to_latex(TABLE)
    written = (
        r"\textbackslash{}alert \textbackslash{}| \{y\} 1 \% \#1 \textasciitilde{} \textasciicircum{} \_z\_"
    )
    assert text.count(written) == text.count(r"<script>alert(1)</script> \& \&lt; | \$x\_1\$") == 5
    assert r"\alert" not in text


def test_a_figure_holds_its_text_as_text(tmp_path):
    outputs = {form: tmp_path / f"figure.{form}" for form in ("svg", "png", "csv")}
    figure = Figure()
    figure.suptitle("<script>alert(1)</script> --> & small_a")
    save(figure, pd.DataFrame({"name": [HOSTILE]}), outputs)
    root = ElementTree.parse(outputs["svg"]).getroot()
    assert not [element for element in root.iter() if "script" in str(element.tag).lower()]
    assert pd.read_csv(outputs["csv"])["name"].tolist() == [HOSTILE]
