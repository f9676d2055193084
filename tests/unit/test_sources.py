import csv
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftft.artifacts import write_parquet
from ftft.data import demo
from ftft.data.formats import FORMATS
from ftft.data.keep import text_position
from ftft.data.readers import READERS
from ftft.data.rows import PLACE
from ftft.data.sources import read
from ftft.errors import ConfigError, DataError
from ftft.pipeline.config import resolve
from ftft.pipeline.parameters import dataset_slice

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
    rows, _ = read({"source": "file", "format": form, "text": [], **spec}, "train", path)
    columns = rows.to_pydict()
    columns.pop(PLACE)
    return columns


def fault_of(path, form):
    with pytest.raises(DataError) as caught:
        rows_of(path, form)
    message = str(caught.value)
    assert f"data set 'train' cannot be read from {path}" in message
    expected = "a folder that the datasets library saved" if form == "saved" else f"a {form} file"
    assert f"expected: {expected}" in message
    return message


@pytest.mark.parametrize(("form", "write"), FORMS)
def test_every_format_reads_the_same_rows_and_keeps_their_oddities(tmp_path, form, write):
    texts = dict(ODD) if form == "tsv" else {**ODD, **BROKEN_LINES}
    columns = {"uid": list(texts), "text": list(texts.values()), "label": ["01"] * len(texts)}
    write(tmp_path / "rows", columns)
    assert rows_of(tmp_path / "rows", form) == columns


def test_every_format_is_tried():
    assert {*WRITERS, "saved"} == set(READERS) == set(FORMATS)


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
def test_an_encoding_that_cannot_be_told_is_refused_and_the_key_named(tmp_path, form):
    path = tmp_path / "rows"
    path.write_bytes('{"text": "naïve"}\n'.encode("latin-1"))
    message = fault_of(path, form)
    assert "its text is not in UTF-8" in message and "the key 'encoding'" in message
    assert "key 'format'" not in message


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
    write_parquet(tmp_path / "rows", pa.table({"label": [2]}), {})
    spec = {"source": "hub", "id": "a/b", "name": "c", "revision": "0123abc", "split": "test_r1"}
    rows, provenance = read(spec, "train", tmp_path / "rows")
    assert rows.to_pydict() == {"label": ["2"], PLACE: [1]}
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


def shared(folder, columns, share, text=("text",), **spec):
    pq.write_table(pa.table(columns), folder / "rows")
    spec = {"source": "file", "format": "parquet", "text": list(text), **spec}
    return read({**spec, "share": share}, "part", folder / "rows")


def test_the_place_of_a_text_is_fixed():
    # blake2b (8 bytes, person "share") over length and bytes of each text; its upper 53 bits over 2^53.
    assert text_position(["a"]) == 0.5599794503347146
    assert text_position(["naïve 🙂"]) == 0.13230891597739236
    assert text_position(["premise", "hypothesis"]) == 0.7043030500427542


def test_texts_of_a_pair_are_not_run_together():
    assert text_position(["ab", "c"]) != text_position(["a", "bc"])
    assert text_position(["ab"]) != text_position(["ab", ""])


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=30)


@given(TEXTS)
def test_every_text_lies_from_0_to_below_1(texts):
    assert 0 <= text_position(texts) < 1


def test_a_share_has_its_low_end_and_not_its_high_end(tmp_path):
    place = text_position(["a"])
    rows, _ = shared(tmp_path, {"text": ["a", "b"]}, [place, 1])
    assert "a" in rows["text"].to_pylist()
    with pytest.raises(DataError, match="lies in its share"):
        shared(tmp_path, {"text": ["a"]}, [0, place])


