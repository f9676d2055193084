"""The rerun contract: what an edit makes Snakemake do again, by dry run on a finished workflow."""

import ast
import os
import re
import shutil
import subprocess

import pytest

from ftft.artifacts import Provenance, read_json, read_stamp, working, write_json

TABLE = {"collect_scores": 1, "compare_methods": 1, "write_table": 1}
# What reads ERM runs, runs to the end, and reference runs, beside the table.
FULL_RUNS = {"write_patience": 1, "plot_learning_curves": 1}
ERM_RUNS = {"write_model_costs": 1, **FULL_RUNS}
REFERENCES = {"write_easy_shares": 1, "plot_true_class": 1}


def edit(**changes):
    """Set dotted keys of the configuration; a value of None removes the key."""

    def apply(config):
        for path, value in changes.items():
            *parents, key = path.split("__")
            entry = config
            for parent in parents:
                entry = entry.setdefault(parent, {})
            if value is None:
                del entry[key]
            else:
                entry[key] = value

    return apply


def add_reference(config):
    config["models"]["other"] = dict(config["models"]["small"])
    row = {"method": "DM", "main": "large", "reference": "other", "section": "Transfer"}
    config["tables"]["table1"]["rows"].append(row)


def add_evaluation_set(config):
    task = config["tasks"]["demo"]
    task["datasets"]["r2_test"] = {"source": "demo", "split": "r2_test", "rows": 40}
    task["evaluate"].append("r2_test")


def remove_evaluation_set(config):
    config["tasks"]["demo"]["evaluate"].remove("r3_test")


def swap_epochs_and_patience(config):
    patience = config.setdefault("early_stopping", {}).get("patience", 2)
    config["early_stopping"]["patience"] = config["training"]["epochs"]
    config["training"]["epochs"] = patience


def reverse_key_order(config):
    def reversed_keys(value):
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return value

    reordered = reversed_keys(dict(config))
    config.clear()
    config.update(reordered)


def without_curves(jobs):
    return {rule: count for rule, count in jobs.items() if rule != "plot_learning_curves"}


STOPPED = {"train_main": 2, "evaluate": 6, **TABLE, "plot_learning_curves": 1}
HELD = {"describe_selections": 1}
SELECTED = {"train_main": 3, "evaluate": 9, **HELD, **TABLE, **FULL_RUNS}
MAPS = {"plot_data_map": 1, "write_map_page": 1}
ISSUES = {"find_issues": 1, "write_map_page": 1}
MAPPED = {"build_data_map": 1, "make_supervision": 1, **HELD, **MAPS, **ISSUES}
ALL_TRAINING = {
    "train_reference": 2,
    "train_main": 4,
    "evaluate": 15,
    **MAPPED,
    **TABLE,
    **ERM_RUNS,
    **REFERENCES,
}
LENGTHS = {"demo": {"main": "large", "references": ["small"], "steps": [25]}}

