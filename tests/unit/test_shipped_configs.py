"""What ships in config/: the embedded default, and the paper's two tasks in full."""

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from snakemake.utils import update_config

from ftft.cartography.controls import PARTS
from ftft.cartography.selection import ENDS, SELECTORS
from ftft.models.encoders import prepare_encoder
from ftft.paper import roles as paper
from ftft.pipeline import parameters as slices
from ftft.pipeline import plan
from ftft.pipeline.config import resolve
from ftft.pipeline.config.documents import documents

PAPER_ROWS = [
    ("ERM", "small", None),
    ("ERM", "base", None),
    ("ERM", "large", None),
    ("ERM(ES)", "large", None),
    ("DM", "large", "random"),
    ("DM", "large", "deberta-v3-large"),
    ("DM", "large", "deberta-v3-small"),
    ("DM", "large", "deberta-v3-base"),
    ("DM", "large", "electra-small"),
    ("DM", "large", "electra-base"),
    ("DM", "large", "roberta-large"),
    ("DM", "large", "bert-large"),
    ("FTFT", "large", "deberta-v3-small"),
    ("FTFT", "large", "deberta-v3-base"),
    ("FTFT", "large", "electra-base"),
]


@pytest.fixture(scope="module")
def default(root):
    return resolve(yaml.safe_load((root / "config" / "config.yaml").read_text()))


def test_every_stand_in_has_its_row_of_the_papers_table(root):
    shipped = [
        yaml.safe_load((root / "config" / name).read_text()) for name in ("config.yaml", "stand-ins.yaml")
    ]
    config = resolve({**shipped[0], "tables": {**shipped[0]["tables"], **shipped[1]["tables"]}})
    rows = [
        (row.method, row.main.removeprefix("standin-deberta-v3-"), row.reference)
        for row in config.tables["stand-ins"].rows
    ]
    assert rows == [
        (method, main, ref if ref in (None, "random") else f"standin-{ref}")
        for method, main, ref in PAPER_ROWS
    ]


def test_the_default_table_shows_every_selection_beside_its_matched_random(default):
    rows = default.tables["table1"].rows
    selections = {(row.main, row.reference, row.selector) for row in rows if row.model}
    controls = {(main, reference, "matched_random") for main, reference, _ in selections}
    assert controls < selections and any(row.reference == "random" for row in rows)


def test_default_has_nine_encoders_that_say_what_they_are(default):
    assert len(default.models) == 9
    assert all(name.startswith("standin-") for name in default.models)


def test_default_needs_no_network(default):
    assert {model.source for model in default.models.values()} == {"scratch"}
    datasets = [dataset for task in default.tasks.values() for dataset in task.datasets.values()]
    assert {dataset.source for dataset in datasets} == {"demo"}


