import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.artifacts import canonical_json
from ftft.errors import ConfigError
from ftft.pipeline import parameters as slices
from ftft.pipeline import plan, registry
from ftft.pipeline.config import METHODS, resolve
from ftft.pipeline.config.errors import known_keys
from ftft.pipeline.config.settings import Runtime
from ftft.pipeline.names import Run, Supervision

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
SUPERVISIONS = st.builds(
    Supervision, NAMES, st.sampled_from(list(registry.SELECTORS)), st.floats(1e-9, 1)
) | st.builds(Supervision, st.none(), st.none(), st.floats(1e-9, 1))


@given(SUPERVISIONS)
def test_a_supervisions_name_spells_it(supervision):
    parsed = Supervision.parse(supervision.name)
    assert (parsed.reference, parsed.selector) == (supervision.reference, supervision.selector)
    assert parsed.fraction == pytest.approx(supervision.fraction, abs=1e-12)
    assert parsed.name == supervision.name


@pytest.mark.parametrize(
    ("supervision", "name"),
    [
        (Supervision(None, None, 0.33), "random-33"),
        (Supervision(None, None, 1), "random-100"),
        (Supervision("small", "ambiguous", 0.29), "small-ambiguous-29"),
        (Supervision("small", "hard-to-learn", 0.125), "small-hard-to-learn-12.5"),
        (Supervision("a-easy-5", "easy", 1e-7), "a-easy-5-easy-0.00001"),
        (Supervision("a-hard", "with_easy.2", 0.5), "a-hard-with_easy.2-50"),
    ],
)
def test_supervision_names(supervision, name):
    assert supervision.name == name
    assert Supervision.parse(name) == replace(supervision, fraction=pytest.approx(supervision.fraction))


@pytest.mark.parametrize(
    "name",
    [
        "all",
        "random",
        "random-0",
        "random-101",
        "random-",
        "small-33",
        "-easy-33",
        "x-easy-1e1",
    ],
)
def test_other_names_are_no_supervisions(name):
    with pytest.raises(ConfigError, match=f"'{name}' is not the name of a supervision"):
        Supervision.parse(name)


def run(model, supervision="all", budget="full", seed=0):
    return Run("demo", model, supervision, budget, seed)


@pytest.mark.parametrize(
    ("row", "supervision", "budget", "references"),
    [
        ({"method": "ERM"}, "all", "full", []),
        ({"method": "ERM(ES)"}, "all", "stopped-ood", []),
        ({"method": "DM", "reference": "random"}, "random-33", "full", []),
        ({"method": "FTFT", "reference": "random", "fraction": 0.1}, "random-10", "stopped-ood", []),
        ({"method": "DM", "reference": "small"}, "small-ambiguous-33", "full", ["small"]),
        ({"method": "DM", "reference": "small", "selector": "easy"}, "small-easy-33", "full", ["small"]),
        (
            {"method": "FTFT", "reference": "large", "selector": "hard-to-learn", "fraction": 0.5},
            "large-hard-to-learn-50",
            "stopped-ood",
            ["large"],
        ),
    ],
)
def test_a_row_needs_one_main_run_per_seed_and_its_reference_runs(tiny, row, supervision, budget, references):
    tiny["seeds"] = [3, 1]
    row = {"main": "large", **row}
    tiny["tables"]["table1"]["rows"] = [row]
    config = resolve(tiny)
    row = config.tables["table1"].rows[0]
    assert plan.row_supervision(row, config) == supervision
    assert plan.row_runs(row, "demo", config) == [run("large", supervision, budget, seed) for seed in (3, 1)]
    expected = [run(reference, seed=seed) for reference in references for seed in (3, 1)]
    assert plan.reference_runs(row, "demo", config) == expected


def test_issues_go_by_the_scores_of_the_kind_unless_some_are_named(tiny):
    own = list(registry.KINDS["classification"].issue_scores)
    assert slices.issues_slice(resolve(tiny), "demo")["scores"] == own
    named = resolve({**tiny, "issues": {"scores": ["correctness"]}})
    assert slices.issues_slice(named, "demo")["scores"] == ["correctness"]