CONTRACT = {
    "key order": (reverse_key_order, {}),
    "a number's spelling": (edit(training__epochs=3.0), {}),
    "runtime settings": (
        edit(
            runtime={
                "device": "cpu",
                "threads": 2,
                "mem_mb": 2000,
                "evaluation_batch_tokens": 512,
                "sharding": "fsdp2",
                "micro_batch_size": 4,
                "gradient_checkpointing": True,
                "keep_models": "finetuned",
            }
        ),
        {},
    ),
    "what a failed reference does": (edit(checks__failed_reference="refuse"), {}),
    "a seed added": (
        edit(seeds=[0, 1]),
        {
            "train_reference": 2,
            "build_data_map": 1,
            "make_supervision": 2,
            "train_main": 4,
            "evaluate": 15,
            "plot_overlap": 1,
            **HELD,
            **TABLE,
            **ERM_RUNS,
            **REFERENCES,
        },
    ),
    "a reference model added": (
        add_reference,
        {
            "prepare_encoder": 1,
            "train_reference": 1,
            "train_main": 1,
            "evaluate": 3,
            "plot_overlap": 1,
            "write_model_costs": 1,
            "write_patience": 1,
            **MAPPED,
            **TABLE,
            **REFERENCES,
        },
    ),
    "the fraction": (
        edit(selection={"fraction": 0.5}),
        {"make_supervision": 2, **MAPS, **SELECTED},
    ),
    "the selection rule": (
        edit(selection={"rule": "quantile"}),
        {"make_supervision": 1, **SELECTED, "train_main": 2, "evaluate": 6},
    ),
    "the patience": (edit(early_stopping={"patience": 1}), STOPPED),
    "the monitored sets": (edit(early_stopping={"monitors": ["id"]}), STOPPED),
    "a monitor added": (edit(early_stopping={"monitors": ["ood", "id"]}), without_curves(STOPPED)),
    "the main model's learning rate": (
        edit(models__large__training={"learning_rate": 2.0e-3}),
        {"train_reference": 1, "train_main": 4, "evaluate": 15, **TABLE, **ERM_RUNS},
    ),
    "an adapter of the main model": (
        edit(models__large__adapter={"rank": 4}),
        {"train_reference": 1, "train_main": 4, "evaluate": 15, **TABLE, **ERM_RUNS},
    ),
    "the reference model's learning rate": (
        edit(models__small__training={"learning_rate": 2.0e-3}),
        {
            "train_reference": 1,
            "train_main": 2,
            "evaluate": 6,
            **MAPPED,
            **TABLE,
            **ERM_RUNS,
            **REFERENCES,
        },
    ),
    "training lengths added": (
        edit(figures={"training_length": LENGTHS}),
        {"train_main": 2, "evaluate": 6, **HELD, **TABLE, "plot_training_length": 1},
    ),
    "an evaluation set added": (
        add_evaluation_set,
        {"prepare_data": 1, "check_data": 1, "evaluate": 5, **ISSUES, **TABLE},
    ),
    "an evaluation set removed": (remove_evaluation_set, {"check_data": 1, **ISSUES, **TABLE}),
    "the table's metric": (
        edit(tables__table1__metric="macro_f1"),
        {"compare_methods": 1, "write_table": 1},
    ),
    "the table's title": (edit(tables__table1__title="Another"), {"write_table": 1, **HELD}),
    "the confidence": (
        edit(statistics={"confidence": 0.9}),
        {"compare_methods": 1, "write_table": 1},
    ),
    "who counts as hard-to-learn": (edit(figures={"hard_fraction": 0.2}), {"plot_true_class": 1}),
    "the leakage policy": (
        edit(checks__leakage="refuse"),
        {"check_data": 1, "collect_scores": 1, "write_table": 1, **ISSUES},
    ),
    "values of two keys swapped": (swap_epochs_and_patience, ALL_TRAINING),
    "the training data": (
        edit(tasks__demo__datasets__train={"source": "demo", "split": "train", "rows": 220}),
        {"prepare_data": 1, "check_data": 1, "prepare_encoder": 2, **ALL_TRAINING, "make_supervision": 2},
    ),
}


def both(*changes):
    """Several edits in one."""

    def apply(config):
        for change in changes:
            change(config)

    return apply


# Snakemake overlooks reasons to run behind an ancient input whose maker runs in the same call.
SET_ADDED = {"prepare_data": 1, "check_data": 1, **TABLE}
CONTRACT |= {
    "an evaluation set added and the learning rate": (
        both(add_evaluation_set, edit(training__learning_rate=5.0e-3)),
        {**ALL_TRAINING, **SET_ADDED, "evaluate": 5 * 4},
    ),
    "an evaluation set added and the selection rule": (
        both(add_evaluation_set, edit(selection={"rule": "quantile"})),
        {
            "make_supervision": 1,
            "train_main": 2,
            "evaluate": 2 * 3 + 5,
            **HELD,
            **FULL_RUNS,
            **ISSUES,
            **SET_ADDED,
        },
    ),
}


