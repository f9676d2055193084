"""The whole chain of a main model with an encoder and a decoder, chosen for by a language model without."""

import csv

import pytest
import transformers
from test_kinds import WRITERS, task
from workflows import Workflow

pytestmark = pytest.mark.long

T5 = {"model_type": "t5", "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
T5 |= {"num_decoder_layers": 2, "dropout_rate": 0.0, "initializer_factor": 2.0}
MODELS = {"reader-writer": T5, "small-writer": WRITERS["small"]}


@pytest.fixture(scope="module")
def done(root, tiny_config, tmp_path_factory):
    workflow = Workflow(root, tmp_path_factory.mktemp("encoder-decoder"), tiny_config)
    scratch = {"source": "scratch", "tokenizer": {"kind": "wordpiece", "vocab_size": 400}}
    both = {"main": "reader-writer", "reference": "small-writer"}
    rows = [
        {"method": "ERM", "main": "reader-writer"},
        {"method": "DM", "selector": "s2l", **both},
        {"method": "FTFT", **both},
        {"method": "DM", "main": "small-writer", "reference": "reader-writer", "selector": "ifd"},
    ]
    workflow.write_config(
        {
            **tiny_config,
            "tasks": {"generation": task("generation", workflow.folder)},
            "models": {name: {**scratch, "architecture": own} for name, own in MODELS.items()},
            "tables": {"writers": {"task": "generation", "metric": "rouge_l", "rows": rows}},
            "finetune": {"generation": both},
            "figures": {},
            "checks": {**tiny_config["checks"], "leakage": "ignore"},
        }
    )
    page = "results/maps/generation/reader-writer/seed0.html"
    run = workflow.snakemake("--", "all", "preflight", page, timeout=1200)
    assert run.returncode == 0, run.stdout
    return workflow


def test_every_row_has_its_runs_and_the_model_learns(done):
    with open(done.folder / "results/tables/writers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # `longest` and `ifd` of each main model stand in every table of generated texts.
    assert [row["method"] for row in rows[:4]] == ["ERM", "DM", "FTFT", "DM"] and len(rows) > 4
    assert all(int(row["runs"]) > 0 for row in rows)
    assert float(rows[0]["other"]) > 0.5


def test_the_model_taken_home_responds(done):
    folder = done.folder / "results/finetuned/generation"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    inputs = tokenizer("which town , ann is in oslo\n", return_tensors="pt")
    inputs.pop("token_type_ids", None)
    response = tokenizer.decode(model.generate(**inputs, max_new_tokens=6, do_sample=False)[0])
    words = set(response.split()) - {*tokenizer.all_special_tokens}
    assert words and words <= {"oslo", "bonn", "rome", "warm", "far"}
    assert "AutoModelForSeq2SeqLM" in (folder / "README.md").read_text()