def test_every_method_that_the_schema_offers_has_its_runs(tiny):
    rows = [{"method": name, "main": "large"} for name in METHODS]
    for row in rows:
        if not row["method"].startswith("ERM"):
            row["reference"] = "small"
    tiny["tables"]["table1"]["rows"] = rows
    config = resolve(tiny)
    assert plan.table_runs(config.tables["table1"], config) == [
        run("large"),
        run("large", budget="stopped-ood"),
        run("large", "small-ambiguous-33"),
        run("large", "small-ambiguous-33", "stopped-ood"),
    ]


def test_a_table_counts_the_cost_of_references_and_of_the_unit_once(tiny):
    tiny["tables"]["table1"]["rows"] = [{"method": "FTFT", "main": "large", "reference": "small"}] * 2
    config = resolve(tiny)
    table = config.tables["table1"]
    ftft = run("large", "small-ambiguous-33", "stopped-ood")
    # ERM of the main model is what a row is compared with.
    assert plan.table_runs(table, config) == [ftft, run("large")]
    assert plan.table_reference_runs(table, config) == [run("small")]
    assert plan.cost_runs(table, config) == [ftft, run("large"), run("small")]
    tiny["models"]["other"] = tiny["models"]["small"]
    assert plan.cost_runs(table.changed(cost_of="other"), resolve(tiny))[-1] == run("other")


def test_the_unit_of_cost_is_the_last_rows_main_model_unless_named(tiny):
    table = tiny["tables"]["table1"]
    table["rows"].append({"method": "ERM", "main": "small"})
    assert resolve(tiny).tables["table1"].cost_unit == "small"
    table["cost_of"] = "large"
    assert resolve(tiny).tables["table1"].cost_unit == "large"


def test_a_row_is_shown_once_per_monitor(tiny):
    tiny["early_stopping"] = {"monitors": ["ood", "id"]}
    config = resolve(tiny)
    rows = config.tables["table1"].rows
    budgets = [(row.method, plan.row_budget(row)) for row in rows]
    assert budgets == [
        ("ERM", "full"),
        ("ERM(ES)", "stopped-ood"),
        ("ERM(ES)", "stopped-id"),
        ("DM", "full"),
        ("DM", "full"),
        ("FTFT", "stopped-ood"),
        ("FTFT", "stopped-id"),
    ]


def test_a_shorter_row_has_runs_and_a_baseline_of_its_own_length(tiny):
    row = {"method": "DM", "main": "large", "reference": "small", "steps": 20}
    tiny["tables"]["table1"]["rows"] = [row]
    config = resolve(tiny)
    table = config.tables["table1"]
    shorter = [run("large", "small-ambiguous-33", "steps-20"), run("large", budget="steps-20")]
    assert plan.table_runs(table, config) == shorter
    # Its cost is measured against the full length.
    assert plan.cost_runs(table, config) == [*shorter, run("small"), run("large")]


def test_training_lengths_make_a_table_of_every_method_and_length(tiny):
    lengths = {"main": "large", "references": ["random", "small"], "steps": [20, 40]}
    tiny["figures"] = {"training_length": {"demo": lengths}}
    rows = resolve(tiny).tables["training-length-demo"].rows
    shown = [(row.method, row.reference, row.steps) for row in rows]
    assert shown == [
        (method, reference, steps)
        for method, reference in (("ERM", None), ("DM", "random"), ("DM", "small"))
        for steps in (20, 40, None)
    ]


def test_learning_curves_are_of_runs_to_the_end_where_a_table_has_them(tiny):
    config = resolve(tiny)
    assert plan.curve_runs(config, "demo") == {
        ("large: ERM", 0): run("large"),
        ("large: DM, small", 0): run("large", "small-ambiguous-33"),
    }
    tiny["tables"]["table1"]["rows"] = [{"method": "FTFT", "main": "large", "reference": "small"}]
    stopped = run("large", "small-ambiguous-33", "stopped-ood")
    assert plan.curve_runs(resolve(tiny), "demo") == {("large: DM, small", 0): stopped}


def test_an_overlap_needs_two_selections(tiny):
    assert plan.overlap_groups(resolve(tiny), "demo") == {}
    tiny["seeds"] = [0, 1]
    config = resolve(tiny)
    assert plan.overlap_groups(config, "demo") == {"references": ["small"]}
    assert plan.overlap_supervisions(config, "demo", "references") == [
        f"results/supervisions/demo/small-ambiguous-33/seed{seed}.parquet" for seed in (0, 1)
    ]