@pytest.mark.parametrize("change", CONTRACT)
def test_config_edit_reruns_what_it_defines(workflow, change):
    apply, expected = CONTRACT[change]
    workflow.edit(apply)
    assert workflow.planned() == expected


def source_files(workflow):
    return [
        path
        for name in ("Snakefile", "rules", "src", "workflow", "profiles", "envs", "config")
        for path in (
            [workflow.folder / name]
            if (workflow.folder / name).is_file()
            else (workflow.folder / name).rglob("*")
        )
        if path.is_file() and "__pycache__" not in path.parts
    ]


def test_nothing_to_do_when_nothing_changed(workflow):
    assert workflow.planned() == {}


def test_comment_in_every_file_reruns_nothing(workflow):
    for path in source_files(workflow):
        if path.suffix in {".py", ".smk", ".yaml"} or path.name == "Snakefile":
            path.write_text(path.read_text() + "\n# a remark\n")
    assert workflow.planned() == {}


def test_docstring_and_formatting_rerun_nothing(workflow):
    for path in (workflow.folder / "src" / "ftft").rglob("*.py"):
        text = re.sub(r'"""(\w)', r'"""Once more: \1', path.read_text())
        path.write_text(text.replace("\ndef ", "\n\n\n\ndef "))
    assert workflow.planned() == {}


def test_touching_every_file_reruns_nothing(workflow):
    for path in source_files(workflow):
        path.touch()
    assert workflow.planned() == {}


def test_checkout_back_and_forth_reruns_nothing(workflow):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=workflow.folder, check=True, capture_output=True)

    git("init", "--initial-branch", "one")
    git("add", "Snakefile", "rules", "src", "workflow", "profiles", "envs", "config")
    git("commit", "--message", "one")
    git("checkout", "-b", "two")
    for path in source_files(workflow):
        if path.suffix == ".py":
            path.write_text("VALUE = 1\n" + path.read_text())
    git("commit", "--all", "--message", "two")
    git("checkout", "one")
    shutil.rmtree(workflow.folder / ".git")
    assert workflow.planned() == {}


def test_second_clone_with_copied_results_reruns_nothing(workflow, root, tmp_path, tiny_config):
    clone = tmp_path / "clone"
    shutil.copytree(workflow.folder, clone)
    second = type(workflow)(root, clone, tiny_config)
    assert second.planned() == {}


FIGURES = {"plot_true_class": 1, "plot_learning_curves": 1, "plot_data_map": 1}


def in_every_function(text: str) -> str:
    """Code that does one more thing in each of its functions."""
    lines = text.splitlines(keepends=True)
    starts = {
        node.body[-1].lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.body[-1].lineno > node.lineno
    }
    for number in sorted(starts, reverse=True):
        line = lines[number - 1]
        lines.insert(number - 1, f"{line[: len(line) - len(line.lstrip())]}answer = 42\n")
    return "".join(lines)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("src/ftft/results/provenance.py", {"write_table": 1}),
        ("src/ftft/statistics/bootstrap.py", {"compare_methods": 1, "write_table": 1}),
        ("src/ftft/paper/claims.py", {}),
        ("src/ftft/results/patience.py", {"write_patience": 1}),
        ("src/ftft/results/figures/true_class.py", {"plot_true_class": 1}),
        ("src/ftft/results/figures/style.py", FIGURES),
        (
            "src/ftft/cartography/selection.py",
            {"make_supervision": 2, **SELECTED, **REFERENCES, **MAPS},
        ),
        (
            "src/ftft/cartography/datamap.py",
            {"build_data_map": 1, "make_supervision": 2, **SELECTED, **REFERENCES, **MAPS, **ISSUES},
        ),
        ("src/ftft/training/loop.py", ALL_TRAINING),
        # Chance is one of these.
        (
            "src/ftft/cartography/controls.py",
            {"make_supervision": 1, "train_main": 1, "evaluate": 3, **HELD, **TABLE, "write_patience": 1},
        ),
        # No row selects by these, and no task is of that kind.
        ("src/ftft/cartography/mixtures.py", {}),
        ("src/ftft/tasks/multiple_choice.py", {}),
        ("src/ftft/errors.py", {}),
        ("src/ftft/execution/progress.py", {}),
        ("src/ftft/pipeline/config/tables.py", {}),
    ],
)
def test_code_edit_reruns_what_it_defines(workflow, module, expected):
    path = workflow.folder / module
    path.write_text(in_every_function(path.read_text()))
    assert workflow.planned() == expected


