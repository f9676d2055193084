"""Every data set entry that ships, or stands in config/README.md, reads the data set in its published form.

Made-up files have the published columns and quoting, and rows that say where they belong and what
their label is. Real rows are read where they are at hand, also written back to the published forms.
"""

import json
import re
from itertools import product
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from published_forms import HSD, LEVELS, NLI, ROWS, make_up, write_anli, write_cad, write_dynahate, write_glue

from ftft.artifacts import read_json
from ftft.data import sources
from ftft.data.checks import check_task
from ftft.paper.cad import SPLITS
from ftft.pipeline import parameters as slices
from ftft.pipeline.config import resolve
from ftft.tasks.prepare import prepare

ROOT = Path(__file__).parents[2]
# What a data set's name and its rows must agree on.
PART = re.compile(r"r\d|original|perturbation|train|validation|dev|test")
# Rows of the real files that are whole.
SIZES = {"mnli_validation_matched": 9815, "anli_r1": 1000, "anli_r2": 1000, "anli_r3": 1200}


def shipped_tasks():
    files = {path.stem: path.read_text() for path in sorted(ROOT.glob("config/**/*.yaml"))}
    files["README"] = re.search(r"```yaml\n(tasks:.*?)```", (ROOT / "config/README.md").read_text(), re.S)[1]
    for stem, text in files.items():
        for name, task in yaml.safe_load(text).get("tasks", {}).items():
            first, *rest = task["datasets"]
            # The README's tasks are data sets alone.
            roles = {"train": first, "validation": rest[0], "dev": rest, "evaluate": rest}
            yield f"{stem}-{name}", {**roles, **task}


TASKS = dict(shipped_tasks())


def load(task, paths):
    """The task's settled configuration, and its data sets as the workflow prepares them."""
    tiny = yaml.safe_load((ROOT / "tests/config/tiny.yaml").read_text())
    table = {"task": "task", "rows": [{"method": "ERM", "main": "small"}]}
    config = resolve({**tiny, "tasks": {"task": task}, "tables": {"table1": table}})
    datasets = {}
    for name, path in paths.items():
        spec = slices.dataset_slice(config, "task", name)
        spec |= {"rows": min(spec["rows"], 60)} if spec["source"] == "demo" else {}
        rows, provenance = sources.read(spec, name, path)
        datasets[name] = prepare(rows, spec, name, provenance)
    return config.tasks["task"], datasets


def found_in_training(task, datasets, folder):
    """How many training instances reappear in each other data set that the task uses."""
    names = task.used_datasets
    for name in names:
        datasets[name].save(folder / name)
    spec = {"train": task.train, "datasets": names, "leakage": "warn", "near_duplicates": 0.8}
    outputs = {"report": folder / "report.json", "repeats": folder / "repeats.parquet"}
    check_task(spec, [folder / name for name in names], outputs)
    report = read_json(folder / "report.json")
    return {name: report[name]["found_in_training"] for name in names if name != task.train}


def expected_rows(spec):
    rows = {"demo": min(spec.get("rows", 0), 60), "file": ROWS, "hub": ROWS, "cad": 10 * ROWS}[spec["source"]]
    if spec["source"] == "cad" and spec.get("preparation") != "official":
        rows *= {"train": 2.4, "validation": 0.3, "test": 0.3}[spec["split"]]  # of three splits pooled
    return min(spec.get("max_rows", rows), rows)


# The published forms are those of labelled texts; the other kinds' examples read real rows alone.
LABELLED = [name for name, task in TASKS.items() if "kind" not in task]


