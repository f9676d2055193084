import copy
import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from snakemake.cli import parse_config
from snakemake.utils import update_config

from ftft.artifacts import canonical_json
from ftft.data.formats import FORMATS
from ftft.data.readers import READERS
from ftft.errors import ConfigError
from ftft.paper import cad
from ftft.pipeline import plan, registry
from ftft.pipeline.config import Configuration, resolve
from ftft.pipeline.config.tasks import PREPARATIONS

ROOT = Path(__file__).parents[2]
CONFIGS = sorted([*ROOT.glob("config/**/*.yaml"), *ROOT.glob("tests/config/**/*.yaml")])
# Those without tasks are laid over the default.
OVERLAYS = [path for path in CONFIGS if "tasks" not in yaml.safe_load(path.read_text(encoding="utf-8"))]
SHIPPED = [path for path in CONFIGS if path not in OVERLAYS]
ABSENT = object()
DATASETS, MODELS, TABLE = "tasks.demo.datasets", "models", "tables.table1"


def edit(config, path, value):
    """Set or delete the entry at a dotted path, or at a tuple of keys where these hold dots."""
    *parents, last = path.split(".") if isinstance(path, str) else path
    for key in parents:
        config = config[int(key) if isinstance(config, list) else key]
    if value is ABSENT:
        del config[last]
    else:
        config[int(last) if isinstance(config, list) else last] = value


def message_of(config):
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    return str(caught.value)