def test_the_files_that_a_run_left_and_came_from(tiny):
    config = resolve(tiny)
    files = plan.files_of(run("large", "small-ambiguous-33", "stopped-ood", 7), config)
    assert files["ledger"] == "results/runs/demo/large/small-ambiguous-33/stopped-ood/seed7/ledger.json"
    assert files["data_map"] == "results/maps/demo/small/seed7.parquet"
    assert files["reference"] == "results/runs/demo/small/all/full/seed7/ledger.json"
    assert "data_map" not in plan.files_of(run("large", "random-33"), config)
    assert "supervision" not in plan.files_of(run("large"), config)


def test_a_runs_path_tells_it_apart():
    assert run("large", "random-33", "stopped-ood", 7).path == "demo/large/random-33/stopped-ood/seed7"


def test_the_validation_set_is_scored_first_and_once(tiny):
    task = tiny["tasks"]["demo"]
    task["dev"] = ["r1_dev", "validation", "r3_dev"]
    resolved = resolve(tiny).tasks["demo"]
    assert resolved.development_sets == ["validation", "r1_dev", "r3_dev"]
    assert resolved.used_datasets == ["train", "validation", "r1_dev", "r3_dev", "r1_test", "r3_test"]


@pytest.mark.parametrize(("monitor", "monitored"), [("ood", ["r1_dev", "r3_dev"]), ("id", ["validation"])])
def test_a_stop_rule_monitors_the_tasks_metric_on_the_chosen_sets(tiny, monitor, monitored):
    tiny["early_stopping"] = {"patience": 5}
    tiny["tasks"]["demo"]["metric"] = "macro_f1"
    rule = {"patience": 5, "metric": "macro_f1", "monitored": monitored}
    config = resolve(tiny)
    assert slices.stop_rule(config, "demo", monitor) == rule
    assert slices.training_slice(config, "demo", "large", f"stopped-{monitor}")["early_stopping"] == rule


def test_a_budget_of_steps_changes_the_planned_length_alone(tiny):
    config = resolve(tiny)
    whole = slices.training_slice(config, "demo", "large", "full")
    shorter = slices.training_slice(config, "demo", "large", "steps-20")
    recipe = {**whole["recipe"], "steps": 20}
    del recipe["epochs"]
    assert shorter == {**whole, "recipe": recipe}


def slices_of(tiny):
    config = resolve(tiny)
    made = {
        "check": slices.check_slice(config, "demo"),
        "map": slices.map_slice(config),
        "scores": slices.scores_slice(config, "table1"),
        "comparisons": slices.comparisons_slice(config, "table1"),
        "table": slices.table_slice(config, "table1"),
        "table3": slices.model_costs_slice(config),
        "table4": slices.easy_share_slice(config),
        "patience": slices.patience_slice(config),
        "claims": slices.claims_slice(config),
    }
    for dataset in ("train", "r1_test"):
        made[f"data {dataset}"] = slices.dataset_slice(config, "demo", dataset)
    for name in ("small-ambiguous-33", "random-33"):
        made[f"supervision {name}"] = slices.supervision_slice(config, name)
    for model in ("small", "large"):
        made[f"encoder {model}"] = slices.encoder_slice(config, "demo", model)
        made[f"lengths {model}"] = slices.lengths_slice(config, "demo", model)
        made[f"evaluation {model}"] = slices.evaluation_slice(config, "demo", model)
        for budget in ("full", "stopped-ood"):
            made[f"training {model} {budget}"] = slices.training_slice(config, "demo", model, budget)
    return {name: canonical_json(value) for name, value in made.items()}