@pytest.mark.parametrize("task", LABELLED)
def test_an_entry_reads_the_rows_that_its_name_promises(task, tmp_path, monkeypatch):
    work = tmp_path / "some" / "where"  # paths may begin with ../
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    entries = TASKS[task]["datasets"]
    labels = TASKS[task]["labels"]
    paths = {name: make_up(name, {**entry, "labels": labels}) for name, entry in entries.items()}
    settled, datasets = load(TASKS[task], paths)
    texts = {}
    for name, dataset in datasets.items():
        spec = settled.datasets[name].dump()
        assert len(dataset) == expected_rows(spec), name
        assert set(dataset.labels) == set(range(len(settled.labels))), name
        texts[name] = set(zip(*dataset.texts, strict=True))
        if spec["source"] == "demo":
            continue
        for text, label in zip(dataset.texts[0], dataset.labels, strict=True):
            assert text.endswith(f" means {settled.labels[label]}"), name
            part = text.split(", row")[0] if spec["source"] != "cad" else spec["split"]
            assert set(PART.findall(part)) <= set(PART.findall(name)), name
    assert set(found_in_training(settled, datasets, tmp_path).values()) <= {0}
    assert len(set().union(*texts.values())) == sum(map(len, texts.values()))


REAL = [name for name, task in TASKS.items() if "shared/data/" in json.dumps(task)]


@pytest.mark.real_data
@pytest.mark.parametrize("task", REAL)
def test_an_entry_fits_the_real_rows(task, real_data, tmp_path, monkeypatch):
    # The paths start beside the folder that holds the data.
    monkeypatch.chdir(real_data.parent)
    paths = {name: entry["path"] for name, entry in TASKS[task]["datasets"].items()}
    settled, datasets = load(TASKS[task], paths)
    for name, dataset in datasets.items():
        rows = dataset.provenance["steps"][0]["rows"]
        whole = next((size for stem, size in SIZES.items() if Path(paths[name]).stem.startswith(stem)), rows)
        in_file = pq.read_metadata(paths[name]).num_rows if paths[name].endswith(".parquet") else rows
        assert rows == whole == in_file > 0, name
        if settled.datasets[name].share is None:
            assert len(dataset) == min(rows, settled.datasets[name].max_rows or rows), name
        if task in LABELLED:
            assert set(dataset.labels) == set(range(len(settled.labels))), name
    seen = {name: set(map(folded, zip(*dataset.texts, strict=True))) for name, dataset in datasets.items()}
    train = seen.pop(settled.train)
    overlap = {name: len(train & texts) for name, texts in seen.items()}
    assert set(overlap.values()) == {0}


def folded(texts):
    return tuple(" ".join(str(text).casefold().split()) for text in texts)


def real_rows(folder, **renamed):
    """The real rows of a file, with the names that the writers above use."""
    rows = pq.read_table(folder).to_pylist()
    return [{**row, **{name: row[column] for name, column in renamed.items()}} for row in rows]


def read_back(path, labels, text, **spec):
    form = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl"}[path.suffix]
    spec = {"source": "file", "format": form, "label": "label", "labels": labels, "text": text, **spec}
    rows, provenance = sources.read(spec, "real", path)
    return prepare(rows, spec, "real", provenance)


def agree(dataset, rows, columns):
    """Whether texts and labels are those of `rows`, in order; a difference shows no text."""
    labels = [dataset.label_names[label] for label in dataset.labels]
    texts = all(
        list(read) == [row[column] for row in rows]
        for read, column in zip(dataset.texts, columns, strict=True)
    )
    return len(rows) > 0 and labels == [row["label"] for row in rows] and texts


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("stem", "name"), [("train", "mnli_train"), ("dev_matched", "mnli_validation_matched")]
)
def test_real_rows_survive_glues_form(stem, name, real_data, tmp_path):
    rows = real_rows(real_data / f"nli/{name}.parquet")
    path = tmp_path / f"{stem}.tsv"
    write_glue(path, rows)
    dataset = read_back(path, NLI, ["sentence1", "sentence2"], label="gold_label", uid="index")
    same = agree(dataset, rows, ["premise", "hypothesis"])
    assert same


