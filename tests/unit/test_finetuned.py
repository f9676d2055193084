"""The model that is taken home: which run it is of, what its card says."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from ftft.artifacts import MODEL_FILES, file_hashes, read_json, write_json, write_parquet
from ftft.errors import ArtifactError, TrainingError
from ftft.results.finetuned import expected_cost, load_evaluations, score_runs, write_finetuned
from ftft.results.model_card import NOT_COMPARED, write_compared_card
from ftft.statistics.exclusions import run_key

LABELS = ["negative", "positive"]
SPEC = {
    "task": "reviews",
    "main": "large",
    "reference": "small",
    "supervision": "small-ambiguous-25",
    "license": "mit",
    "seeds": [0, 1, 2],
    "kind": "classification",
    "labels": LABELS,
    "text": ["text"],
    "metric": "accuracy",
    "train": "train",
    "validation": "validation",
    "dev": ["other"],
    "datasets": ["validation", "test"],
    "recipe": {"batch_size": 4, "learning_rate": 1e-3, "max_length": 16},
    "main_source": {"source": "hub", "id": "owner/large", "revision": "0" * 40},
    "reference_source": {"source": "folder", "path": "encoders/small", "keep_layers": 3},
    "parameters_m": {"large": 300.0, "small": 30.0},
    "resamples": 1000,
    "confidence": 0.95,
}
GOLD = np.array([0, 1] * 10)


def ledger(model, seed, kept=3, consumed=6, score=0.9, monitored=("other",)):
    supervision, budget = ("all", "full") if model == "small" else (SPEC["supervision"], "stopped-ood")
    return {
        "run": {
            "task": "reviews",
            "model": model,
            "supervision": supervision,
            "budget": budget,
            "seed": seed,
        },
        "spec": {
            "early_stopping": None
            if model == "small"
            else {"patience": 2, "metric": "accuracy", "monitored": list(monitored)},
            "recipe": SPEC["recipe"],
        },
        "outcome": {
            "planned_steps": 120,
            "steps": 10 * consumed,
            "planned_checkpoints": 12,
            "consumed_checkpoints": consumed,
            "kept_checkpoint": kept,
            "stopped_early": consumed < 12,
            "training_instances": 25,
            "cut": {"rows": 5, "total": 25, "longest": 40, "words": 0, "tokens": 60},
            "validation": {"accuracy": score},
            "floor": {"accuracy": 0.5},
        },
        "cost": {
            "parameters": {"without_embeddings": 10},
            "training_seconds": 5.0,
            "evaluation_seconds": 2.0,
        },
        "execution": {"precision": "float32", "device": "cpu"},
        "versions": {"torch": "9.9"},
    }


@pytest.fixture
def run(tmp_path):
    """Leave one main run's files; `dev` is its monitored score, `wrong` how many of each 20 it gets wrong."""

    def leave(seed, dev, wrong, **outcome):
        folder = tmp_path / f"seed{seed}"
        (folder / "model").mkdir(parents=True)
        entry = ledger("large", seed, **outcome)
        write_json(folder / "ledger.json", entry)
        trajectory = [
            {"checkpoint": number, "dataset": name, "metric": "accuracy", "value": value}
            for number, name, value in [(3, "other", dev), (3, "validation", 0.99), (4, "other", 0.98)]
        ]
        write_parquet(folder / "trajectory.parquet", pa.Table.from_pylist(trajectory), {})
        for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            (folder / "model" / name).write_text(f"{name} of {seed}")
        files = file_hashes(folder / "model", MODEL_FILES[1:])
        write_json(folder / "model" / "config.json", {"ftft": {"run": entry["run"]}}, files)
        predictions = np.where(np.arange(20) < wrong, 1 - GOLD, GOLD)
        for name in ("validation", "test", "other"):
            table = pa.table(
                {"uid": [str(row) for row in range(20)], "label": GOLD, "prediction": predictions}
            )
            about = {"run": entry["run"], "dataset": name, "kind": "classification", "labels": LABELS}
            write_parquet(folder / f"{name}.parquet", table, about)
        return folder / "ledger.json"

    return leave


@pytest.fixture
def finish(tmp_path):
    """Write the model of some runs; returns its folder."""

    def finish(runs, failed_references=(), labels=("negative", "positive"), pass_file=None, **spec):
        references = []
        for seed in SPEC["seeds"] if spec.get("trained", True) else ():
            references.append(tmp_path / f"reference{seed}.json")
            score = 0.5 if seed in failed_references else 0.9
            write_json(references[-1], ledger("small", seed, consumed=12, score=score))
        counts = dict.fromkeys(labels, 50)
        checks = {
            name: {"instances": 100, "labels": counts} for name in ("train", "validation", "other", "test")
        }
        write_json(tmp_path / "checks.json", checks)
        datasets = {**SPEC, **spec}["datasets"]
        evaluations = [ledger.with_name(f"{name}.parquet") for ledger in runs for name in datasets]
        out = tmp_path / "out"
        names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
        files = [out / name for name in names]
        checks_file = tmp_path / "checks.json"
        write_finetuned(
            {**SPEC, **spec}, runs, evaluations, references, checks_file, files, pass_file=pass_file
        )
        return out

    return finish


