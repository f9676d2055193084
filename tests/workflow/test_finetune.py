"""From a configuration without tables to a model folder."""

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from ftft.cli import main

ENTRY = {"main": "large", "reference": "small"}


def finetune_only(config):
    del config["tables"]
    config["finetune"] = {"demo": ENTRY}


@pytest.fixture
def taken_home(copied):
    copied.edit(finetune_only)
    return copied


def test_one_reference_and_one_stopped_run_are_all_that_is_trained(fresh):
    fresh.edit(finetune_only)
    assert fresh.planned(target="finetune") == {
        "prepare_data": 6,
        "check_data": 1,
        "prepare_encoder": 2,
        "train_reference": 1,
        "build_data_map": 1,
        "make_supervision": 1,
        "train_main": 1,
        "evaluate": 3,
        "write_finetuned": 1,
    }


def test_rows_that_need_no_reference_are_taken_home_too(copied):
    copied.edit(finetune_only)
    chosen = {"main": "large", "reference": "random", "selector": "balanced"}
    copied.edit(lambda config: config["finetune"].update(demo=chosen))
    wanted = {"make_supervision": 1, "train_main": 1, "evaluate": 3, "write_finetuned": 1}
    assert copied.planned(target="finetune") == wanted
    run = copied.snakemake("--", "finetune")
    assert run.returncode == 0, run.stdout
    folder = copied.folder / "results/finetuned/demo"
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.num_labels == 3
    card = (folder / "README.md").read_text()
    assert "selection `random-balanced-33`" in card and "for which no model was asked" in card


def test_the_folder_loads_and_classifies(taken_home):
    assert taken_home.planned(target="finetune") == {"write_finetuned": 1}
    run = taken_home.snakemake("--", "finetune")
    assert run.returncode == 0, run.stdout
    folder = taken_home.folder / "results/finetuned/demo"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert set(model.config.label2id) == {"entailment", "neutral", "contradiction"}
    assert len(AutoTokenizer.from_pretrained(folder)("a text")["input_ids"]) > 2
    (answer,) = pipeline("text-classification", str(folder))([{"text": "a text", "text_pair": "another"}])
    assert answer["label"] in model.config.label2id and 0 < answer["score"] < 1
    assert "# large on demo" in (folder / "README.md").read_text()
    assert taken_home.planned(target="finetune") == {}
    taken_home.edit(lambda config: config["runtime"].update(keep_models="none"))
    assert taken_home.planned(target="finetune") == {}
    # Another licence is another card, and no other run.
    taken_home.edit(lambda config: config["finetune"]["demo"].update(license="mit"))
    assert taken_home.planned(target="finetune") == {"write_finetuned": 1}
    taken_home.edit(lambda config: config["finetune"]["demo"].update(seeds=[0, 7]))
    planned = taken_home.planned(target="finetune")
    assert (planned["train_reference"], planned["train_main"], planned["write_finetuned"]) == (1, 1, 1)


@pytest.mark.long
def test_an_adapter_is_kept_alone_and_taken_home_merged(copied):
    copied.edit(finetune_only)
    copied.edit(lambda config: config["models"]["large"].update(adapter={"rank": 2}))
    # By this metric any answer but a constant one has learnt something.
    copied.edit(lambda config: config["tasks"]["demo"].update(metric="macro_f1"))
    wanted = {"train_main": 1, "evaluate": 3, "write_finetuned_adapter": 1}
    assert copied.planned(target="finetune") == wanted
    run = copied.snakemake("--", "finetune")
    assert run.returncode == 0, run.stdout
    results = copied.folder / "results"
    kept = results / "runs/demo/large/small-ambiguous-33/stopped-ood/seed0/model/model.safetensors"
    folder = results / "finetuned/demo"
    assert kept.stat().st_size < (folder / "model.safetensors").stat().st_size / 3
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    own = AutoModelForSequenceClassification.from_pretrained(
        results / "encoders/demo/large", config=model.config
    )
    adapted = PeftModel.from_pretrained(own, folder / "adapter").eval()
    inputs = AutoTokenizer.from_pretrained(folder)("the nurse sings", "nobody sings", return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(adapted(**inputs).logits, model.eval()(**inputs).logits)
    assert "A LoRA adapter of rank 2 and the head were trained" in (folder / "README.md").read_text()
    assert copied.planned(target="finetune") == {}


def test_without_development_sets_the_validation_set_stops_the_run(fresh):
    fresh.edit(finetune_only)
    fresh.edit(lambda config: config["tasks"]["demo"].update(dev=[]))
    code, shown = fresh.dry_run("--", "all")
    assert code == 0, shown
    assert "results/runs/demo/large/small-ambiguous-33/stopped-id/seed0/ledger.json" in shown
    assert "stopped-ood" not in shown


@pytest.mark.long
def test_compare_adds_what_ftft_has_to_beat(copied):
    copied.edit(finetune_only)
    # ERM, the random third and DM are there.
    planned = copied.planned(target="compare")
    assert {
        rule: planned[rule] for rule in ("train_main", "make_supervision", "evaluate", "write_table")
    } == {
        "train_main": 2,
        "make_supervision": 2,
        "evaluate": 6,
        "write_table": 1,
    }
    assert "train_reference" not in planned
    # Nothing of it belongs to what a plain call makes.
    assert copied.planned(target="all") == {"write_finetuned": 1}
    run = copied.snakemake("--", "compare")
    assert run.returncode == 0, run.stdout
    told = "Not shown that any selection pays"
    results = copied.folder / "results"
    assert told in (results / "verdicts/compare-demo.html").read_text()
    assert told in (results / "compared/demo/README.md").read_text()
    assert "| DM, matched_random |" in (results / "tables/compare-demo.md").read_text()
    assert copied.planned(target="compare") == copied.planned(target="all") == {}
    kept = copied.folder / "kept"
    places = ["--configfile", str(copied.config_file), "--results", str(results)]
    assert main(["archive", str(kept), "--table", "compare-demo", *places]) == 0
    assert (kept / "table.md").read_bytes() == (results / "tables/compare-demo.md").read_bytes()
