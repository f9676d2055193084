import csv
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Dataset
from tokenizers import Tokenizer

from ftft.cli import main
from ftft.cli.init import PRESET
from ftft.data import sources
from ftft.pipeline.config import resolve
from ftft.pipeline.parameters import dataset_slice
from ftft.tasks.prepare import prepare

COMMIT = "0123456789" * 4
FOUR_ROWS = "text,label\na b c,x\nd e f,y\ng h i,x\nj k l,y\n"


def reviews(rows=300):
    words = ["good", "bad", "film", "🙂", '"great"', "plot,", "never", "again\nloved", "it"]
    chosen = random.Random(0)
    return {
        "id": [f"r{row}" for row in range(rows)],
        "text": [" ".join(chosen.choices(words, k=9)) + f" {row}" for row in range(rows)],
        "label": [chosen.choice(["negative", "positive"]) for _ in range(rows)],
    }


def pairs(rows=60):
    return {
        "index": [str(row) for row in range(rows)],
        "premise": [f"a long enough premise {row}" for row in range(rows)],
        "hypothesis": [f"a hypothesis {row}" for row in range(rows)],
        "label": [str(row % 3) for row in range(rows)],
    }


def write_csv(path, columns, newline="\n", bom=""):
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(bom)
        rows = [list(columns), *zip(*columns.values(), strict=True)]
        csv.writer(file, lineterminator=newline).writerows(rows)


def write_tsv(path, columns):
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path.write_text("".join("\t".join(row).replace("\n", " ") + "\n" for row in rows), encoding="utf-8")


