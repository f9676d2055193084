"""Faults of configuration and data: one clear message, exit code not 0, no traceback, no training."""

import csv

import pytest
import yaml

from ftft.artifacts import Provenance, read_stamp, working
from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.data.dataset import Dataset
from ftft.tasks.base import kind_of

HEADER = ["uid", "premise", "hypothesis", "label"]
LABELS = ["entailment", "neutral", "contradiction"]
GOOD_ROWS = [[f"u{i}", f"premise {i}", f"hypothesis {i}", LABELS[i % 3]] for i in range(12)]


def edited(change):
    rows = [list(row) for row in GOOD_ROWS]
    return change(rows) or rows


def set_cell(row, column, value):
    def change(rows):
        rows[row][HEADER.index(column)] = value

    return change


def one_class(rows):
    for row in rows:
        row[3] = "neutral"


BAD_DATA = {
    "unknown label": (HEADER, set_cell(2, "label", "maybe"), ["unknown or missing labels", "'maybe'"]),
    "empty label": (HEADER, set_cell(2, "label", ""), ["unknown or missing labels"]),
    "duplicate uid": (HEADER, set_cell(2, "uid", "u1"), ["duplicate or missing uids", "'u1'"]),
    "empty text": (HEADER, set_cell(2, "premise", " "), ["empty texts", "'premise'"]),
    "one class": (HEADER, one_class, ["one class only"]),
    "no rows": (HEADER, lambda rows: rows.clear() or [], ["is empty"]),
    "missing column": (
        ["uid", "premise", "text", "label"],
        lambda rows: None,
        ["lacks the column(s) hypothesis"],
    ),
}


def assert_refused(run, workflow, texts):
    assert run.returncode != 0
    for text in texts:
        assert text in run.stdout, run.stdout
    assert "Traceback" not in run.stdout, run.stdout
    assert not (workflow.folder / "logs/train").exists()


def train_on_csv(workflow, header, rows):
    path = workflow.folder / "train.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    config = workflow.config()
    config["tasks"]["demo"]["datasets"]["train"] = {"source": "file", "path": "train.csv"}
    workflow.write_config(config)


@pytest.mark.parametrize("fault", BAD_DATA)
def test_bad_training_data(fresh, fault):
    header, change, texts = BAD_DATA[fault]
    train_on_csv(fresh, header, edited(change))
    run = fresh.snakemake("--", "results/data/demo/train.parquet")
    assert_refused(run, fresh, ["DataError", "'train'", *texts])


def test_bad_evaluation_data_stops_before_any_training(fresh):
    config = fresh.config()
    (fresh.folder / "test.jsonl").write_text('{"premise": "a", "hypothesis": "b"}\n')
    config["tasks"]["demo"]["datasets"]["r3_test"] = {"source": "file", "path": "test.jsonl"}
    fresh.write_config(config)
    # As the profiles for clusters do, which keep going and have more to do than data.
    run = fresh.snakemake("--cores", "4", "--keep-going")
    assert_refused(run, fresh, ["'r3_test' lacks the column(s) label, uid"])


@pytest.mark.long
def test_refused_leakage_stops_before_any_training(fresh):
    config = fresh.config()
    train_on_csv(fresh, HEADER, GOOD_ROWS)
    task = {**config["tasks"]["demo"], "datasets": dict(config["tasks"]["demo"]["datasets"])}
    task["datasets"]["train"] = task["datasets"]["r3_test"] = {"source": "file", "path": "train.csv"}
    fresh.write_config({**config, "tasks": {"demo": task}, "checks": {"leakage": "refuse"}})
    assert_refused(fresh.snakemake(), fresh, ["training instances reappear", "12 in r3_test"])


BAD_CONFIG = {
    "fraction of 0": (lambda c: c.update(selection={"fraction": 0}), ["selection.fraction", "above 0"]),
    "fraction above 1": (
        lambda c: c.update(selection={"fraction": 1.5}),
        ["selection.fraction", "at most 1"],
    ),
    "unknown model": (
        lambda c: c["tables"]["table1"]["rows"][0].update(main="lrage"),
        ["'lrage'", "did you mean 'large'?"],
    ),
    "unknown key": (lambda c: c["training"].update(epohcs=3), ["'epohcs'", "did you mean 'epochs'?"]),
    "number as text": (
        lambda c: c["training"].update(learning_rate="1e-5"),
        ["training.learning_rate", "write 1.0e-5"],
    ),
    "missing file": (
        lambda c: c["tasks"]["demo"]["datasets"].update(train={"source": "file", "path": "no.csv"}),
        ["there is no file 'no.csv'"],
    ),
}


@pytest.mark.parametrize("fault", BAD_CONFIG)
def test_bad_configuration(fresh, fault):
    change, texts = BAD_CONFIG[fault]
    fresh.edit(change)
    assert_refused(fresh.snakemake("--dry-run"), fresh, ["The configuration has 1 fault", *texts])
    assert not (fresh.folder / "results").exists()


# Text that goes before that of a valid configuration file, and what the message must hold.
BAD_FILE = {
    "key twice": ("seeds: [1]\n", ["the key 'seeds' stands twice: in lines 1 and"]),
    "program": (
        "__use_yte__: true\n",
        ["'__use_yte__', by which Snakemake runs", "find out what it did"],
    ),
    "Python's type": ("checks: {leakage: !!python/name:len }\n", ["python/name:len", "plain YAML or JSON"]),
    "tab": ("checks:\n\tleakage: warn\n", ["not valid JSON or YAML", "tab indentation"]),
    "list": ("- seeds\n---\n", ["not valid JSON or YAML"]),
    "anchor in itself": ("checks: {leakage: &a [*a]}\n", ["checks.leakage[0]: an anchor that holds itself"]),
    "branch": (
        "models: {m: {source: hub, id: a/b, revision: main}}\n",
        ["models.m.revision: got 'main', expected a commit"],
    ),
    "name that climbs": (
        "tables: {../../x: {task: demo, rows: [{method: ERM, main: large}]}}\n",
        ["tables: the name '../../x' may hold letters"],
    ),
    "address": ("models: {m: {source: folder, path: 'https://x/y'}}\n", ["there is no folder 'https://x/y'"]),
}


