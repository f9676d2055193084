"""Hub data sets, offline, from a cache laid out as the hub client lays it."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

GLUE, ANLI, PLAIN, SHARDS = "1" * 40, "2" * 40, "3" * 40, "4" * 40
LABELS = ["entailment", "neutral", "contradiction"]
# The header of a card as the hub's conversion to Parquet writes it; its counts cover all splits.
GLUE_CARD = """\
---
license: other
dataset_info:
- config_name: mnli
  features:
  - name: premise
    dtype: string
  splits:
  - name: train
    num_bytes: 74619646
    num_examples: 392702
configs:
- config_name: ax
  data_files:
  - split: test
    path: ax/test-*
- config_name: mnli
  data_files:
  - split: train
    path: mnli/train-*
  - split: validation_matched
    path: mnli/validation_matched-*
  - split: test_matched
    path: mnli/test_matched-*
---
# GLUE
"""
ANLI_CARD = """\
---
license: cc-by-nc-4.0
dataset_info:
  config_name: plain_text
  splits:
  - name: dev_r1
    num_examples: 1000
  - name: test_r1
    num_examples: 1000
configs:
- config_name: plain_text
  data_files:
  - split: dev_r1
    path: plain_text/dev_r1-*
  - split: test_r1
    path: plain_text/test_r1-*
---
"""
SHARDS_CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: [new/*, old/train.csv]
---
"""