def write_jsonl(path, columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_arrow(path, columns):
    table = pa.table(columns)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


WRITERS = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "parquet": lambda path, columns: pq.write_table(pa.table(columns), path),
    "arrow": write_arrow,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def init(capsys):
    """Run `ftft init`; returns its exit code, what it printed, and the configuration."""

    def run(*arguments):
        code = main(["init", *map(str, arguments)])
        shown = capsys.readouterr()
        with open("ftft.yaml", encoding="utf-8") as file:
            return code, shown.out, yaml.safe_load(file)

    return run


@pytest.fixture
def refused(folder, capsys):
    """Run `ftft init`, which must refuse and write nothing; returns its message."""

    def run(*arguments):
        before = sorted(folder.iterdir())
        assert main(["init", *map(str, arguments)]) == 1
        assert sorted(folder.iterdir()) == before
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return message

    return run


@pytest.mark.parametrize("form", WRITERS)
def test_a_file_of_every_format_becomes_a_configuration_that_prepares_its_data(folder, init, form):
    WRITERS[form](folder / f"reviews.{form}", reviews())
    code, shown, config = init(f"reviews.{form}")
    assert code == 0
    preset = yaml.safe_load(PRESET.read_text())["models"]
    path = f"reviews.{form}"
    assert config == {
        "tasks": {
            "reviews": {
                "labels": ["negative", "positive"],
                "metric": "accuracy",
                "text": ["text"],
                "label": "label",
                "uid": "id",
                "train": "train",
                "validation": "validation",
                "evaluate": ["test"],
                "datasets": {
                    "train": {"source": "file", "path": path, "share": [0, 0.8]},
                    "validation": {"source": "file", "path": path, "share": [0.8, 0.9]},
                    "test": {"source": "file", "path": path, "share": [0.9, 1]},
                },
            }
        },
        "models": {
            "small": {key: preset["deberta-v3-small"][key] for key in ("source", "id", "revision")},
            "large": {
                key: preset["deberta-v3-large"][key] for key in ("source", "id", "revision", "training")
            },
        },
        "training": {"max_length": config["training"]["max_length"]},
        "early_stopping": {"monitors": ["id"]},
        "finetune": {"reviews": {"main": "large", "reference": "small"}},
    }
    settled, sizes = resolve(config), {}
    for name in ("train", "validation", "test"):
        spec = dataset_slice(settled, "reviews", name)
        dataset = prepare(*_read(spec, name))
        sizes[name] = len(dataset)
        negative, positive = (int((dataset.labels == label).sum()) for label in (0, 1))
        assert f"{name:<10}  {len(dataset)} rows: negative {negative}, positive {positive}" in shown
    assert sum(sizes.values()) == 300
    assert "warning" not in shown


def _read(spec, name):
    records, provenance = sources.read(spec, name, spec["path"])
    return records, spec, name, provenance


@pytest.mark.parametrize(("newline", "bom"), [("\r\n", ""), ("\n", "\ufeff"), ("\r\n", "\ufeff")])
def test_line_ends_and_byte_order_marks_make_no_difference(folder, init, newline, bom):
    write_csv(folder / "plain.csv", reviews())
    _, _, plain = init("plain.csv", "--task", "task")
    (folder / "ftft.yaml").unlink()
    write_csv(folder / "odd.csv", reviews(), newline, bom)
    _, _, odd = init("odd.csv", "--task", "task")
    for config in (plain, odd):
        config["tasks"]["task"].pop("datasets")
    assert odd == plain


def test_what_was_guessed_is_shown_with_its_reason(folder, init):
    write_csv(folder / "reviews.csv", reviews())
    _, shown, _ = init("reviews.csv")
    for line in (
        "reviews.csv: 300 rows, columns id, text, label",
        "text        text (named like text)",
        "label       label (2 different values, named like a label)",
        "uid         id (unique, named like an id)",
        "  ftft preflight\n",
        "  ftft finetune\n",
    ):
        assert line in shown


def test_without_the_workflow_the_library_says_what_it_lacks(monkeypatch, capsys):
    for name in ("yaml", "ftft.cli.init"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "ftft.cli.init")
    assert main(["init", "reviews.csv"]) == 1
    shown = capsys.readouterr().err
    assert "no module yaml" in shown and "pip install" in shown


def test_texts_that_are_left_aside_are_named(folder, init):
    columns = {**reviews(), "subject line": ["about a few things"] * 300, "shop": ["a", "b", "c"] * 100}
    write_csv(folder / "reviews.csv", columns)
    _, shown, config = init("reviews.csv", "--label", "label")
    assert "unused      subject line, shop (texts too? --text 'subject line' text)" in shown
    assert config["tasks"]["reviews"]["text"] == ["text"]


def test_numbers_as_labels_are_sorted_as_numbers_and_stay_text(folder, init):
    columns = pairs(240)
    columns["label"] = [str(row % 12) for row in range(240)]
    write_csv(folder / "nli pairs.csv", columns)
    _, _, config = init("nli pairs.csv")
    task = config["tasks"]["nli-pairs"]
    assert task["labels"] == [str(label) for label in range(12)]
    assert (task["text"], task["uid"]) == (["premise", "hypothesis"], "index")


@pytest.mark.parametrize(
    ("rename", "text", "label"),
    [
        ({"premise": "sentence1", "hypothesis": "sentence2"}, ["sentence1", "sentence2"], "label"),
        ({"premise": "Context", "label": "gold_label"}, ["Context", "hypothesis"], "gold_label"),
        ({"premise": "Question1", "hypothesis": "question2"}, ["Question1", "question2"], "label"),
        ({"label": "stance", "hypothesis": "note", "premise": "Tweet"}, ["Tweet"], "stance"),
        ({"hypothesis": "label", "label": "class", "premise": "words"}, ["words"], "class"),
    ],
)
def test_columns_are_known_by_their_names_and_values(folder, init, rename, text, label):
    columns = {rename.get(name, name): values for name, values in pairs().items()}
    if rename.get("hypothesis") == "label":  # a text column of that name is no label: all differ
        columns["label"] = [f"x{row}" for row in range(60)]
    write_jsonl(folder / "rows.jsonl", columns)
    _, _, config = init("rows.jsonl")
    assert config["tasks"]["rows"]["text"] == text
    assert config["tasks"]["rows"]["label"] == label


def test_an_id_that_repeats_is_not_taken(folder, init):
    columns = reviews()
    columns["id"][1] = columns["id"][0]
    write_csv(folder / "reviews.csv", columns)
    _, shown, config = init("reviews.csv")
    assert config["tasks"]["reviews"]["uid"] is None
    assert "none, rows are numbered: 'id' repeats or lacks values" in shown


def test_of_several_ids_the_first_by_name_is_taken_and_the_others_are_named(folder, init):
    write_csv(folder / "reviews.csv", {**reviews(), "uid": [str(row) for row in range(300)]})
    _, shown, config = init("reviews.csv")
    assert config["tasks"]["reviews"]["uid"] == "uid"
    assert "so is 'id'" in shown


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (
            {"class": ["a", "b", "c"] * 100},
            ["several columns could be the label of rows.csv", "'label' (2 different values)",
             "'class' (3 different values)", "--label COLUMN"],
        ),
        (
            {"comment": [f"said {row}" for row in range(300)]},
            ["several columns could be the text of", "'text'", "'comment'", "--text COLUMN [COLUMN]"],
        ),
        (
            {"label": None, "split": ["a", "b", "c"] * 100, "kind": ["p", "q"] * 150},
            ["several columns could be the label", "'split' (3", "'kind' (2"],
        ),
        ({"label": None}, ["no column looks like the label", "'text' (300 different values)"]),
        ({"text": None, "w": ["two words"] * 300}, ["no column looks like the text", "'w' (2.0 words"]),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_told_are_listed_with_the_option_to_give(folder, refused, change, texts):
    columns = {name: values for name, values in {**reviews(), **change}.items() if values}
    write_csv(folder / "rows.csv", columns)
    message = refused("rows.csv")
    for text in texts:
        assert text in message


def test_options_decide_between_columns(folder, init):
    columns = {**reviews(), "class": ["a", "b", "c"] * 100, "comment": [f"c {row}" for row in range(300)]}
    write_csv(folder / "rows.csv", columns)
    options = ["--label", "class", "--text", "comment", "text", "--uid", "id"]
    _, shown, config = init("rows.csv", *options)
    task = config["tasks"]["rows"]
    assert (task["label"], task["text"], task["uid"]) == ("class", ["comment", "text"], "id")
    assert "class (as given)" in shown


def test_given_columns_must_exist(folder, refused):
    write_csv(folder / "rows.csv", reviews())
    message = refused("rows.csv", "--label", "stars")
    assert "lacks the column(s) stars" in message
    assert "got: columns id, text, label" in message


def test_files_of_their_own_take_the_places_of_shares(folder, init):
    write_csv(folder / "train.csv", reviews())
    write_csv(folder / "val.csv", reviews(40))
    other = reviews(50)
    write_csv(folder / "other.csv", {"body": other["text"], "class": other["label"]})
    _, shown, config = init(
        "train.csv", "--validation", "val.csv", "--evaluate", "ood=other.csv", "again=val.csv"
    )
    task = config["tasks"]["train"]
    assert task["evaluate"] == ["ood", "again"]
    assert task["datasets"] == {
        "train": {"source": "file", "path": "train.csv"},
        "validation": {"source": "file", "path": "val.csv"},
        "ood": {"source": "file", "path": "other.csv", "text": ["body"], "label": "class", "uid": None},
        "again": {"source": "file", "path": "val.csv"},
    }
    assert "ood         50 rows" in shown
    assert "{text: [body], label: class, uid: null}" in shown


def test_beside_a_validation_file_a_part_is_set_aside_to_report_on(folder, init):
    write_csv(folder / "train.csv", reviews())
    write_csv(folder / "val.csv", reviews(40))
    _, _, config = init("train.csv", "--validation", "val.csv")
    task = config["tasks"]["train"]
    assert task["evaluate"] == ["test"]
    assert {name: entry.get("share") for name, entry in task["datasets"].items()} == {
        "train": [0, 0.9],
        "test": [0.9, 1],
        "validation": None,
    }


def test_further_evaluation_sets_come_after_the_test_part(folder, init):
    write_csv(folder / "train.csv", reviews())
    write_csv(folder / "other.csv", reviews(50))
    _, _, config = init("train.csv", "--evaluate", "ood=other.csv")
    assert config["tasks"]["train"]["evaluate"] == ["test", "ood"]


@pytest.mark.parametrize("choice", ["other.csv", "=other.csv", "ood=", "train=other.csv", "test=other.csv"])
def test_an_evaluation_set_needs_a_name_of_its_own(folder, refused, choice):
    write_csv(folder / "other.csv", reviews())
    assert "expected: NAME=FILE, the name none of test, train" in refused("other.csv", "--evaluate", choice)


def test_doubtful_rows_are_counted(folder, init):
    columns = reviews(400)
    columns["text"][:4] = ["same text here"] * 4
    columns["label"][:4] = ["negative", "negative", "positive", "negative"]
    columns["text"][4], columns["label"][5], columns["label"][6] = "  ", "", "mixed"
    write_csv(folder / "rows.csv", columns)
    _, shown, _ = init("rows.csv")
    for warning in (
        "rows.csv: 1 rows have no label and will be refused",
        "rows.csv: 1 rows have an empty text and will be refused",
        "rows.csv: 3 rows repeat the text of another, 1 with another label",
        "rows.csv: 1 of 3 labels have fewer than a tenth of an even share, 133 rows: 'mixed' 1",
    ):
        assert f"warning: {warning}" in shown
    assert shown.count("warning") in (4, 5)  # the one row of 'mixed' lies in one part


def test_labels_of_another_file_that_the_task_lacks_are_named(folder, init):
    write_csv(folder / "rows.csv", reviews())
    write_csv(folder / "other.csv", {**reviews(), "label": ["pos", "neg"] * 150})
    _, shown, _ = init("rows.csv", "--evaluate", "ood=other.csv")
    assert "warning: ood: labels unknown to the task: neg, pos; map them by label_names" in shown


def test_too_few_rows_for_three_parts_are_noticed(folder, init):
    write_csv(folder / "rows.csv", reviews(8))
    _, shown, _ = init("rows.csv")
    assert "rows of fewer than two classes will be refused" in shown


@pytest.mark.parametrize(
    ("words", "length"),
    [
        # A token for four letters, and 3 special tokens.
        (40, 48),
        (1, 16),
        (1000, 512),
    ],
)
def test_the_length_covers_99_percent_of_the_rows(folder, init, words, length):
    texts = ["word " * words] * 99 + ["word " * 3000]
    labels = ["a", "b"] * 50
    write_csv(folder / "rows.csv", {"text": [text.strip() for text in texts], "label": labels})
    _, _, config = init("rows.csv")
    assert config["training"] == {"max_length": length}


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("хороший фильм", 16),  # 12 letters and 3 special tokens
        ("影片非常精彩我很喜欢它的结局", 24),  # 14 characters
        ("https://example.org/a?b=1", 24),  # 3 + 9 for letters by four, 9 for single characters
    ],
)
def test_other_scripts_and_addresses_have_more_tokens(folder, init, text, length):
    write_csv(folder / "rows.csv", {"text": [text] * 40, "label": ["a", "b"] * 20})
    _, shown, config = init("rows.csv")
    assert config["training"] == {"max_length": length} and "a guess" in shown