def test_the_run_with_the_best_monitored_score_is_taken(run, finish):
    folder = finish([run(0, dev=0.6, wrong=1), run(1, dev=0.8, wrong=4), run(2, dev=0.7, wrong=2)])
    assert read_json(folder / "config.json")["ftft"]["run"]["seed"] == 1
    assert (folder / "model.safetensors").read_text() == "model.safetensors of 1"
    scores = pd.read_csv(folder / "scores.csv").set_index("dataset")
    assert scores.loc["test", "score"] == 0.8
    assert scores.loc["test", "mean"] == pytest.approx((0.95 + 0.8 + 0.9) / 3, abs=1e-4)
    assert scores.loc["test", "std"] == pytest.approx(np.std([0.95, 0.8, 0.9], ddof=1), abs=1e-4)


def test_a_failed_run_is_not_taken_however_high_its_monitored_score(run, finish):
    folder = finish(
        [run(0, dev=0.99, wrong=0, score=0.5), run(1, dev=0.6, wrong=4), run(2, dev=0.5, wrong=2)]
    )
    assert read_json(folder / "config.json")["ftft"]["run"]["seed"] == 1
    card = (folder / "README.md").read_text()
    assert "0: it learnt nothing (accuracy 50.00, of the trivial answer 50.00)" in card
    assert "1 of 3 seeds failed" in card and "85.00 ± 7.07" in card


def test_a_reference_that_was_asked_before_training_alone_has_no_run(run, finish, tmp_path):
    write_json(tmp_path / "pass.json", {"seconds": 3.0})
    runs = [run(seed, dev=0.6, wrong=seed) for seed in (0, 1, 2)]
    folder = finish(runs, trained=False, pass_file=tmp_path / "pass.json")
    card = " ".join((folder / "README.md").read_text().split())
    assert (
        "was asked before any training how likely each response is, and this model was trained then" in card
    )
    # Half of the planned checkpoints; the pass is no part of parameters times steps.
    assert (
        "50.0 % of one training of large on all data to its end (parameters times steps): 0.0 % for" in card
    )
    assert "They took 3 s and 7 s" in card and "training dynamics" not in card


def test_a_selection_that_asks_no_model_has_a_card_without_one(run, finish):
    runs = [run(seed, dev=0.6, wrong=seed) for seed in (0, 1, 2)]
    asked_none = {"reference": "random", "reference_source": None, "parameters_m": {"large": 300.0}}
    folder = finish(runs, trained=False, **asked_none)
    card = " ".join((folder / "README.md").read_text().split())
    assert "for which no reference model is asked" in card and "for which no model was asked." in card
    assert (
        "50.0 % of one training of large on all data to its end (parameters times steps). It took 7 s,"
        in card
    )
    assert "small" not in card.replace("small-ambiguous-25", "")


def test_without_a_run_that_learnt_there_is_no_model(run, finish, tmp_path):
    with pytest.raises(TrainingError, match=r"large can be taken home\n.*seed 0: it learnt nothing \(accur"):
        finish([run(seed, dev=0.6, wrong=9, score=0.5) for seed in (0, 1, 2)])
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_its_runs_is_refused(run, finish):
    runs = [run(seed, dev=0.6, wrong=seed) for seed in (0, 1, 2)]
    (runs[0].parent / "model" / "model.safetensors").write_text("another")
    with pytest.raises(ArtifactError, match="is not the file that was left there"):
        finish(runs)


def test_intervals_are_those_of_the_binomial(run, tmp_path):
    # 80 % of 20 right: the normal interval is 0.8 ± 1.96 sqrt(0.8 x 0.2 / 20) = 0.625 to 0.975.
    kept = read_json(run(0, dev=0.6, wrong=4))
    folder = tmp_path / "seed0"
    evaluations = load_evaluations([folder / "validation.parquet", folder / "test.parquet"])
    spec = {**SPEC, "resamples": 20_000}
    (row, _) = score_runs(spec, evaluations, [run_key(kept["run"])], kept).itertuples()
    assert (row.instances, row.score, row.floor) == (20, 0.8, 0.5) and np.isnan(row.std)
    assert row.low == pytest.approx(0.625, abs=0.03) and row.high == pytest.approx(0.975, abs=0.03)


