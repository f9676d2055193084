"""From a configuration without tables to a model folder."""

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

ENTRY = {"main": "large", "reference": "small"}


@pytest.fixture
def taken_home(fresh):
    def change(config):
        del config["tables"]
        config["finetune"] = {"demo": ENTRY}

    fresh.edit(change)
    return fresh


def test_the_folder_loads_and_classifies(taken_home):
    run = taken_home.snakemake("--", "finetune")
    assert run.returncode == 0, run.stdout
    folder = taken_home.folder / "results/finetuned/demo"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert set(model.config.label2id) == {"entailment", "neutral", "contradiction"}
    assert len(AutoTokenizer.from_pretrained(folder)("a text")["input_ids"]) > 2
    (answer,) = pipeline("text-classification", str(folder))([{"text": "a text", "text_pair": "another"}])
    assert answer["label"] in model.config.label2id and 0 < answer["score"] < 1
    assert "# large on demo" in (folder / "README.md").read_text()
    assert not (taken_home.folder / "results/runs/demo/large/all").exists()
    assert taken_home.planned(target="finetune") == {}
    # Another licence is another card, and no other run.
    taken_home.edit(lambda config: config["finetune"]["demo"].update(license="mit"))
    assert taken_home.planned(target="finetune") == {"write_finetuned": 1}
    taken_home.edit(lambda config: config["finetune"]["demo"].update(seeds=[0, 7]))
    planned = taken_home.planned(target="finetune")
    assert (planned["train_reference"], planned["train_main"], planned["write_finetuned"]) == (1, 1, 1)


def test_without_development_sets_the_validation_set_stops_the_run(taken_home):
    taken_home.edit(lambda config: config["tasks"]["demo"].update(dev=[]))
    dry = taken_home.snakemake("--dry-run", "--", "all")
    assert dry.returncode == 0, dry.stdout
    assert "results/runs/demo/large/small-ambiguous-33/stopped-id/seed0/ledger.json" in dry.stdout
    assert "stopped-ood" not in dry.stdout