LENGTHS = {"main": "large", "references": ["random"], "steps": [5]}
FAULTS = [
    ("tasks", ABSENT, "the configuration: the key 'tasks' is missing"),
    ("tasks", {}, "tasks: got {}, expected at least 1"),
    ("sedes", [0], "the configuration: unknown key 'sedes'; did you mean 'seeds'?"),
    ("zzz", 1, "the configuration: unknown key 'zzz'; known keys: seeds, tasks"),
    ((7,), 1, "the configuration: unknown key '7'"),
    ("seeds", 3, "seeds: got 3, expected a list"),
    ("seeds", [], "seeds: got [], expected at least 1"),
    ("seeds", [0, 0], "seeds: got [0, 0], expected each entry once"),
    ("seeds", [0, -1], "seeds[1]: got -1, expected at least 0"),
    ("seeds", [0.5], "seeds[0]: got 0.5, expected a whole number"),
    ("seeds", [True], "seeds[0]: got True, expected a whole number"),
    ("training", None, "training: got None, expected a mapping"),
    ("training", 3, "training: got 3, expected a mapping"),
    ("training.learning_rate", "1e-5", "training.learning_rate: got '1e-5'", "write 1.0e-5"),
    ("training.learning_rate", "2E5", "got '2E5', expected a number", "write 2.0e+5"),
    ("training.learning_rate", "1.0e5", "YAML reads 1.0e5 as text: write 1.0e+5"),
    ("training.learning_rate", "1.0e-5", "Write 1.0e-5 without quotes"),
    ("training.learning_rate", "0.001", "Write 0.001 without quotes"),
    ("training.learning_rate", "fast", "training.learning_rate: got 'fast', expected a number\n"),
    ("training.learning_rate", 0, "training.learning_rate: got 0, expected above 0"),
    ("training.learning_rate", float("nan"), "training.learning_rate: got nan, expected a number"),
    ("training.epochs", float("inf"), "training.epochs: got inf, expected a number"),
    ("training.steps", 10, "training: got both 'steps' and 'epochs', expected one of them"),
    ("training.checkpoint_every", 5, "training: got both 'checkpoints' and 'checkpoint_every'"),
    ("models.large.training", {"steps": 1, "epochs": 1}, "models.large.training: got both 'steps'"),
    ("training.batch_plan", "sorted", "training.batch_plan: got 'sorted'", "random, length_grouped"),
    ("training.batch_size", 1.5, "training.batch_size: got 1.5, expected a whole number"),
    ("training.warmup_fraction", 1.1, "training.warmup_fraction: got 1.1, expected at most 1"),
    ("training.lr", 0.1, "training: unknown key 'lr'"),
    ("training.max_length", 3, "training.max_length: got 3, expected at least 4"),
    ("early_stopping", {"patience": 0}, "early_stopping.patience: got 0, expected at least 1"),
    ("early_stopping", {"monitors": ["test"]}, "early_stopping.monitors[0]: got 'test'", "ood, id"),
    ("selection", {"fraction": 0}, "selection.fraction: got 0, expected above 0"),
    ("selection", {"fraction": 1.01}, "selection.fraction: got 1.01, expected at most 1"),
    ("selection", {"fraction": 33}, "selection.fraction: got 33, expected at most 1"),
    ("selection", {"rule": "top"}, "selection.rule: got 'top'", "exact, quantile"),
    ("runtime.require_gpu", "yes please", "runtime.require_gpu", "expected true or false"),
    ("runtime.device", "cuda", "runtime.device: got 'cuda'", "auto, cpu"),
    ("checks", {"leakage": "allow"}, "checks.leakage", "refuse, warn, ignore"),
    ("models", [1], "models: got [1], expected a mapping"),
    ((MODELS, "../x"), {"source": "hub"}, "models: the name '../x' may hold letters, digits"),
    (f"{MODELS}.a/b", {"source": "hub"}, "models: the name 'a/b'"),
    (f"{MODELS}.-x", {"source": "hub"}, "models: the name '-x'"),
    (f"{MODELS}.x\n", {"source": "hub"}, "models: the name 'x\\n'"),
    (f"{MODELS}.{'x' * 81}", {"source": "hub"}, "expected at most 80 characters"),
    (f"{MODELS}.random", {"source": "package", "package": "p"}, "models: the name 'random' is reserved"),
    (f"{MODELS}.full", {"source": "package", "package": "p"}, "models: the name 'full' is reserved"),
    (f"{MODELS}.small", None, "models.small: got None, expected a mapping"),
    (f"{MODELS}.small.source", ABSENT, "models.small: the key 'source' is missing"),
    (f"{MODELS}.small.tokenizer", ABSENT, "models.small: source 'scratch' needs the key 'tokenizer'"),
    (f"{MODELS}.small.tokenizer.kind", "words", "models.small.tokenizer.kind", "wordpiece, unigram, bpe"),
    (f"{MODELS}.small.architecture", {"hidden_size": 8}, "models.small.architecture: the key 'model_type'"),
    (f"{MODELS}.hub", {"source": "hub", "id": "a/b"}, "models.hub: source 'hub' needs the key 'revision'"),
    (f"{MODELS}.package", {"source": "package"}, "models.package: source 'package' needs the key 'package'"),
    (f"{MODELS}.p", {"source": "package", "package": "a-b"}, "models.p.package: got 'a-b'", "Python imports"),
    (f"{MODELS}.folder", {"source": "folder", "path": "/absent"}, "models.folder.path: there is no folder"),
    (f"{DATASETS}.validation.rows", ABSENT, "datasets.validation: source 'demo' needs the key 'rows'"),
    (f"{DATASETS}.validation.split", "tset", f"{DATASETS}.validation.split: got 'tset'", "r3_test"),
    (f"{DATASETS}.x", {"source": "file"}, f"{DATASETS}.x: source 'file' needs the key 'path'"),
    (f"{DATASETS}.x", {"source": "file", "path": "no.csv"}, "there is no file 'no.csv' (relative paths"),
    (f"{DATASETS}.x", {"source": "file", "path": __file__}, "cannot tell the format", ".tab, .jsonl"),
    (f"{DATASETS}.x", {"source": "hub", "id": "a"}, "needs the key 'split'", "needs the key 'revision'"),
    (f"{DATASETS}.x", {"source": "cad"}, "source 'cad' needs the key 'path'", "needs the key 'split'"),
    (f"{DATASETS}.x", {"source": "cad", "path": "no.tsv"}, f"{DATASETS}.x.path: there is no file 'no.tsv'"),
    (f"{DATASETS}.x", {"source": "cad", "split": "dev"}, "split: got 'dev'", "train, validation, test"),
    (f"{DATASETS}.x", {"source": "cad", "preparation": "own"}, "got 'own'", "ramponi-tonelli, official"),
    (f"{DATASETS}.train.where", {}, f"{DATASETS}.train.where: got {{}}, expected at least 1"),
    (f"{DATASETS}.train.where", {"a": []}, f"{DATASETS}.train.where.a: got [], expected at least 1"),
    (f"{DATASETS}.train.where", {"a": [None]}, "train.where.a[0]: got None, expected text or a number"),
    (f"{DATASETS}.train.where", ["a"], "train.where: got ['a'], expected a mapping"),
    (f"{DATASETS}.train.text", ["premise"], f"{DATASETS}.train.text: got ['premise']", "as many columns"),
    (f"{DATASETS}.train.label_names", {"0": "maybe"}, "label_names[0]: 'maybe' is none of the labels"),
    ("tasks.demo.labels", ["one"], "tasks.demo.labels: got ['one'], expected at least 2"),
    ("tasks.demo.labels", [False, True], "tasks.demo.labels[0]: got False, expected text"),
    ("tasks.demo.text", [], "tasks.demo.text: got [], expected at least 1"),
    ("tasks.demo.uid", 3, "tasks.demo.uid: got 3, expected text or nothing"),
    ("tasks.demo.metric", "f1", "tasks.demo.metric: got 'f1'", "accuracy, macro_f1"),
    ("tasks.demo.train", "trian", "tasks.demo.train: there is no data set 'trian'", "mean 'train'?"),
    ("tasks.demo.dev", ["train"], "tasks.demo.dev: 'train' is the training set"),
    ("tasks.demo.validation", "train", "tasks.demo.validation: 'train' is the training set"),
    ("tasks.demo.evaluate", [], "tasks.demo.evaluate: got [], expected at least 1"),
    ("tasks.demo.evaluate", ["r1_tset"], "did you mean 'r1_test'?"),
    ("tasks.demo.dev", [], "tasks.demo.dev: early_stopping.monitors has 'ood'", "monitors: [id]"),
    (f"{TABLE}.task", "dmeo", f"{TABLE}.task: there is no task 'dmeo'"),
    (f"{TABLE}.cost_of", "huge", f"{TABLE}.cost_of: there is no model 'huge'"),
    (f"{TABLE}.rows", None, f"{TABLE}.rows: got None, expected a list"),
    (f"{TABLE}.rows.0.main", "lrage", f"{TABLE}.rows[0].main: there is no model 'lrage'", "'large'?"),
    (f"{TABLE}.rows.0.method", "SFT", f"{TABLE}.rows[0].method: got 'SFT'", "ERM, ERM(ES), DM, FTFT"),
    (f"{TABLE}.rows.0.reference", "small", f"{TABLE}.rows[0]: ERM trains on all data and takes no"),
    (f"{TABLE}.rows.1.reference", "small", f"{TABLE}.rows[1]: ERM(ES) trains on all data"),
    (f"{TABLE}.rows.3.reference", ABSENT, f"{TABLE}.rows[3]: DM needs a reference"),
    (f"{TABLE}.rows.4.reference", "smal", f"{TABLE}.rows[4].reference: there is no model 'smal'", "'small'?"),
    (f"{TABLE}.rows.4.selector", "hard", f"{TABLE}.rows[4].selector: got 'hard'", "hard-to-learn"),
    (
        f"{TABLE}.rows.4.steps",
        9,
        f"{TABLE}.rows[4]: FTFT keeps the full length's schedule and takes no steps",
    ),
    ("tables", {}, "tables: there is nothing to make", "stands_for"),
    ("tables.claims", {"task": "demo", "rows": [{"method": "ERM", "main": "large"}]}, "'claims' is reserved"),
    (f"{MODELS}.small.stands_for", "gpt", f"{MODELS}.small.stands_for: got 'gpt'", "bert-tiny"),
    ("tasks.demo.stands_for", "qa", "tasks.demo.stands_for: got 'qa'", "nli, hsd"),
    ("statistics", {"confidence": 1}, "statistics.confidence: got 1, expected below 1"),
    ("statistics", {"resamples": 1}, "statistics.resamples: got 1, expected at least 1000"),
    (
        "figures",
        {"overlap": {"sizes": ["smal"]}},
        "figures.overlap.sizes: there is no model 'smal'",
        "'small'",
    ),
    ("figures", {"training_length": {"dmo": LENGTHS}}, "figures.training_length.dmo.task: there is no task"),
    (
        "figures",
        {"training_length": {"demo": {**LENGTHS, "main": "lrage"}}},
        "figures.training_length.demo.rows[0].main: there is no model 'lrage'",
    ),
    (f"{TABLE}.rows.4.fraction", 0, f"{TABLE}.rows[4].fraction: got 0, expected above 0"),
]