@settings(deadline=None, max_examples=40)
@given(texts=TEXTS, cut=st.floats(0.3, 0.7), order=st.randoms(use_true_random=False))
def test_a_split_file_is_whole_and_equal_texts_stay_together(tmp_path_factory, texts, cut, order):
    folder = tmp_path_factory.mktemp("share")
    texts = texts + texts[: len(texts) // 2]
    rows = [(str(number), text) for number, text in enumerate(texts)]
    found = []
    for _ in range(2):
        columns = dict(zip(("uid", "text"), map(list, zip(*rows, strict=True)), strict=True))
        parts = []
        for share in ([0, cut], [cut, 1]):
            try:
                part, _ = shared(folder, columns, share)
            except DataError as error:
                assert "lies in its share" in str(error)
                part = pa.table({"uid": [], "text": []})
            parts.append(set(zip(part["uid"].to_pylist(), part["text"].to_pylist(), strict=True)))
        found.append(parts)
        order.shuffle(rows)
    assert found[0] == found[1]
    left, right = found[0]
    assert left | right == set(rows)
    assert not {text for _, text in left} & {text for _, text in right}


def test_a_share_holds_about_its_share_of_the_texts(tmp_path):
    texts = [f"text {number}" for number in range(10000)]
    rows, provenance = shared(tmp_path, {"text": texts}, [0.2, 0.5])
    # Standard deviation of the count: sqrt(10000 x 0.3 x 0.7) = 46.
    assert abs(rows.num_rows - 3000) < 4 * 46
    assert provenance["steps"] == [{"step": "read", "rows": 10000}, {"step": "share", "rows": rows.num_rows}]


def test_a_share_is_taken_of_the_rows_that_pass_where(tmp_path):
    columns = {"text": [f"text {number}" for number in range(100)], "kind": ["a", "b"] * 50}
    rows, provenance = shared(tmp_path, columns, [0, 1], where={"kind": "a"})
    assert rows["kind"].unique().to_pylist() == ["a"]
    assert [step["rows"] for step in provenance["steps"]] == [100, 50, 50]


def test_the_rows_of_a_group_lie_in_one_share_whatever_their_texts_are(tmp_path):
    columns = {
        "text": [f"text {row}" for row in range(300)],
        "document": [str(row // 3) for row in range(300)],
    }
    low, _ = shared(tmp_path, columns, [0, 0.5], group="document")
    high, _ = shared(tmp_path, columns, [0.5, 1], group="document")
    groups = [set(part["document"].to_pylist()) for part in (low, high)]
    assert not groups[0] & groups[1] and len(groups[0] | groups[1]) == 100
    assert low.num_rows == 3 * len(groups[0]) and 30 < len(groups[0]) < 70
    with pytest.raises(DataError, match="lacks the column"):
        shared(tmp_path, columns, [0, 0.5], group="paper")


def test_both_texts_of_a_pair_decide_its_share(tmp_path):
    columns = {"a": ["same"] * 400, "b": [f"text {number}" for number in range(400)]}
    rows, _ = shared(tmp_path, columns, [0, 0.5], text=("a", "b"))
    assert 100 < rows.num_rows < 300


def test_generated_rows_are_shared_too():
    spec = {"source": "demo", "split": "train", "rows": 200, "seed": 0, "text": ["premise", "hypothesis"]}
    parts = [read({**spec, "share": share}, "train")[0].num_rows for share in ([0, 0.4], [0.4, 1])]
    assert sum(parts) == 200
    assert min(parts) > 0


def test_a_share_without_rows_or_texts_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no row of data set 'part' lies in its share") as caught:
        shared(tmp_path, {"text": ["a"]}, [0, 1e-9])
    assert "got: 1 rows, none from 0 to 1e-09" in str(caught.value)
    with pytest.raises(DataError, match="lacks the column"):
        shared(tmp_path, {"body": ["a"]}, [0, 1])


def config_with(path, share):
    entry = {"source": "file", "path": str(path), "share": share}
    task = {"labels": ["no", "yes"], "train": "train", "validation": "rest", "evaluate": ["rest"]}
    datasets = {"train": entry, "rest": {**entry, "share": [0.5, 1]}}
    models = {"tiny": {"source": "folder", "path": str(path.parent)}}
    finetune = {"task": {"main": "tiny", "reference": "tiny"}}
    return {"tasks": {"task": {**task, "datasets": datasets}}, "models": models, "finetune": finetune}


def test_the_share_defines_the_data_set(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n")
    config = resolve(config_with(tmp_path / "rows.csv", [0, 0.5]))
    assert dataset_slice(config, "task", "train")["share"] == [0.0, 0.5]
    assert dataset_slice(config, "task", "rest")["share"] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("share", "fault"),
    [
        ([0.5, 0.5], "datasets.train.share: got [0.5, 0.5], expected the smaller number first"),
        ([0.6, 0.5], "datasets.train.share: got [0.6, 0.5], expected the smaller number first"),
        ([0, 1.5], "datasets.train.share[1]: got 1.5, expected at most 1"),
        ([-0.1, 1], "datasets.train.share[0]: got -0.1, expected at least 0"),
        ([0.5], "datasets.train.share: got [0.5], expected at least 2"),
        ([0, 0.5, 1], "datasets.train.share: got [0, 0.5, 1], expected at most 2 entries"),
        (0.5, "datasets.train.share: got 0.5, expected a list"),
        (["0", 1], "datasets.train.share[0]: got '0', expected a number"),
    ],
)
def test_a_share_that_is_no_range_is_a_fault(tmp_path, share, fault):
    (tmp_path / "rows.csv").write_text("text,label\n")
    with pytest.raises(ConfigError) as caught:
        resolve(config_with(tmp_path / "rows.csv", share))
    assert fault in str(caught.value)


def test_rows_without_a_label_in_one_of_several_label_columns_are_left_out(tmp_path):
    columns = {"text": ["a", "b", "c"], "x": ["0", "", "1"], "y": ["1", "1", "0"]}
    write_parquet(tmp_path / "rows", pa.table(columns), {})
    spec = {"source": "file", "format": "parquet", "text": ["text"], "label": "label", "uid": None}
    spec |= {"label_columns": ["x", "y"], "drop_empty": True}
    rows, _ = read(spec, "part", tmp_path / "rows")
    assert rows["text"].to_pylist() == ["a", "c"]