def test_a_tokenizer_at_hand_measures_the_rows(folder, init, encoder):
    write_csv(folder / "rows.csv", {"text": ["zz " * 20] * 40, "label": ["a", "b"] * 20})
    _, shown, config = init("rows.csv", "--reference", encoder)
    tokens = len(Tokenizer.from_file(str(encoder / "tokenizer.json")).encode("zz " * 20))
    assert tokens <= config["training"]["max_length"] < tokens + 8
    assert "measured: 100% of the rows fit" in shown


@pytest.mark.parametrize("name", ["отзывы.csv", "random.csv", "🙂.csv", "_.csv"])
def test_a_file_name_that_cannot_be_a_tasks_gives_way(folder, init, name):
    write_csv(folder / name, reviews())
    code, _, config = init(name)
    assert code == 0 and list(config["tasks"]) == ["data"]


def test_labels_that_differ_in_spelling_are_named_once(folder, init):
    write_csv(folder / "rows.csv", {**reviews(), "label": [" a", "A", "a", "b"] * 75})
    _, shown, _ = init("rows.csv")
    assert shown.count("differ only in white space or case: ' a', 'A', 'a'; make them one") == 1


def test_rows_without_a_gold_label_are_left_out(folder, init):
    write_csv(folder / "rows.csv", {**pairs(), "label": ["0", "1", "-1"] * 20})
    _, shown, config = init("rows.csv")
    task = config["tasks"]["rows"]
    assert task["labels"] == ["0", "1"] and "20 rows labelled -1, as the hub marks" in shown
    assert task["datasets"]["train"]["where"] == {"label": ["0", "1"]}
    spec = dataset_slice(resolve(config), "rows", "train")
    records, _ = sources.read(spec, "train", "rows.csv")
    assert set(records["label"].to_pylist()) == {"0", "1"}