@pytest.mark.parametrize(("path", "value", "texts"), [(path, value, texts) for path, value, *texts in FAULTS])
def test_a_fault_is_named_with_its_place_and_cure(tiny, path, value, texts):
    edit(tiny, path, value)
    message = message_of(tiny)
    for text in texts:
        assert text in message
    assert "what to do" in message


def test_cures_of_numbers_are_numbers_in_yaml(tiny):
    for text in ("1e-5", "1e5", "1.5e5", "3E-4", "1.0e-5", "2"):
        tiny["training"]["learning_rate"] = text
        cure = message_of(tiny).split("rite ")[1].split()[0]
        assert yaml.safe_load(cure) == float(text)


def test_all_faults_are_reported_at_once_and_counted(tiny):
    tiny["seeds"] = []
    tiny["training"]["epochs"] = -1
    del tiny["models"], tiny["tables"]
    message = message_of(tiny)
    assert "3 faults" in message and message.count("\n  - ") == 3
    for place in ("seeds", "training.epochs", "'models'"):
        assert place in message


def test_two_models_cannot_stand_for_one(tiny):
    tiny["models"]["small"]["stands_for"] = tiny["models"]["large"]["stands_for"] = "electra-small"
    assert "models.large.stands_for: 'electra-small' is already played by 'small'" in message_of(tiny)