def files(folder):
    """All in the folder but Snakemake's own and Python's."""
    return {path for path in folder.rglob("*") if not {".snakemake", "__pycache__"} & set(path.parts)}


@pytest.mark.parametrize("fault", BAD_FILE)
def test_bad_configuration_file(fresh, fault):
    text, words = BAD_FILE[fault]
    key = text.partition(":")[0]
    config = {name: value for name, value in fresh.config().items() if name != key or fault == "key twice"}
    fresh.config_file.write_text(text + yaml.safe_dump(config, sort_keys=False))
    before = files(fresh.folder)
    assert_refused(fresh.snakemake(), fresh, words)
    assert files(fresh.folder) == before


BAD_FILES_OF_DATA = {
    "train.csv": ("premise,label\ncafé,neutral\n".encode("latin-1"), ["decode byte 0xe9"]),
    "train.tsv": (b"premise\tuid\tlabel\tuid\na\tu0\tneutral\tu0\n", ["2 columns are named 'uid'"]),
    "train.jsonl": (
        b'{"premise": "a", "hypothesis": "b", "label": "neutral"}\n'
        b'{"premise": ["a"], "hypothesis": "b", "label": "neutral"}\n',
        ["row 2: a list"],
    ),
    "train.parquet": (b"PAR1 and no more", ["cannot be read", "a parquet file"]),
    "train.arrow": (b"", ["cannot be read", "a arrow file"]),
}


@pytest.mark.parametrize("name", BAD_FILES_OF_DATA)
def test_bad_file_of_data(fresh, name):
    content, words = BAD_FILES_OF_DATA[name]
    (fresh.folder / name).write_bytes(content)
    fresh.edit(
        lambda config: config["tasks"]["demo"]["datasets"].update(train={"source": "file", "path": name})
    )
    run = fresh.snakemake("--", "results/data/demo/train.parquet")
    assert_refused(run, fresh, ["DataError", "'train' cannot be read from", *words])
    assert run.stdout.count("DataError") == 1
    assert not [path for path in fresh.folder.glob("results/**/*") if path.is_file()]


def test_unknown_encoder_is_named(fresh):
    config = fresh.config()
    config["models"]["small"] = {"source": "package", "package": "no_such_package"}
    fresh.write_config(config)
    run = fresh.snakemake("--", "results/encoders/demo/small/config.json")
    assert_refused(run, fresh, ["ModelError", "'no_such_package' is not installed"])


def test_dynamics_that_are_not_numbers_make_no_map(copied):
    path = copied.folder / "results/runs/demo/small/all/full/seed0/dynamics.parquet"
    dataset = Dataset.load(copied.folder / "results/data/demo/train.parquet")
    epochs = load_dynamics(path, dataset).logits.copy()
    epochs[1][7] = float("nan")
    stamp = read_stamp(path)
    with working(Provenance(stamp["slice"], stamp["code"], inputs=stamp["inputs"])):
        save_dynamics(path, kind_of("classification"), list(epochs), dataset, {})
    run = copied.snakemake("--", "results/maps/demo/small/seed0.parquet")
    assert run.returncode != 0
    assert f"first at epoch 1, instance {dataset.uids[7]}" in run.stdout
    assert "are not finite" in run.stdout and "Traceback" not in run.stdout


@pytest.mark.long
def test_a_failed_reference_stops_before_the_main_training_or_is_marked(copied):
    def fails(config):
        config["models"]["small"]["training"] = {"learning_rate": 50.0, "max_grad_norm": 1000.0}
        config["checks"] = {"failed_reference": "refuse"}

    copied.edit(fails)
    for target in ("results/runs/demo/large/small-ambiguous-33/full/seed0/ledger.json", "paper"):
        run = copied.snakemake("--", target)
        assert run.returncode != 0 and "Traceback" not in run.stdout
        assert "the reference run of small, seed 0, has failed: its data map says nothing" in run.stdout
    copied.edit(lambda config: config["checks"].update(failed_reference="mark"))
    run = copied.snakemake("--", "results/tables/table1.csv")
    assert run.returncode == 0, run.stdout
    with open(copied.folder / "results/tables/table1.csv", newline="") as file:
        failed = {row["reference"]: (row["runs"], row["failed"]) for row in csv.DictReader(file)}
    assert failed["small"] == ("0", "1") and failed["random"] == ("1", "0")


SUPERVISION = "results/supervisions/demo/small-ambiguous-33/seed0.parquet"


def test_a_torn_artifact_is_made_again(copied):
    path = copied.folder / SUPERVISION
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    run = copied.snakemake("--", SUPERVISION)
    assert run.returncode == 0, run.stdout
    assert path.read_bytes() == whole


def test_a_damaged_artifact_is_named_with_its_cure(copied):
    path = copied.folder / SUPERVISION
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + bytes([whole[8] ^ 1]) + whole[9:])
    run = copied.snakemake("--", "results/runs/demo/large/small-ambiguous-33/full/seed0/ledger.json")
    assert run.returncode != 0
    assert "is damaged or was edited" in run.stdout and "let snakemake make it again" in run.stdout
    assert "Traceback" not in run.stdout