def test_the_cost_is_that_of_the_paper():
    # Six of twelve checkpoints of the main model, and a reference of a tenth of its parameters.
    main = [ledger("large", 0, consumed=4), ledger("large", 1, consumed=8)]
    cost = expected_cost(main, [ledger("small", 0, consumed=12)], SPEC["parameters_m"])
    assert cost == pytest.approx({"reference": 10, "main": 50, "total": 60})
    counted = expected_cost(main, [ledger("small", 0, consumed=12)], {"large": None, "small": 30.0})
    assert counted == pytest.approx({"reference": 100, "main": 50, "total": 150})


def test_the_card_is_what_the_hub_reads(run, finish):
    folder = finish([run(seed, dev=0.6, wrong=2) for seed in (0, 1, 2)])
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert (metadata["license"], metadata["base_model"]) == ("mit", "owner/large")
    assert metadata["model-index"][0]["results"][1]["metrics"] == [{"type": "accuracy", "value": 0.9}]
    for part in (
        "25 of 100 training instances (25.0 %)",
        "60.0 % of one training of large",
        "Seed 0; 60 of 120 planned steps of 4 instances",
        "Stopped after 2 checkpoints without improvement.",
        'classify("a text")',
        "5 of 25 training texts (20.0 %) were longer and were cut, the longest of 40 tokens to 16, "
        "and 60 tokens were lost.",
        "Accuracy: the share of instances that are predicted right",
        "[owner/large](https://huggingface.co/owner/large/tree/0000",
        "the first 3 layers of the encoder in the folder `encoders/small`",
        "| other | development, out of distribution | 100 | negative 50, positive 50 | - |",
    ):
        assert part in text, part
    assert "{" not in text


def test_a_pair_of_texts_is_shown_as_the_pipeline_takes_it(run, finish):
    folder = finish([run(seed, dev=0.6, wrong=2) for seed in (0, 1, 2)], text=["premise", "hypothesis"])
    assert 'classify({"text": "a text", "text_pair": "another text"})' in (folder / "README.md").read_text()


def test_a_run_on_a_failed_reference_is_not_taken(run, finish):
    runs = [run(0, dev=0.99, wrong=0), run(1, dev=0.6, wrong=4), run(2, dev=0.5, wrong=2)]
    folder = finish(runs, failed_references=[0])
    assert read_json(folder / "config.json")["ftft"]["run"]["seed"] == 1
    assert "seed 0: its reference small learnt nothing" in (folder / "README.md").read_text()


def test_without_a_reference_that_learnt_there_is_no_model(run, finish):
    with pytest.raises(TrainingError, match="seed 2: its reference small learnt nothing"):
        finish([run(seed, dev=0.6, wrong=2) for seed in (0, 1, 2)], failed_references=[0, 1, 2])


def test_a_score_on_the_set_that_chose_the_model_says_so(run, finish):
    chosen = {"datasets": ["other", "test"]}
    folder = finish([run(seed, dev=0.6, wrong=2) for seed in (0, 1, 2)], **chosen)
    rows = (folder / "scores.csv").read_text().splitlines()
    assert rows[1].startswith("other,") and rows[1].endswith(",checkpoint and seed")
    assert rows[2].startswith("test,") and rows[2].endswith(",")
    card = (folder / "README.md").read_text()
    assert "| other† | 20 |" in card and "† other chose the checkpoint and seed of this model" in card


HOSTILE = "`x` | <b>&amp;\n# Title\x1b[31m {task} ![i](http://evil)" + "y" * 5000


def test_texts_from_outside_are_text_in_the_card(run, finish):
    runs = [run(seed, dev=0.6, wrong=2) for seed in (0, 1, 2)]
    folder = finish(
        runs,
        labels=[HOSTILE, "b"],
        license=HOSTILE,
        text=[HOSTILE],
        main_source={"source": "folder", "path": HOSTILE},
    )
    card = (folder / "README.md").read_text()
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front)["license"].startswith("`x` | <b>")
    assert "\x1b" not in card and "\n# Title" not in card and len(card) < 10_000
    outside_code = re.sub(r"(?s)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert not re.search(r"(?<!\\)<b>", outside_code) and "](http://evil" not in outside_code.replace(
        "\\](", ""
    )


def test_a_card_says_whether_ftft_paid_once_that_was_compared(run, finish, tmp_path):
    card = finish([run(0, dev=0.6, wrong=1)]) / "README.md"
    assert NOT_COMPARED in card.read_text()
    write_json(tmp_path / "verdict", {"sentences": ["Not shown that any <selection> pays", "Take ERM"]})
    write_compared_card(card, tmp_path / "verdict", tmp_path / "compared")
    told = (tmp_path / "compared").read_text()
    assert "\n\nNot shown that any \\<selection> pays. Take ERM.\n" in told
    assert told.replace("Not shown that any \\<selection> pays. Take ERM.", NOT_COMPARED) == card.read_text()
    with pytest.raises(ArtifactError, match="has no place for a verdict"):
        write_compared_card(tmp_path / "compared", tmp_path / "verdict", tmp_path / "again")
