"""What ships in config/: the rows of the paper's Table 1, and examples that fit the real data."""

import pytest
import yaml

from ftft.data import sources
from ftft.data.dataset import prepare
from ftft.workflow import plan
from ftft.workflow.config import resolve

EXAMPLES = ("minilm-hsd", "minilm-nli")
PAPER_ROWS = [
    ("ERM", "small", None),
    ("ERM", "base", None),
    ("ERM", "large", None),
    ("ERM(ES)", "large", None),
    ("DM", "large", "random"),
    ("DM", "large", "deberta-v3-large"),
    ("DM", "large", "deberta-v3-small"),
    ("DM", "large", "deberta-v3-base"),
    ("DM", "large", "electra-small"),
    ("DM", "large", "electra-base"),
    ("DM", "large", "roberta-large"),
    ("DM", "large", "bert-large"),
    ("FTFT", "large", "deberta-v3-small"),
    ("FTFT", "large", "deberta-v3-base"),
    ("FTFT", "large", "electra-base"),
]


@pytest.fixture(scope="module")
def default(root):
    return resolve(yaml.safe_load((root / "config" / "config.yaml").read_text()))


def test_default_table_has_the_rows_of_the_paper(default):
    rows = [
        (row["method"], row["main"].removeprefix("standin-deberta-v3-"), row.get("reference"))
        for row in default["tables"]["table1"]["rows"]
    ]
    assert rows == [
        (method, main, ref if ref in (None, "random") else f"standin-{ref}")
        for method, main, ref in PAPER_ROWS
    ]


def test_default_has_nine_encoders_that_say_what_they_are(default):
    assert len(default["models"]) == 9
    assert all(name.startswith("standin-") for name in default["models"])


def test_default_needs_no_network(default):
    assert {model["source"] for model in default["models"].values()} == {"scratch"}
    datasets = default["tasks"]["demo"]["datasets"]
    assert {dataset["source"] for dataset in datasets.values()} == {"demo"}


@pytest.mark.real_data
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_fit_the_real_data(root, monkeypatch, real_data, example):
    # The paths of the examples start beside the folder that holds the data.
    monkeypatch.chdir(real_data.parent)
    config = resolve(yaml.safe_load((root / "config" / "examples" / f"{example}.yaml").read_text()))
    (task,) = config["tasks"]
    uids = {}
    for name in plan.used_datasets(config["tasks"][task]):
        spec = plan.dataset_slice(config, task, name)
        dataset = prepare(sources.read(spec, name, spec["path"]), spec, name)
        assert len(dataset) == min(spec.get("max_rows", len(dataset)), dataset.provenance["rows_read"])
        uids[name] = set(dataset.uids)
    train = uids.pop(config["tasks"][task]["train"])
    assert not train & set().union(*uids.values())