def test_faults_across_sections_are_reported_at_once(tiny):
    tiny["tasks"]["demo"]["train"] = "absent"
    tiny["tables"]["table1"]["rows"][0]["main"] = "absent"
    assert "2 faults" in message_of(tiny)


def test_an_empty_configuration_names_what_it_needs():
    assert "2 faults" in message_of({})


def test_defaults_are_filled_in_everywhere(tiny):
    del tiny["checks"]
    config = resolve(tiny)
    assert config.selection.dump() == {"fraction": 0.33, "rule": "exact", "el2n_epochs": [1]}
    assert config.early_stopping.dump() == {"patience": 2, "monitors": ["ood"]}
    assert config.checks.dump() == {
        "leakage": "warn",
        "near_duplicates": 0.8,
        "failed_reference": "refuse",
    }
    assert (config.runtime.threads, config.runtime.device, config.runtime.keep_models) == (1, "cpu", "all")
    task = config.tasks["demo"]
    assert (task.kind, task.metric, task.label) == ("classification", "accuracy", "label")
    assert task.datasets["train"].seed == 0
    assert config.tables["table1"].rows[4].selector == "ambiguous"
    del tiny["seeds"]
    assert resolve(tiny).seeds == (0, 1, 2, 3)


def test_jobs_get_the_same_configuration_as_plain_data(tiny):
    tiny["tasks"]["demo"]["datasets"]["train"]["uid"] = None
    config = resolve(tiny, configfiles=["a.yaml"])
    dumped = json.loads(json.dumps(config.dump()))
    assert Configuration.model_validate(dumped) == config
    # An absent key is left out; null that was written is not.
    assert "steps" not in dumped["models"]["small"]["training"]
    assert dumped["tasks"]["demo"]["datasets"]["train"]["uid"] is None
    assert dumped["runtime"]["configfiles"] == ["a.yaml"]