@pytest.mark.parametrize("name", paper.read("tables")["models"])
def test_defaults_encoders_can_be_prepared(default, train_set, tmp_path, name):
    spec = slices.encoder_slice(default, next(iter(default.tasks)), f"standin-{name}")
    prepare_encoder(spec, train_set, tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


def test_default_has_everything_that_the_paper_reports(default):
    assert set(paper.SCORE_TABLES) <= set(default.tables)
    assert all(default.tables[name].left_out == () for name in paper.SCORE_TABLES)
    assert all(not claim["missing"] for claim in plan.claims(default))
    assert set(default.figures.overlap) == {"sizes", "pretraining"}
    assert set(default.figures.training_length) == set(default.tasks)


# Paper, Appendix A.1: planned steps of DeBERTaV3 and of the others, steps between checkpoints.
PRESETS = {"nli": (49_088, 61_360, 4_090), "hsd": (1_620, 1_620, 180)}
LARGE_AND_SLOW = {"deberta-v3-large", "electra-large"}


@pytest.fixture(params=PRESETS)
def preset(request, root, tmp_path, monkeypatch):
    """A preset's task and configuration; its data files are empty."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("cad_v1_1.tsv", "dynahate.csv"):
        (tmp_path / "data" / name).touch()
    return request.param, resolve(yaml.safe_load((root / "config" / f"{request.param}.yaml").read_text()))


def test_a_preset_has_the_papers_models_with_their_sizes(preset):
    _, config = preset
    sizes = {name: model.parameters_m for name, model in config.models.items()}
    assert sizes == paper.read("tables")["models"]
    assert config.seeds == (0, 1, 2, 3)


def test_a_preset_pins_every_encoder_to_a_commit(preset):
    _, config = preset
    for name, model in config.models.items():
        assert model.source == "hub" and re.fullmatch(r"[0-9a-f]{40}", model.revision), name


def test_a_preset_trains_as_the_paper_does(preset):
    task, config = preset
    deberta, others, every = PRESETS[task]
    for name, model in config.models.items():
        recipe = model.training.dump()
        assert recipe == {
            "steps": deberta if name.startswith("deberta") else others,
            "learning_rate": 1e-5 if name in LARGE_AND_SLOW else 2e-5,
            "batch_size": 32,
            "warmup_fraction": 0.1,
            "weight_decay": 0.0,
            "adam_epsilon": 1e-6,
            "max_grad_norm": 1.0,
            "max_length": 300,
            "precision": "auto",
            "batch_plan": "random",
            "checkpoint_every": every,
        }
    assert (config.selection.fraction, config.selection.rule) == (0.33, "quantile")
    assert slices.stop_rule(config, task, "ood")["patience"] == 2
    assert len(config.tasks[task].dev) == {"nli": 3, "hsd": 6}[task]


def test_a_preset_has_the_papers_tables_in_full(preset):
    task, config = preset
    expected = {"nli": {"table1": 15, "table2": 21}, "hsd": {"table5": 15, "table6": 23}}[task]
    for name, rows in expected.items():
        assert len(config.tables[name].rows) == rows
        assert config.tables[name].left_out == ()
    assert all(not claim["missing"] for claim in plan.claims(config))
    shares = paper.Roles.of(config.tasks, config.models).published_easy_shares()[task]
    assert set(shares) == {run.model for run in plan.task_reference_runs(config, task)} - {"deberta-v3-large"}


@pytest.mark.parametrize("name", ["README.md", "schema.json"])
def test_generated_documents_are_current(root, name):
    path = root / "config" / name
    assert documents()[path] == path.read_text(), "run: python -m ftft.pipeline.config"


ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("config/*.yaml"), *ROOT.glob("config/examples/*.yaml"))
)
EXAMPLES = ["minilm-hsd", "mpnet-hsd", "minilm-nli"]
OTHER_KINDS = ["minilm-ner", "minilm-goemotions", "minilm-sts", "minilm-openbookqa"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_names_its_schema_and_keeps_it(root, name):
    text = (root / name).read_text()
    schema = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", text.splitlines()[0])[1]
    schema = json.loads(((root / name).parent / schema).read_text())
    Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_the_schema_knows_the_keys_and_settings_that_there_are(root):
    schema = json.loads((root / "config" / "schema.json").read_text())
    faults = Draft202012Validator(schema).iter_errors(
        {"sedes": [0], "training": {"epochs": "3"}, "seeds": [-1]}
    )
    assert {error.validator for error in faults} == {"additionalProperties", "type", "minimum"}
    assert {"easy", "pruned", "strata", "copies", "base"} <= set(schema["$defs"]["Mixture"]["properties"])
    assert "left_out" not in schema["$defs"]["Table"]["properties"]


@pytest.fixture(params=EXAMPLES + OTHER_KINDS)
def example(request, root, empty_inputs):
    """A configuration on real rows; its data files and encoders are empty."""
    given = yaml.safe_load((root / "config" / "examples" / f"{request.param}.yaml").read_text())
    empty_inputs(given)
    return resolve(given)


def test_an_example_has_a_matched_random_row_beside_every_map(example):
    rows = example.tables["methods"].rows
    chosen = {(row.model, row.selector) for row in rows if row.method == "DM"}
    maps = {model for model, selector in chosen if selector == "ambiguous"}
    assert len(maps) == 2
    assert {(model, "matched_random") for model in maps} <= chosen
    assert {(None, None), (None, "balanced"), (None, "longest")} <= chosen
    (task,) = example.tasks.values()
    if task.kind == "classification":
        assert {("minilm-l3", "within_labels"), ("minilm-l3", "class_balanced")} <= chosen


def laid_over_the_default(root, name):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    update_config(config, yaml.safe_load((root / "config" / name).read_text()))
    return resolve(config)


def test_all_methods_are_compared_at_one_length_of_training(root):
    config = laid_over_the_default(root, "methods.yaml")
    rows = config.tables["methods"].rows
    base = {config.selector_of(row.selector)[0] if row.selector else row.method for row in rows}
    dual = {name for name, entry in SELECTORS.items() if entry.all_rows and entry.needs_map}
    assert dual | {"balanced", "longest", "coverage_centric", "with_copies", "ERM"} <= base
    models = {row.main for row in rows}
    assert len(models) == 1 and not any(row.steps for row in rows)
    assert {row.model for row in rows} == {None, "standin-electra-base"}


def test_every_end_of_a_score_stands_beside_its_matched_random_rows(root):
    config = laid_over_the_default(root, "methods.yaml")
    table = config.tables["methods"]
    ends = {row.selector for row in table.rows if row.method == "DM" and row.selector in ENDS}
    split = plan.gain_parts(table, config)
    assert (
        {table.rows[part["row"]].selector for part in split}
        >= ends
        == {"ambiguous", "forgetting", "el2n", "aum"}
    )
    whole = [part["part"] for part in split if table.rows[part["row"]].selector == "ambiguous"]
    assert whole == [*PARTS, "over random", "over balanced", "over longest"]