def test_an_edited_script_reruns_its_rule_and_an_unused_definition_nothing(workflow):
    library = workflow.folder / "src/ftft/training/loop.py"
    library.write_text(library.read_text() + "\nANSWER = 42\n")
    assert workflow.planned() == {}
    script = workflow.folder / "workflow/scripts/train.py"
    script.write_text(script.read_text() + "\nANSWER = 42\n")
    assert workflow.planned() == ALL_TRAINING


WITHOUT_VIEWS = {
    "train_reference",
    "train_main",
    "evaluate",
    "build_data_map",
    "make_supervision",
    "collect_scores",
}


def stamped(jobs):
    return {rule: count for rule, count in jobs.items() if rule in WITHOUT_VIEWS}


def test_stale_results_are_found_without_records_too(workflow):
    records = workflow.folder / ".snakemake"
    records.rename(workflow.folder / "away")
    try:
        workflow.edit(edit(training__learning_rate=5.0e-3))
        assert stamped(workflow.planned()) == stamped(ALL_TRAINING)
    finally:
        shutil.rmtree(records)
        (workflow.folder / "away").rename(records)


def test_touch_certifies_no_stale_result(another, workflow, root, tmp_path, tiny_config):
    clone = tmp_path / "clone"
    shutil.copytree(workflow.folder, clone)
    second = type(workflow)(root, clone, tiny_config)
    second.edit(edit(models__small__training={"learning_rate": 2.0e-3}))
    touched = second.snakemake("--touch", "--", "paper")
    assert touched.returncode == 0, touched.stdout
    assert second.planned()["train_reference"] == 1


def test_a_table_that_nobody_asked_for_is_not_made_again(workflow):
    workflow.edit(edit(training__learning_rate=5.0e-3))
    assert workflow.planned(target="results/data/demo/train.parquet") == {}


def test_a_ledger_with_other_times_retrains_nothing(copied):
    path = copied.folder / "results/runs/demo/small/all/full/seed0/ledger.json"
    stamp, ledger = read_stamp(path), read_json(path)
    ledger["cost"]["training_seconds"] += 1
    with working(Provenance(stamp["slice"], stamp["code"], inputs=stamp["inputs"])):
        write_json(path, ledger)
    planned = copied.planned()
    assert planned["collect_scores"] == planned["write_table"] == 1
    assert not {"train_reference", "build_data_map", "train_main", "evaluate"} & set(planned)