def test_a_configuration_cannot_be_changed(tiny):
    with pytest.raises(ValidationError):
        resolve(tiny).seeds = (1,)


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("tables.table1.rows.1.monitor", "ood"),
        ("tables.table1.left_out", ["ERM small"]),
        ("runtime.configfiles", ["x"]),
    ],
)
def test_what_the_workflow_sets_nobody_may_write(tiny, path, entry):
    edit(tiny, path, entry)
    assert f"unknown key '{path.rpartition('.')[2]}'; it is set by the workflow" in message_of(tiny)


@pytest.mark.parametrize(
    ("option", "place", "value"),
    [
        ("seeds=[1]", "seeds", (1,)),
        ("training={epochs: 2}", "training.epochs", 2.0),
        ("training={learning_rate: 1e-5}", "training.learning_rate", 1e-5),
        ("runtime={warm_start: false}", "runtime.warm_start", False),
        ("checks={leakage: refuse}", "checks.leakage", "refuse"),
        ("tasks={demo: {label: 3}}", "tasks.demo.label", "3"),
    ],
)
def test_the_command_line_gives_numbers_as_text(tiny, option, place, value):
    given = parse_config([option])
    update_config(tiny, given)
    found = resolve(tiny, command_line=given)
    for key in place.split("."):
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    assert found == value and type(found) is type(value)


def test_what_the_command_line_leaves_unclear_is_refused(tiny):
    given = parse_config(["seeds=3", "training={epochs: many}"])
    update_config(tiny, given)
    with pytest.raises(ConfigError) as caught:
        resolve(tiny, command_line=given)
    assert "seeds: got 3, expected a list" in str(caught.value)
    assert "training.epochs: got 'many', expected a number" in str(caught.value)


def ask(config, **entries):
    """A table with one row that selects by the small model."""
    row = {"method": "DM", "main": "large", "reference": "small", **entries}
    config["tables"] = {"t": {"task": "demo", "rows": [row]}}


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"epochs": 1}, "models.small.training.epochs: got 1, but tables.t.rows[0] selects by"),
        ({"epochs": 1.9}, "models.small.training.epochs: got 1.9, but"),
        # 200 rows in batches of 8 are 25 steps an epoch.
        ({"steps": 49}, "models.small.training.steps: got 49 steps, complete epochs: 1, but"),
        ({"epochs": 2}, None),
        ({"steps": 50}, None),
    ],
)
def test_a_reference_that_trains_for_too_short_is_told_before_any_job(tiny, recipe, words):
    ask(tiny)
    tiny["training"] = {"batch_size": 8}
    tiny["models"]["small"]["training"] = recipe
    if words is None:
        assert resolve(tiny)
    else:
        assert words in message_of(tiny)


def test_too_few_epochs_are_told_of_whatever_selects_by_them(tiny):
    tiny["training"]["epochs"] = 1
    tiny["finetune"] = {"demo": {"main": "large", "reference": "small"}}
    assert "finetune.demo selects by the training dynamics of 'small'" in message_of(tiny)
    del tiny["finetune"]
    tiny["tables"]["table1"]["rows"] = [{"method": "ERM", "main": "large"}]
    assert resolve(tiny)
    tiny["figures"] = {"training_length": {"demo": {**LENGTHS, "references": ["small"]}}}
    assert "figures.training_length.demo.rows[2] selects by" in message_of(tiny)


def test_a_mixture_needs_the_epochs_of_the_selector_it_starts_from(tiny):
    tiny["selections"] = {"own": {"mixture": "class_balanced", "selector": "el2n"}}
    tiny["selection"] = {"el2n_epochs": [0, 3]}
    ask(tiny, selector="own")
    assert "selection.el2n_epochs: got [0, 3], but the reference 'small' trains for 3 epochs" in message_of(
        tiny
    )


