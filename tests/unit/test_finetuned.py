"""The model that is taken home: which run it is of, what its card says."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from ftft.artifacts import MODEL_FILES, file_hashes, read_json, write_json, write_parquet
from ftft.errors import ArtifactError, TrainingError
from ftft.results.finetuned import expected_cost, score_runs, write_finetuned

LABELS = ["negative", "positive"]
SPEC = {
    "task": "reviews",
    "main": "large",
    "reference": "small",
    "selection": "small-ambiguous-25",
    "license": "mit",
    "seeds": [0, 1, 2],
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


def ledger(model, seed, kept=3, consumed=6, score=0.9):
    selection, budget = ("full", "full") if model == "small" else (SPEC["selection"], "stopped-ood")
    return {
        "run": {"task": "reviews", "model": model, "selection": selection, "budget": budget, "seed": seed},
        "spec": {
            "early_stopping": {"patience": 2, "metric": "accuracy", "monitored": ["other"]},
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
            "validation": {"accuracy": score},
            "majority": {"accuracy": 0.5},
        },
        "cost": {
            "parameters": {"without_embeddings": 10},
            "training_seconds": 5.0,
            "precision": "float32",
            "device": "cpu",
        },
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
        frame = pd.concat(
            pd.DataFrame({"dataset": name, "uid": "u", "label": GOLD, "prediction": predictions})
            for name in SPEC["datasets"]
        )
        table = pa.Table.from_pandas(frame, preserve_index=False)
        write_parquet(folder / "evaluation.parquet", table, {"run": entry["run"], "labels": LABELS})
        return folder / "ledger.json", folder / "evaluation.parquet"

    return leave


@pytest.fixture
def finish(tmp_path):
    """Write the model of some runs; returns its folder."""

    def finish(runs, **spec):
        references = []
        for seed in SPEC["seeds"]:
            references.append(tmp_path / f"reference{seed}.json")
            write_json(references[-1], ledger("small", seed, consumed=12))
        counts = {"negative": 50, "positive": 50}
        checks = {name: {"labels": counts} for name in ("train", "validation", "other", "test")}
        write_json(tmp_path / "checks.json", checks)
        ledgers, evaluations = zip(*runs, strict=True)
        out = tmp_path / "out"
        names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
        files = [out / name for name in names]
        write_finetuned({**SPEC, **spec}, ledgers, evaluations, references, tmp_path / "checks.json", files)
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
    assert "1 of 3 seeds failed" in card and "85.00 ± 7.07" in card


def test_without_a_run_that_learnt_there_is_no_model(run, finish, tmp_path):
    with pytest.raises(TrainingError, match=r"no run of large learnt.*\n.*0.5000 on.*\n.*above 0.5000"):
        finish([run(seed, dev=0.6, wrong=9, score=0.5) for seed in (0, 1, 2)])
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_its_runs_is_refused(run, finish):
    runs = [run(seed, dev=0.6, wrong=seed) for seed in (0, 1, 2)]
    (runs[0][0].parent / "model" / "model.safetensors").write_text("another")
    with pytest.raises(ArtifactError, match="is not the file that was left there"):
        finish(runs)


def test_intervals_are_those_of_the_binomial(run):
    # 80 % of 20 right: the normal interval is 0.8 ± 1.96 sqrt(0.8 x 0.2 / 20) = 0.625 to 0.975.
    files = dict([run(0, dev=0.6, wrong=4)])
    (row, _) = score_runs({**SPEC, "resamples": 20_000}, files, list(files), next(iter(files))).itertuples()
    assert (row.instances, row.score, row.majority) == (20, 0.8, 0.5) and np.isnan(row.std)
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
        "[owner/large](https://huggingface.co/owner/large/tree/0000",
        "the first 3 layers of the encoder in the folder `encoders/small`",
        "| other | development, out of distribution | 100 | negative 50, positive 50 | - |",
    ):
        assert part in text, part
    assert "{" not in text


def test_a_pair_of_texts_is_shown_as_the_pipeline_takes_it(run, finish):
    folder = finish([run(seed, dev=0.6, wrong=2) for seed in (0, 1, 2)], text=["premise", "hypothesis"])
    assert 'classify({"text": "a text", "text_pair": "another text"})' in (folder / "README.md").read_text()