@pytest.mark.long
def test_a_file_of_another_content_is_noticed_whatever_its_age(fresh):
    data, encoder = fresh.folder / "train.csv", fresh.folder / "encoder"
    rows = [
        f"u{row},premise {row},hypothesis {row},{('neutral', 'entailment')[row % 2]}" for row in range(40)
    ]
    text = "\n".join(["uid,premise,hypothesis,label", *rows, ""])
    data.write_text(text)
    targets = ["results/data/demo/train.parquet", "results/encoders/demo/small/config.json"]
    assert fresh.snakemake("--", targets[1]).returncode == 0
    shutil.move(fresh.folder / "results/encoders/demo/small", encoder)

    def from_files(config):
        config["tasks"]["demo"]["datasets"]["train"] = {"source": "file", "path": "train.csv"}
        config["models"]["small"] = {"source": "folder", "path": "encoder"}

    fresh.edit(from_files)
    run = fresh.snakemake("--", *targets)
    assert run.returncode == 0, run.stdout
    for path in (data, encoder / "config.json", encoder / "model.safetensors"):
        path.touch()
    assert [fresh.planned(target=target) for target in targets] == [{}, {}]

    # As long, and older than what was made of it: `cp -p`, `git checkout` or `mv` leave such files.
    replace(data, text.replace("premise 7,", "premise 8,").encode())
    weights = bytearray((encoder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    replace(encoder / "model.safetensors", bytes(weights))
    assert [fresh.planned(target=target) for target in targets] == [
        {"prepare_data": 1},
        {"prepare_encoder": 1},
    ]


def replace(path, content: bytes) -> None:
    """Put an older file in another's place."""
    other = path.with_name("other")
    other.write_bytes(content)
    os.utime(other, (1_000_000_000, 1_000_000_000))
    os.replace(other, path)


LARGE = "results/evaluations/demo/large/all/full/seed0"


@pytest.mark.long
def test_models_that_are_not_kept_are_trained_again_for_what_is_new(copied):
    models = [path.parent for path in copied.folder.glob("results/runs/**/model.safetensors")]
    assert len(models) == 6
    copied.edit(edit(runtime__keep_models="finetuned"))
    assert copied.planned() == {}
    os.remove(copied.folder / LARGE / "validation.parquet")
    run = copied.snakemake("--", f"{LARGE}/validation.parquet")
    assert run.returncode == 0, run.stdout
    assert not list(copied.folder.glob("results/runs/demo/large/all/full/seed0/model/*"))
    assert copied.planned() == {}
    copied.edit(add_evaluation_set)
    code, shown = copied.dry_run("--", f"{LARGE}/r2_test.parquet")
    assert code == 0 and "1 training(s) are repeated: their models are needed again" in shown
    assert copied.planned(target=f"{LARGE}/r2_test.parquet") == {
        "prepare_data": 1,
        "check_data": 1,
        "train_reference": 1,
        "evaluate": 1,
    }


@pytest.mark.long
def test_the_check_counts_cut_rows_by_model_and_trains_nothing(copied):
    assert copied.planned(target="check") == {"check_lengths": 2}
    copied.edit(edit(training__max_length=18))
    run = copied.snakemake("--", "check")
    assert run.returncode == 0, run.stdout
    for model in ("small", "large"):
        counts = read_json(copied.folder / f"results/checks/demo/{model}.json")["datasets"]
        assert set(counts) == {"train", "validation", "r1_dev", "r3_dev", "r1_test", "r3_test"}
        assert 0 < counts["train"]["rows"] < counts["train"]["total"] == 200
    log = (copied.folder / "logs/check_lengths/demo/small.log").read_text()
    assert "of 200 rows are longer than max_length, 18 tokens" in log


def test_policy_is_named_where_the_default_profile_is_missing(copied):
    target = "results/checks/demo.json"
    os.remove(copied.folder / target)
    without = copied.snakemake("--workflow-profile", "none", "--rerun-triggers", "mtime", "--", target)
    assert "Rerun triggers differ from profiles/default" in without.stdout


def test_a_job_of_a_cluster_trains_its_own_run_alone(workflow):
    run = "task=demo,model=large,supervision=small-ambiguous-33,budget=full,seed=0"
    code, shown = workflow.dry_run(
        *("--target-jobs", f"train_main:{run}", "--allowed-rules", "train_main", "--force"),
        *("--rerun-triggers", "params", "input", "mtime", "--mode", "remote"),
    )
    assert code == 0 and re.findall(r"Job \d+: (.*)", shown) == [
        "Fine-tune the main model large on small-ambiguous-33, budget full, seed 0"
    ]