@pytest.mark.parametrize("selector", ["aum", "product_of_experts", "confidence_regularisation"])
def test_a_kind_that_does_not_record_what_a_selector_needs_is_refused(tiny, monkeypatch, selector):
    monkeypatch.setattr(type(registry.KINDS["classification"]), "signals", frozenset())
    ask(tiny, selector=selector)
    assert (
        f"tables.t.rows[0].selector: '{selector}' needs logits, which tasks of the kind 'classification'"
        in message_of(tiny)
    )


@pytest.mark.parametrize("selector", ["easy", "jtt", "reweighting", "relative_difficulty", "matched_random"])
def test_what_every_kind_records_is_enough_for_the_others(tiny, monkeypatch, selector):
    monkeypatch.setattr(type(registry.KINDS["classification"]), "signals", frozenset())
    ask(tiny, selector=selector)
    assert resolve(tiny)


def test_a_metric_must_fit_the_kind(tiny):
    tiny["tasks"]["demo"] |= {"kind": "multiple_choice", "choices": ["a", "b"], "metric": "macro_f1"}
    assert "tasks.demo.metric: got 'macro_f1', expected one that fits the kind" in message_of(tiny)


def test_a_selector_that_needs_no_model_goes_with_a_random_reference(tiny):
    ask(tiny, reference="random", selector="longest")
    row = resolve(tiny).tables["t"].rows[0]
    assert plan.row_supervision(row, resolve(tiny)) == "random-longest-33"
    ask(tiny, reference="small", selector="longest")
    assert "tables.t.rows[0].selector: got 'longest', expected a selector" in message_of(tiny)


def test_a_registered_mixture_may_stand_in_a_row(tiny):
    ask(tiny, selector="with_easy")
    config = resolve(tiny)
    assert config.selector_of("with_easy") == ("with_easy", {"easy": 0.1, "selector": "ambiguous"})
    assert config.scores_of("with_easy") == ("confidence", "variability")


def test_resolving_leaves_the_given_configuration_alone(tiny):
    before = copy.deepcopy(tiny)
    resolve(tiny)
    assert tiny == before


def test_equal_settings_resolve_to_equal_text(tiny):
    tiny["training"] |= {"epochs": 3, "max_grad_norm": 1, "batch_size": 32}
    spelled = copy.deepcopy(tiny)
    spelled["training"] = dict(reversed(tiny["training"].items()))
    spelled["training"] |= {"epochs": 3.0, "max_grad_norm": 1.0, "batch_size": 32.0}
    assert canonical_json(resolve(tiny).dump()) == canonical_json(resolve(spelled).dump())


@pytest.mark.parametrize(
    ("shared", "own", "expected"),
    [
        ({}, {}, {"epochs": 4, "checkpoints": 12}),
        ({"steps": 90}, {}, {"steps": 90, "checkpoints": 12}),
        ({"epochs": 2}, {"steps": 90}, {"steps": 90, "checkpoints": 12}),
        ({"steps": 90}, {"epochs": 2}, {"epochs": 2, "checkpoints": 12}),
        ({"checkpoints": 3}, {"checkpoint_every": 5}, {"epochs": 4, "checkpoint_every": 5}),
        ({"checkpoint_every": 5}, {"checkpoints": 3}, {"epochs": 4, "checkpoints": 3}),
    ],
)
def test_a_models_own_recipe_overrides_the_shared_one(tiny, shared, own, expected):
    tiny["training"] = {"learning_rate": 1.0e-3, **shared}
    tiny["models"]["large"]["training"] = {"batch_size": 8, **own}
    config = resolve(tiny)
    recipe = config.models["large"].training.dump()
    lengths = {"steps", "epochs", "checkpoints", "checkpoint_every"}
    assert {key: value for key, value in recipe.items() if key in lengths} == expected
    assert (recipe["learning_rate"], recipe["batch_size"], recipe["warmup_fraction"]) == (1.0e-3, 8, 0.1)
    assert config.models["small"].training.batch_size == 32