def pairs(split, labels):
    """Rows as a hub data set has them: class labels are numbers, their names are in the metadata."""
    columns = {
        "premise": [f"{split} premise {row}" for row in range(len(labels))],
        "hypothesis": [f"{split} hypothesis {row}" for row in range(len(labels))],
        "label": pa.array(labels, pa.int64()),
        "idx": pa.array(range(len(labels)), pa.int32()),
    }
    features = {name: {"dtype": "string", "_type": "Value"} for name in ("premise", "hypothesis")}
    features |= {
        "label": {"names": LABELS, "_type": "ClassLabel"},
        "idx": {"dtype": "int32", "_type": "Value"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def cache_data_set(hub, name, commit, files, card=None, listed=()):
    """A repository in the hub client's cache; `listed` are files that its tree has and the cache lacks."""
    repository = hub / f"datasets--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    for path, content in {**files, **({"README.md": card} if card else {})}.items():
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            (snapshot / path).write_text(content)
        else:
            pq.write_table(content, snapshot / path)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    if listed:
        tree = {path: {"size": 1, "blob_id": "0" * 40} for path in (*files, "README.md", *listed)}
        (repository / "trees").mkdir()
        content = json.dumps({"format_version": 1, "files": tree})
        (repository / "trees" / f"{commit}.json").write_text(content)


def glue(**keys):
    return {"source": "hub", "id": "nyu-mll/glue", "name": "mnli", "revision": GLUE, "split": "train", **keys}


def anli(**keys):
    return {"source": "hub", "id": "facebook/anli", "revision": ANLI, "split": "dev_r1", **keys}


SPECS = {
    "train": glue(),
    "validation": glue(split="validation_matched"),
    "test": glue(split="test_matched"),
    "labelled": glue(split="test_matched", where={"label": [0, 1, 2]}),
    "branch": glue(revision="main"),
    "dev_r1": anli(),
    "named": anli(name="plain_text", split="test_r1"),
    "plain": {**anli(split="test"), "id": "org/plain", "revision": PLAIN},
    "shards": {**anli(split="train"), "id": "org/shards", "revision": SHARDS},
    "bad id": glue(id="nyu-mll/gleu"),
    "bad revision": glue(revision="0" * 40),
    "bad name": glue(name="mlni"),
    "bad split": anli(split="dev_r9"),
    "bad plain split": {**anli(split="dev"), "id": "org/plain", "revision": PLAIN},
    "not fetched": glue(name="ax", split="test"),
}
# A process of its own: the client reads its environment when it is imported.
LOAD = """
import json, sys
from pathlib import Path
from ftft.data import hub
from ftft.data import sources
from ftft.data.rows import PLACE
from ftft.errors import DataError
results = {}
for name, spec in json.load(sys.stdin).items():
    try:
        hub.download(spec, name, Path(f"{name}.parquet"))
        rows, provenance = sources.read(spec, name, f"{name}.parquet")
        results[name] = [rows.drop_columns([PLACE]).to_pydict(), provenance]
    except DataError as error:
        results[name] = str(error)
Path("results.json").write_text(json.dumps(results))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, root):
    folder = tmp_path_factory.mktemp("hub")
    hub = folder / "home" / "hub"
    shard = "{}-00000-of-00001.parquet".format
    mnli = {"train": [0, 1, 2, 1], "validation_matched": [2, 0], "test_matched": [-1, 2, -1, 0]}
    # Of GLUE only one configuration was fetched, as a run with a network leaves it.
    files = {shard(f"mnli/{split}"): pairs(split, labels) for split, labels in mnli.items()}
    cache_data_set(hub, "nyu-mll/glue", GLUE, files, GLUE_CARD, listed=[shard("ax/test")])
    rounds = {"dev_r1": [0, 1], "test_r1": [2, 2, 1]}
    files = {shard(f"plain_text/{split}"): pairs(split, labels) for split, labels in rounds.items()}
    cache_data_set(hub, "facebook/anli", ANLI, files, ANLI_CARD)
    cache_data_set(
        hub, "org/plain", PLAIN, {"train.csv": "text,label\na,1\n", "test.csv": "text,label\nb,0\nc,1\n"}
    )
    csv_files = {
        "old/train.csv": "text,label\na,1\n",
        "new/more.csv": "text,label\nb,0\n",
        "other.csv": "x\n1\n",
    }
    cache_data_set(hub, "org/shards", SHARDS, csv_files, SHARDS_CARD)
    environment = {
        **os.environ,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_CACHE": str(hub),
        "HF_DATASETS_CACHE": str(folder / "home" / "datasets"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "PYTHONPATH": str(root / "src"),
    }
    command = [sys.executable, "-c", LOAD]
    run = subprocess.run(
        command, input=json.dumps(SPECS), env=environment, cwd=folder, text=True, capture_output=True
    )
    assert run.returncode == 0, run.stderr
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize(
    ("name", "split", "labels"),
    [
        ("train", "train", "0121"),
        ("validation", "validation_matched", "20"),
        ("branch", "train", "0121"),
        ("dev_r1", "dev_r1", "01"),
        ("named", "test_r1", "221"),
    ],
)
def test_a_split_is_read_at_its_revision_with_labels_as_numbers(loaded, name, split, labels):
    rows, provenance = loaded[name]
    assert rows["label"] == list(labels)
    assert rows["premise"] == [f"{split} premise {row}" for row in range(len(labels))]
    assert provenance == {**SPECS[name], "steps": [{"step": "read", "rows": len(labels)}]}


def test_unlabelled_rows_can_be_left_out(loaded):
    assert loaded["test"][0]["label"] == ["-1", "2", "-1", "0"]
    rows, provenance = loaded["labelled"]
    assert (rows["label"], rows["idx"]) == (["2", "0"], ["1", "3"])
    assert [step["rows"] for step in provenance["steps"]] == [4, 2]


def test_a_data_set_without_a_card_is_read_by_its_file_names(loaded):
    assert loaded["plain"][0] == {"text": ["b", "c"], "label": ["0", "1"]}


def test_a_split_may_have_several_patterns(loaded):
    assert loaded["shards"][0] == {"text": ["b", "a"], "label": ["0", "1"]}


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("bad id", ["LocalEntryNotFoundError", "nyu-mll/gleu mnli at revision 111"]),
        ("bad revision", ["LocalEntryNotFoundError", f"at revision {'0' * 40}, split train"]),
        ("bad name", ["there is no configuration 'mlni'; there are ax, mnli"]),
        ("bad split", ["there is no split 'dev_r9'; there are dev_r1, test_r1"]),
        ("bad plain split", ['Unknown split "dev"', "train", "test"]),
        ("not fetched", ["LocalEntryNotFoundError", "nyu-mll/glue ax at revision 111"]),
    ],
)
def test_what_cannot_be_had_is_one_fault(loaded, name, texts):
    message = loaded[name]
    assert message.startswith(f"data set '{name}' cannot be fetched from the hub\n")
    for text in (*texts, "check id, name, revision and split, and the network"):
        assert text in message
