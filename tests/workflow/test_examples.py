"""The shipped examples on real rows, cut to a few rows and steps, with small random encoders."""

import csv
import subprocess
import sys

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.real_data]

ENCODER = {
    "source": "scratch",
    "tokenizer": {"kind": "wordpiece", "vocab_size": 1000},
    "architecture": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "max_position_embeddings": 300,
    },
}


def cut_down(config, real_data):
    """The configuration with one seed, two checkpoints, a few steps, and 64 rows of each data set."""
    (task,) = config["tasks"].values()
    shape = {**ENCODER["architecture"], "model_type": "llama" if task.get("kind") == "generation" else "bert"}
    for dataset in task["datasets"].values():
        folder = dataset["path"].removeprefix("../shared/data/")
        dataset.update(path=str(real_data / folder), max_rows=64)
    models = {
        name: {**ENCODER, "architecture": {**shape, "num_hidden_layers": layers}}
        for layers, name in enumerate(config["models"], start=1)
    }
    training = {**config["training"], "checkpoints": 2, "batch_size": 16}
    training.pop("checkpoint_every", None)
    for row in (row for table in config["tables"].values() for row in table["rows"] if "steps" in row):
        row["steps"] = 6
    # Of so few rows a reference may learn nothing.
    checks = {**config.get("checks", {}), "failed_reference": "mark"}
    return {**config, "seeds": [0], "models": models, "training": training, "checks": checks}


EXAMPLES = ["minilm-hsd", "minilm-nli", "mpnet-hsd", "minilm-methods", "minilm-label-errors"]
EXAMPLES += ["minilm-ner", "minilm-goemotions", "minilm-sts", "minilm-openbookqa"]
EXAMPLES += ["equations", "smollm2-alpaca"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs_to_its_tables(root, real_data, tmp_path, example):
    config = yaml.safe_load((root / "config" / "examples" / f"{example}.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(cut_down(config, real_data)))
    tables = {name: f"results/tables/{name}.csv" for name in config["tables"]}
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile", "--cores", "2",
         "--configfile", "config.yaml", "--", *tables.values()],
        cwd=tmp_path, text=True, capture_output=True, timeout=900, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    for name, path in tables.items():
        with open(tmp_path / path, newline="") as file:
            assert len(list(csv.DictReader(file))) == len(config["tables"][name]["rows"])