SUFFIXES = [(suffix, name) for name, form in FORMATS.items() for suffix in form.suffixes]


@pytest.mark.parametrize(("suffix", "form"), [*SUFFIXES, (".CSV", "csv"), (".csv.gz", "csv")])
def test_a_files_format_comes_from_its_suffix_unless_named(tiny, tmp_path, suffix, form):
    path = tmp_path / f"rows{suffix}"
    path.touch()
    datasets = tiny["tasks"]["demo"]["datasets"]
    datasets["plain"] = {"source": "file", "path": str(path)}
    datasets["named"] = {"source": "file", "path": str(path), "format": "tsv"}
    resolved = resolve(tiny).tasks["demo"].datasets
    assert (resolved["plain"].format, resolved["named"].format) == (form, "tsv")


def test_raw_labels_are_spelled_as_rows_are_read(tiny):
    raw = {0: "entailment", "n": "neutral", True: "contradiction", 2.5: "neutral"}
    tiny["tasks"]["demo"]["datasets"]["train"]["label_names"] = raw
    names = resolve(tiny).tasks["demo"].datasets["train"].label_names
    assert names == {"0": "entailment", "n": "neutral", "true": "contradiction", "2.5": "neutral"}


@pytest.mark.parametrize(
    ("offered", "implemented"),
    [
        (registry.FORMATS, READERS),
        (PREPARATIONS, cad.PREPARATIONS),
    ],
)
def test_everything_that_a_configuration_may_name_is_implemented(offered, implemented):
    assert set(offered) == set(implemented)


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_configuration_resolves(path, tmp_path, monkeypatch):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    folder = tmp_path / "clone"
    for task in config["tasks"].values():
        for dataset in task["datasets"].values():
            if "path" in dataset:
                file = folder / dataset["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    folder.mkdir(exist_ok=True)
    for model in config["models"].values():
        if "path" in model:
            (folder / model["path"]).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    assert resolve(config).tables


@pytest.mark.parametrize("path", OVERLAYS, ids=[path.stem for path in OVERLAYS])
def test_what_is_laid_over_the_default_resolves(path):
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    update_config(config, yaml.safe_load(path.read_text(encoding="utf-8")))
    assert resolve(config)


def test_the_overlay_groups_by_length_in_every_model_and_changes_nothing_else():
    preset = yaml.safe_load((ROOT / "config" / "nli.yaml").read_text(encoding="utf-8"))
    laid_over = copy.deepcopy(preset)
    update_config(laid_over, yaml.safe_load((ROOT / "config" / "fast.yaml").read_text(encoding="utf-8")))
    before, after = resolve(preset), resolve(laid_over)
    for name, model in after.models.items():
        assert model.training.batch_plan == "length_grouped"
        assert model.training.changed(batch_plan=None) == before.models[name].training
    assert after.tasks == before.tasks and after.tables == before.tables


def test_a_selector_of_every_row_has_a_name_without_a_fraction(tiny):
    ask(tiny, selector="jtt")
    config = resolve(tiny)
    row = config.tables["t"].rows[0]
    assert plan.row_supervision(row, config) == f"{row.reference}-jtt-100"
    assert config.signals_of("jtt") == ("correct",) and config.objective_of("jtt") == "cross_entropy"
    assert config.objective_of("product_of_experts") == "product_of_experts"
    ask(tiny, selector="jtt", fraction=0.5)
    assert "tables.t.rows[0].fraction: 'jtt' takes every row and no fraction" in message_of(tiny)


def test_a_selector_of_an_epoch_asks_the_reference_for_it(tiny):
    ask(tiny, selector="late")
    tiny["selections"] = {"late": {"mixture": "jtt", "wrong_at": 40}}
    assert "which must hold 41 complete epochs at least" in message_of(tiny)