@pytest.mark.real_data
@pytest.mark.parametrize("part", [f"r{number}_{split}" for number in (1, 2, 3) for split in ("dev", "test")])
def test_real_rows_survive_anlis_form(part, real_data, tmp_path):
    rows = real_rows(real_data / f"nli/anli_{part}.parquet")
    path = tmp_path / "rows.jsonl"
    write_anli(path, rows)
    names = {label[0]: label for label in NLI}
    dataset = read_back(path, NLI, ["context", "hypothesis"], uid="uid", label_names=names)
    same = agree(dataset, rows, ["premise", "hypothesis"])
    assert same and dataset.uids == [row["uid"] for row in rows]


@pytest.mark.real_data
def test_real_rows_survive_dynahates_one_file(real_data, tmp_path):
    files = sorted((real_data / "hsd").glob("dynahate_r*.parquet"))
    rows = {path.stem: real_rows(path, level="type") for path in files}
    rows = {name: [{**row, "round": row["round"][1:]} for row in part] for name, part in rows.items()}
    path = tmp_path / "dynahate.csv"
    write_dynahate(path, [row for part in rows.values() for row in part])
    for number, level, split in product("234", LEVELS, ("dev", "test")):
        where = {"round.base": int(number), "level": level, "split": split}
        names = {"hate": "hateful", "nothate": "not_hateful"}
        dataset = read_back(path, HSD, ["text"], uid="acl.id", label_names=names, where=where)
        part = rows[f"dynahate_r{number}_{level}_{split}"]
        same = agree(dataset, part, ["text"])
        assert same and dataset.uids == [row["uid"] for row in part], where


def real_cad(folder, split):
    return real_rows(folder / f"hsd/cad_{split}.parquet", labels="labels_raw")


@pytest.fixture(scope="module")
def cad_file(real_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("cad") / "cad_v1_1.tsv"
    parts = {split: real_cad(real_data, split) for split in ("train", "validation")}
    write_cad(path, [{**row, "split": SPLITS[split]} for split, rows in parts.items() for row in rows])
    return path


def read_cad(path, split, preparation):
    spec = {"source": "cad", "split": split, "preparation": preparation, "labels": HSD}
    spec |= {"text": ["text"], "label": "label", "uid": "uid"}
    rows, provenance = sources.read(spec, "cad", path)
    return prepare(rows, spec, "cad", provenance)


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["train", "validation"])
def test_cads_official_split_has_the_official_labels(cad_file, real_data, split):
    rows = real_cad(real_data, split)
    dataset = read_cad(cad_file, split, "official")
    same = agree(dataset, rows, ["text"])
    assert same and dataset.uids == [row["uid"] for row in rows]


@pytest.mark.real_data
def test_cads_pooled_preparation_keeps_its_promises(cad_file, real_data):
    splits = {split: read_cad(cad_file, split, "ramponi-tonelli") for split in SPLITS}
    total = sum(map(len, splits.values()))
    shares = {split: len(dataset) / total for split, dataset in splits.items()}
    assert shares == pytest.approx({"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.001)
    hateful = [dataset.labels.mean() for dataset in splits.values()]
    assert max(hateful) - min(hateful) < 0.01
    texts = [text for dataset in splits.values() for text in dataset.texts[0]]
    distinct_texts, uids = len(set(texts)), {uid for dataset in splits.values() for uid in dataset.uids}
    assert distinct_texts == len(uids) == total
    unclean = re.compile(r"[A-Z]|https?://|/[ur]/\w|&amp;|\[linebreak\]")
    left = sum(bool(unclean.search(re.sub(r"\[(URL|USER|EMAIL)\]", "", text))) for text in texts)
    assert left == 0
    read, used, own, written, posts, distinct, kept = (
        step["rows"] for step in splits["train"].provenance["steps"]
    )
    assert read == used > own == written > posts > distinct == total > kept == len(splits["train"])
    parts = [real_cad(real_data, split) for split in ("train", "validation")]
    assert used - own == sum("CounterSpeech" in row["labels"] for part in parts for row in part)
