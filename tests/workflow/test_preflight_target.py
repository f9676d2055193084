"""What references show before the expensive run: what it asks for, and what makes it run again."""

import pandas as pd
import pytest

pytestmark = pytest.mark.long

REFERENCES_ONLY = {
    "prepare_data": 6,
    "check_data": 1,
    "prepare_encoder": 2,
    "train_reference": 1,
    "build_data_map": 1,
    "write_preflight": 1,
}


@pytest.fixture(scope="module")
def judged(finished, tmp_path_factory):
    """A copy of the finished workflow, with its preflight."""
    workflow = finished.copy(tmp_path_factory.mktemp("judged"))
    assert workflow.planned(target="preflight") == {"write_preflight": 1}
    run = workflow.snakemake("--", "preflight")
    assert run.returncode == 0, run.stdout
    return workflow


@pytest.fixture
def preflight(judged):
    yield judged
    judged.restore()


def sizes(config):
    for model, parameters in (("small", 1.0), ("large", 4.0)):
        config["models"][model]["parameters_m"] = parameters


def finetune_only(config):
    del config["tables"]
    config["finetune"] = {"demo": {"main": "large", "reference": "small", "seeds": [3, 4]}}


def test_preflight_trains_references_alone(fresh):
    assert fresh.planned(target="preflight") == REFERENCES_ONLY
    _, plan = fresh.dry_run("--", "preflight")
    assert "results/runs/demo/small/all/full/seed0/ledger.json" in plan
    assert "results/runs/demo/large" not in plan


def test_configured_sizes_spare_the_main_models_encoder(fresh):
    fresh.edit(sizes)
    assert fresh.planned(target="preflight") == {**REFERENCES_ONLY, "prepare_encoder": 1}


def test_finetune_names_candidates_as_tables_do(fresh):
    fresh.edit(finetune_only)
    jobs = fresh.planned(target="preflight")
    assert jobs == {**REFERENCES_ONLY, "train_reference": 2, "build_data_map": 2}
    _, plan = fresh.dry_run("--", "preflight")
    assert "small/all/full/seed4/" in plan and "results/runs/demo/large" not in plan


def test_numbers_and_ranks_come_out(judged):
    (row,) = pd.read_csv(judged.folder / "results/preflight/demo.csv").to_dict("records")
    assert (row["main"], row["reference"]) == ("large", "small")
    assert row["rank_easy"] == row["rank_id"] == row["rank_cost"] == 1
    assert 0 < row["parameter_ratio"] < 1
    page = (judged.folder / "results/preflight/demo.html").read_text()
    assert f"{row['easy_50']:.2f} % of the instances are easy" in page


def edit(section, **changes):
    return lambda config: config.setdefault(section, {}).update(changes)


def add_evaluation_set(config):
    task = config["tasks"]["demo"]
    task["datasets"]["r2_test"] = {"source": "demo", "split": "r2_test", "rows": 40}
    task["evaluate"].append("r2_test")


def stand_for_nli(config):
    config["tasks"]["demo"]["stands_for"] = "nli"


def learn_faster(config):
    config["models"]["large"]["training"] = {"learning_rate": 2.0e-3}


def another_length(config):
    config["training"]["epochs"] = 4


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        (edit("early_stopping", patience=1), {}),
        (edit("statistics", resamples=2000), {}),
        (learn_faster, {}),
        (add_evaluation_set, {"prepare_data": 1, "check_data": 1}),
        (edit("selection", fraction=0.5), {"write_preflight": 1}),
        (stand_for_nli, {"write_preflight": 1}),
        (another_length, {"train_reference": 1, "build_data_map": 1, "write_preflight": 1}),
        (
            lambda config: config.update(seeds=[0, 1]),
            {"train_reference": 1, "build_data_map": 1, "write_preflight": 1},
        ),
    ],
)
def test_what_an_edit_reruns(preflight, change, jobs):
    preflight.edit(change)
    assert preflight.planned(target="preflight") == jobs


def test_the_page_reruns_with_its_template(preflight):
    style = preflight.folder / "workflow/report/preflight/style.css"
    style.write_text(style.read_text() + "\n")
    assert preflight.planned(target="preflight") == {"write_preflight": 1}