def test_many_even_classes_are_nothing_to_warn_of(folder, init):
    labels = [f"intent {number}" for number in range(150)] * 10
    write_csv(folder / "rows.csv", {**reviews(1500), "label": labels})
    _, shown, config = init("rows.csv", "--label", "label")
    assert "warning" not in shown and "and 130 labels more" in shown
    assert config["tasks"]["rows"]["metric"] == "accuracy"


def test_uneven_classes_are_scored_by_macro_f1(folder, init):
    write_csv(folder / "rows.csv", {**reviews(), "label": ["a"] * 270 + ["b"] * 30})
    _, shown, config = init("rows.csv")
    assert config["tasks"]["rows"]["metric"] == "macro_f1"
    assert "macro_f1 (of 300 rows only 30 are 'b')" in shown


def test_a_set_that_is_only_evaluated_on_may_have_one_class(folder, init):
    write_csv(folder / "rows.csv", reviews())
    write_csv(folder / "check.csv", {**reviews(40), "label": ["negative"] * 40})
    assert "warning" not in init("rows.csv", "--evaluate", "check=check.csv")[1]


def test_a_folder_of_datasets_is_read(folder, init):
    Dataset.from_dict(reviews()).save_to_disk("saved")
    _, _, config = init("saved")
    assert config["tasks"]["saved"]["datasets"]["test"]["path"] == "saved"