DATA = {"data train", "data r1_test"}
TRAINING = {
    f"training {model} {budget}" for model in ("small", "large") for budget in ("full", "stopped-ood")
}
STOPPED = {name for name in TRAINING if name.endswith("stopped-ood")}
EVALUATION = {"evaluation small", "evaluation large"}
LENGTHS = {"lengths small", "lengths large"}
CHECKS = {"check", *LENGTHS}
LARGE = {"training large full", "training large stopped-ood"}
ROWS = {"table", "comparisons"}
SUMMARIES = {"table3", "table4", "patience"}
RUNTIME = [
    ({"runtime": {key: value}}, set())
    for key, value in {
        "device": "auto",
        "require_gpu": True,
        "processes": 2,
        "threads": 7,
        "mem_mb": 77,
        "minutes": 7,
        "evaluation_batch_tokens": 77,
        "warm_start": False,
        "fast_models": False,
        "scratch": "elsewhere",
        "state_minutes": 7,
        "sharding": "fsdp2",
        "micro_batch_size": 4,
        "gradient_checkpointing": True,
        "keep_models": "none",
        "keep_states": "none",
        "trackers": ["tensorboard"],
    }.items()
]
EDITS = [
    ({"early_stopping": {"patience": 3}}, STOPPED),
    ({"early_stopping": {"monitors": ["id"]}}, ROWS),
    ({"selection": {"rule": "quantile"}}, {"supervision small-ambiguous-33"}),
    ({"selection": {"fraction": 0.5}}, ROWS | {"scores", "patience"}),
    ({"checks": {"leakage": "refuse"}}, {"check"}),
    ({"seeds": [0, 1]}, SUMMARIES | {"table"}),
    ({"training": {"epochs": 5}}, TRAINING),
    (
        {"training": {"max_length": 32}},
        TRAINING | EVALUATION | LENGTHS | {"encoder small", "encoder large"},
    ),
    ({"models": {"large": {"training": {"learning_rate": 0.1}}}}, LARGE),
    (
        {"models": {"large": {"training": {"max_length": 32}}}},
        LARGE | {"evaluation large", "lengths large", "encoder large"},
    ),
    ({"models": {"large": {"adapter": {"rank": 4}}}}, LARGE),
    ({"models": {"large": {"adapter": {"targets": ["query"]}}}}, LARGE | {"encoder large"}),
    ({"models": {"large": {"separator": " | "}}}, {"encoder large"}),
    ({"models": {"large": {"parameters_m": 3}}}, {"table", "table3", "patience"}),
    ({"models": {"small": {"architecture": {"hidden_size": 8}}}}, {"encoder small"}),
    ({"models": {"small": {"tokenizer": {"kind": "bpe"}}}}, {"encoder small"}),
    ({"tasks": {"demo": {"evaluate": ["r1_test", "r3_test"]}}}, ROWS),
    ({"tasks": {"demo": {"evaluate": ["validation", "r1_test"]}}}, ROWS | CHECKS),
    ({"tasks": {"demo": {"dev": ["r1_dev"]}}}, TRAINING | CHECKS | {"patience"}),
    ({"tasks": {"demo": {"metric": "macro_f1"}}}, STOPPED | ROWS | {"scores", "table4", "patience"}),
    ({"tasks": {"demo": {"labels": ["neutral", "entailment", "contradiction"]}}}, DATA | TRAINING),
    ({"tasks": {"demo": {"datasets": {"train": {"rows": 300}}}}}, {"data train"}),
    ({"tables": {"table1": {"title": "Other"}}}, {"table"}),
    ({"tables": {"table1": {"metric": "macro_f1"}}}, ROWS),
    ({"tables": {"table1": {"cost_of": "small"}}}, {"table", "table3", "patience"}),
    ({"statistics": {"resamples": 5000}}, {"comparisons", "claims"}),
    ({"statistics": {"confidence": 0.9}}, ROWS | {"claims"}),
    *RUNTIME,
]


def overlaid(config, edit):
    if not isinstance(config, dict) or not isinstance(edit, dict):
        return edit
    return {**config, **{key: overlaid(config.get(key), value) for key, value in edit.items()}}


@pytest.mark.parametrize(("edit", "changed"), EDITS, ids=[str(edit) for edit, _ in EDITS])
def test_an_edit_changes_the_slices_that_read_it_and_no_other(tiny, edit, changed):
    before, after = slices_of(copy.deepcopy(tiny)), slices_of(overlaid(tiny, edit))
    assert {name for name in before if before[name] != after[name]} == changed


def test_every_runtime_key_is_tried():
    tried = {key for edit, _ in RUNTIME for key in edit["runtime"]}
    assert tried == set(known_keys(Runtime))
