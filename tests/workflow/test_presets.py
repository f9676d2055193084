"""The paper's two tasks in full: what their presets would run. README.md states the same counts."""

import math

import pytest
import yaml

from ftft.pipeline.config import resolve
from ftft.pipeline.plan import cost_runs

MODELS, SEEDS, REFERENCES = 9, 4, 8
# Runs per seed. All nine ERM; then, of the main models, early-stopped ERM, random selection, transfers, FTFT
# (Tables 1 and 2 share six transfers to DeBERTaV3-Large), and three shorter lengths of three methods.
TRANSFERS = {"nli": 8 + 7, "hsd": 8 + 7 + 2}
MAIN = {task: 1 + 1 + transfers + 3 + 3 * 3 for task, transfers in TRANSFERS.items()}
SUPERVISIONS = REFERENCES + 1
DATASETS = {"nli": 8, "hsd": 14}
EVALUATED = {"nli": 4, "hsd": 7}
TABLES = {"collect_scores": 3, "compare_methods": 3, "write_table": 3, "describe_selections": 3}
SUMMARIES = {name: 1 for name in ("write_model_costs", "write_easy_shares", "write_patience", "write_claims")}
FIGURES = {
    "plot_overlap": 2,
    "plot_true_class": 1,
    "plot_training_length": 1,
    "plot_learning_curves": 1,
    "plot_data_map": REFERENCES,
    "find_issues": REFERENCES,
    "write_map_page": REFERENCES,
}

# Weights in millions, embeddings included, as the hub's files hold them.
WEIGHTS = {
    "deberta-v3-small": 141.9,
    "deberta-v3-base": 184.4,
    "deberta-v3-large": 435.1,
    "electra-small": 13.5,
    "electra-base": 108.9,
    "electra-large": 334.1,
    "bert-large": 335.1,
    "roberta-large": 355.4,
    "bert-tiny": 4.4,
}
WEIGHT_BYTES, STATE_BYTES = 4, 12
# Dynamics of 36 reference runs: 17 bytes an instance and epoch. Tokens: 4 bytes each for six tokenizers.
OTHER_GB = {
    "nli": 36 * 392_702 * 4.5 * 17e-9 + 6 * 392_702 * 42 * 4e-9,
    "hsd": 36 * 13_416 * 4 * 17e-9 + 6 * 13_416 * 60 * 4e-9,
}


@pytest.fixture(params=["nli", "hsd"])
def preset(request, fresh):
    (fresh.folder / "data").mkdir()
    for name in ("cad_v1_1.tsv", "dynahate.csv"):
        (fresh.folder / "data" / name).touch()
    return request.param, fresh


def test_a_preset_plans_the_papers_runs_as_the_readme_counts_them(root, preset):
    task, workflow = preset
    planned = workflow.planned("--configfile", f"config/{task}.yaml")
    runs = (MODELS + MAIN[task]) * SEEDS
    downloads = {"download_data": DATASETS[task]} if task == "nli" else {}
    assert planned == {
        **downloads,
        "prepare_data": DATASETS[task],
        "check_data": 1,
        "prepare_encoder": MODELS,
        "train_reference": MODELS * SEEDS,
        "build_data_map": REFERENCES * SEEDS,
        "make_supervision": SUPERVISIONS * SEEDS,
        "train_main": MAIN[task] * SEEDS,
        "evaluate": runs * EVALUATED[task],
        **TABLES,
        **SUMMARIES,
        **FIGURES,
    }
    trainings = planned["train_reference"] + planned["train_main"]
    line = next(
        line for line in (root / "README.md").read_text().splitlines() if f"| `config/{task}.yaml`" in line
    )
    # The target itself is a job too.
    assert f"{sum(planned.values()) + 1} jobs" in line and f"{trainings} trainings" in line


def test_the_readme_states_the_disk(root, preset, monkeypatch):
    task, workflow = preset
    monkeypatch.chdir(workflow.folder)
    config = resolve(yaml.safe_load((root / f"config/{task}.yaml").read_text()))
    runs = dict.fromkeys(run for table in config.tables.values() for run in cost_runs(table, config))
    gigabytes = {model: weights * WEIGHT_BYTES / 1000 for model, weights in WEIGHTS.items()}
    encoders = sum(gigabytes[model] for model in config.models)
    kept = encoders + sum(gigabytes[run.model] for run in runs) + OTHER_GB[task]
    # A state beside the one that it replaces, the trained model, and one that is scored.
    at_once = 2 * STATE_BYTES / WEIGHT_BYTES + 2
    passing = encoders + at_once * max(gigabytes.values()) + OTHER_GB[task]
    line = next(
        line for line in (root / "README.md").read_text().splitlines() if f"| `config/{task}.yaml`" in line
    )
    assert line.endswith(f" {round(kept, -1):.0f} GB, {math.ceil(passing)} GB |") and passing < 30