def test_quoted_cells_and_other_encodings_are_recognised_or_told(folder, init, refused):
    columns = reviews()
    with open(folder / "rows.tsv", "w", encoding="utf-8", newline="") as file:
        rows = [columns, *zip(*columns.values(), strict=True)]
        csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL).writerows(rows)
    _, _, config = init("rows.tsv")
    assert config["tasks"]["rows"]["labels"] == ["negative", "positive"]
    assert config["tasks"]["rows"]["datasets"]["train"]["quoting"] is True
    (folder / "ftft.yaml").unlink()
    (folder / "old.csv").write_bytes(("text,label\n" + "un été,a\nun hiver,b\n" * 20).encode("cp1252"))
    assert "or --encoding of ftft init" in refused("old.csv")
    _, _, config = init("old.csv", "--encoding", "cp1252")
    assert config["tasks"]["old"]["datasets"]["train"]["encoding"] == "cp1252"


def test_a_column_of_lists_is_refused_in_the_words_of_the_workflow(folder, refused):
    write_jsonl(folder / "rows.jsonl", {**reviews(20), "label": [["a", "b"], ["b"]] * 10})
    message = refused("rows.jsonl", "--kind", "classification", "--label", "label")
    assert "a list in column 'label', not text" in message


def test_encoders_come_from_the_hub_or_a_folder(folder, init):
    write_csv(folder / "rows.csv", reviews())
    (folder / "tiny").mkdir()
    _, _, config = init("rows.csv", "--reference", "tiny", "--main", f"owner/name@{COMMIT}")
    assert config["models"] == {
        "small": {"source": "folder", "path": "tiny"},
        "large": {"source": "hub", "id": "owner/name", "revision": COMMIT},
    }


@pytest.mark.parametrize("choice", ["owner/name", "owner/name@main", "absent-folder"])
def test_an_encoder_that_is_not_pinned_is_refused(folder, refused, choice):
    write_csv(folder / "rows.csv", reviews())
    message = refused("rows.csv", "--main", choice)
    assert f"cannot use the encoder {choice}" in message
    assert "owner/name@COMMIT" in message


def test_an_output_that_exists_is_left_alone(folder, init, capsys):
    write_csv(folder / "rows.csv", reviews())
    (folder / "ftft.yaml").write_text("mine: true\n")
    code, _, config = init("rows.csv")
    assert (code, config) == (1, {"mine": True})
    assert main(["init", "rows.csv"]) == 1
    assert "ftft.yaml exists and is left as it is" in capsys.readouterr().err
    assert main(["init", "rows.csv", "--output", "other.yaml"]) == 0
    assert resolve(yaml.safe_load((folder / "other.yaml").read_text()))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.txt", "text,label\na,b\n", "cannot tell the format of rows.txt"),
        ("rows.csv", "text,label\n", "rows.csv has no rows"),
        ("rows.csv", 'text,label\n"open,b\n', "are all quotes closed and doubled?"),
        ("rows.csv", "text,label\na b c,x\nd e f,x\n", "no column looks like the label"),
        ("absent.csv", None, "there is no file absent.csv"),
        ("{x}.csv", FOUR_ROWS, "Snakemake reads the braces"),
    ],
)
def test_files_that_cannot_be_used_are_refused(folder, refused, name, text, message):
    if text is not None:
        (folder / name).write_text(text, encoding="utf-8")
    assert message in refused(name)


def test_a_label_column_of_one_value_is_refused(folder, refused):
    write_csv(folder / "rows.csv", {**reviews(), "label": ["x"] * 300})
    assert "has fewer than two values\n  got: x" in refused("rows.csv", "--label", "label")


def test_odd_names_and_labels_survive_yaml(folder, init):
    columns = reviews()
    labels = ["no", "yes: #1"]
    name = "a: b, 'c' #d.csv"
    write_csv(folder / name, {"1": columns["text"], "on": [labels[row % 2] for row in range(300)]})
    _, _, config = init(name, "--label", "on", "--text", "1", "--task", "123")
    task = config["tasks"]["123"]
    assert (task["labels"], task["text"], task["label"]) == (labels, ["1"], "on")
    assert task["datasets"]["train"]["path"] == name


def test_the_documented_ten_lines_are_those_that_init_writes_and_a_table(folder, init):
    text = (PRESET.parents[1] / "docs" / "your-own-data.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(block.splitlines()) == 10
    write_csv(folder / "reviews.csv", reviews())
    _, _, written = init("reviews.csv")
    written.pop("training")
    written["tables"] = (documented := yaml.safe_load(block))["tables"]
    assert resolve(documented).model_copy(update={"tasks": {}}) == resolve(written).model_copy(
        update={"tasks": {}}
    )
    for name in ("train", "validation", "test"):
        slices = [dataset_slice(resolve(config), "reviews", name) for config in (documented, written)]
        assert slices[0] == slices[1]


def test_the_command_imports_no_torch(folder):
    write_csv(folder / "rows.csv", reviews(30))
    code = (
        "import sys; from ftft.cli import main; main(['init', 'rows.csv']); "
        "sys.exit(not {'torch', 'transformers', 'datasets'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def of_kind(kind, rows=40):
    """Columns of lists, numbers and choices, as a file of JSON lines holds them."""
    text = [f"a text of some words {row}" for row in range(rows)]
    match kind:
        case "token_classification":
            tags = [["B-PER", "I-PER", "O"] if row % 2 else ["O", "B-LOC", "O"] for row in range(rows)]
            words = [["ann", f"lee{row}", "is"] for row in range(rows)]
            return {"tokens": words, "pos": [["N", "N", "V"]] * rows, "ner_tags": tags}
        case "multilabel":
            return {"text": text, "labels": [["joy", "fear"][: row % 3] for row in range(rows)]}
        case "label columns":
            return {"text": text, "toxic": [row % 2 for row in range(rows)], "rude": [0, 1] * (rows // 2)}
        case "regression":
            return {"text_a": text, "text_b": text[::-1], "score": [row / 8 for row in range(rows)]}
        case "multiple_choice":
            choices = [["a town", f"a name {row}", "a day"] for row in range(rows)]
            return {"question": text, "choices": choices, "answer": [row % 3 for row in range(rows)]}
        case "question_answering":
            answers = [{"text": ["words"][: row % 3], "answer_start": [15][: row % 3]} for row in range(rows)]
            return {"question": [f"which {row}" for row in range(rows)], "context": text, "answers": answers}
        case "answers and starts":
            starts = [[15][: row % 3] for row in range(rows)]
            answers = [["words"][: row % 3] for row in range(rows)]
            return {
                "query": [f"which {row}" for row in range(rows)],
                "passage": text,
                "starts": starts,
                "answers": answers,
            }
        case "choice columns":
            columns = {letter: [f"{letter} {row}" for row in range(rows)] for letter in "ABC"}
            return {"question": text, **columns, "answer": ["ABC"[row % 3] for row in range(rows)]}


@pytest.mark.parametrize(
    ("kind", "task", "said"),
    [
        (
            "token_classification",
            {"labels": ["LOC", "PER"], "metric": "entity_f1", "text": ["tokens"], "label": "ner_tags"},
            "lists of tags, one for every word",
        ),
        (
            "multilabel",
            {"labels": ["fear", "joy"], "metric": "macro_f1", "text": ["text"], "label": "labels"},
            "lists of labels",
        ),
        (
            "label columns",
            {"kind": "multilabel", "labels": ["toxic", "rude"], "label_columns": ["toxic", "rude"]},
            "columns of 0 and 1",
        ),
        (
            "regression",
            {"metric": "spearman", "text": ["text_a", "text_b"], "label": "score"},
            "numbers from 0 to 4.875",
        ),
        (
            "multiple_choice",
            {"metric": "accuracy", "text": ["question"], "choices": ["choices"], "label": "answer"},
            "which of the row's choices is right",
        ),
        (
            "question_answering",
            {"metric": "span_f1", "text": ["question", "context"], "label": "answers"},
            "answers with their places in context",
        ),
        (
            "answers and starts",
            {
                "kind": "question_answering",
                "text": ["query", "passage"],
                "label": "answers",
                "answer_starts": "starts",
            },
            "answers with their places in passage",
        ),
        (
            "choice columns",
            {"kind": "multiple_choice", "choices": ["A", "B", "C"], "label": "answer"},
            "which of the row's choices is right",
        ),
    ],
)
def test_the_kind_of_task_is_told_from_the_values_and_said(capsys, kind, task, said):
    write_jsonl(Path("rows.jsonl"), of_kind(kind))
    assert main(["init", "rows.jsonl"]) == 0
    shown = capsys.readouterr().out
    found = yaml.safe_load(Path("ftft.yaml").read_text())["tasks"]["rows"]
    expected = {"kind": kind, **task}
    assert {key: found[key] for key in expected} == expected
    assert said in shown and f"kind        {expected['kind']} (another: --kind)" in shown
    config = resolve(yaml.safe_load(Path("ftft.yaml").read_text()))
    for name in ("train", "validation", "test"):
        spec = dataset_slice(config, "rows", name)
        records, provenance = sources.read(spec, name, "rows.jsonl")
        assert len(prepare(records, spec, name, provenance)) == records.num_rows


@pytest.mark.parametrize("indent", [None, 1])
def test_squads_own_file_is_read_as_questions(capsys, indent):
    def questions(number):
        answers = [{"text": "words", "answer_start": 15}] if number % 2 else []
        return [{"id": f"q{number}", "question": "which", "answers": answers, "is_impossible": not answers}]

    paragraphs = [{"context": f"a text of some words {row}", "qas": questions(row)} for row in range(40)]
    document = {"version": "v2.0", "data": [{"title": "an article", "paragraphs": paragraphs}]}
    Path("squad.json").write_text(json.dumps(document, indent=indent))
    assert main(["init", "squad.json"]) == 0
    task = yaml.safe_load(Path("ftft.yaml").read_text())["tasks"]["squad"]
    assert (task["kind"], task["uid"]) == ("question_answering", "id")
    spec = dataset_slice(resolve(yaml.safe_load(Path("ftft.yaml").read_text())), "squad", "train")
    records, provenance = sources.read(spec, "train", "squad.json")
    dataset = prepare(records, spec, "train", provenance)
    held = {(text, start) for own in dataset.labels for text, start in zip(*own.values(), strict=True)}
    assert held == {("words", 15)} and any(not own["texts"] for own in dataset.labels)


def instructions(form, rows=40):
    asked = [f"please do this task number {row}" for row in range(rows)]
    answers = [f"this is answer {row}" for row in range(rows)]
    match form:
        case "prompt and response":
            return {"prompt": asked, "response": answers}
        case "alpaca":
            inputs = ["" if row % 2 else f"some input {row}" for row in range(rows)]
            return {"instruction": asked, "input": inputs, "output": answers}
        case "messages" | "sharegpt":
            keys = ("role", "content") if form == "messages" else ("from", "value")
            names = ("user", "assistant") if form == "messages" else ("human", "gpt")
            turns = [list(zip(names, pair, strict=True)) for pair in zip(asked, answers, strict=True)]
            column = "messages" if form == "messages" else "conversations"
            return {column: [[dict(zip(keys, turn, strict=True)) for turn in own] for own in turns]}


@pytest.mark.parametrize(
    ("form", "text", "label"),
    [
        ("prompt and response", ["prompt"], "response"),
        ("alpaca", ["instruction", "input"], "output"),
        ("messages", ["messages"], "messages"),
        ("sharegpt", ["conversations"], "conversations"),
    ],
)
def test_files_of_instructions_are_recognised(capsys, form, text, label):
    write_jsonl(Path("rows.jsonl"), instructions(form))
    models = ["--reference", "small", "--main", "large"]
    for folder in models[1::2]:
        Path(folder).mkdir()
    assert main(["init", "rows.jsonl"]) == 1
    assert "knows no language models" in capsys.readouterr().err
    assert main(["init", "rows.jsonl", *models]) == 0
    assert "warning" not in capsys.readouterr().out
    made = yaml.safe_load(Path("ftft.yaml").read_text())
    task = made["tasks"]["rows"]
    assert (task["kind"], task["text"], task["label"]) == ("generation", text, label)
    assert made["finetune"]["rows"]["selector"] == "ambiguous_within_difficulty"
    config = resolve(made)
    for name in ("train", "validation", "test"):
        spec = dataset_slice(config, "rows", name)
        records, provenance = sources.read(spec, name, "rows.jsonl")
        dataset = prepare(records, spec, name, provenance)
        assert len(dataset) == records.num_rows
        assert all(response.startswith("this is answer") for response in dataset.labels)


def test_whole_numbers_are_classes_unless_asked_to_be_numbers(capsys):
    columns = {
        "text": [f"a review of words {row}" for row in range(40)],
        "label": [row % 5 for row in range(40)],
    }
    write_jsonl(Path("stars.jsonl"), columns)
    assert main(["init", "stars.jsonl"]) == 0
    assert "kind" not in yaml.safe_load(Path("ftft.yaml").read_text())["tasks"]["stars"]
    assert main(["init", "stars.jsonl", "--kind", "regression", "--output", "numbers.yaml"]) == 0
    assert yaml.safe_load(Path("numbers.yaml").read_text())["tasks"]["stars"]["kind"] == "regression"
    assert main(["init", "stars.jsonl", "--kind", "token_classification", "--output", "tags.yaml"]) == 1
    assert "no columns of a task of the kind 'token_classification'" in capsys.readouterr().err


def test_a_group_keeps_its_rows_together_where_one_file_is_split(capsys):
    columns = pairs(90)
    columns["premise"] = [f"a long enough premise {row // 3}" for row in range(90)]
    write_csv(Path("nli.csv"), columns)
    assert main(["init", "nli.csv"]) == 0
    assert "60 rows repeat the premise of another; --group premise keeps" in capsys.readouterr().out
    assert main(["init", "nli.csv", "--group", "premise", "--output", "grouped.yaml"]) == 0
    assert "--group" not in capsys.readouterr().out.replace("grouped", "")
    config = resolve(yaml.safe_load(Path("grouped.yaml").read_text()))
    premises = {}
    for name in ("train", "validation", "test"):
        spec = dataset_slice(config, "nli", name)
        records, provenance = sources.read(spec, name, "nli.csv")
        premises[name] = set(prepare(records, spec, name, provenance).group)
    assert sum(map(len, premises.values())) == len(set.union(*premises.values())) == 30


def test_numbers_of_tags_are_named_as_the_datasets_library_says(capsys):
    columns = of_kind("token_classification")
    names = ["O", "B-PER", "I-PER", "B-LOC"]
    columns["ner_tags"] = [[names.index(tag) for tag in own] for own in columns["ner_tags"]]
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}
    about = {b"huggingface": json.dumps({"info": {"features": {"ner_tags": feature}}}).encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata(about), "tagged.parquet")
    assert main(["init", "tagged.parquet"]) == 0
    config = resolve(yaml.safe_load(Path("ftft.yaml").read_text()))
    assert config.tasks["tagged"].labels == ("LOC", "PER")
    spec = dataset_slice(config, "tagged", "train")
    records, provenance = sources.read(spec, "train", "tagged.parquet")
    counts = prepare(records, spec, "train", provenance).label_counts()
    assert counts["B-PER"] == counts["I-PER"] > 0 and counts["I-LOC"] == 0
