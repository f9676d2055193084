"""The pass before training: responses with and without their prompts, the scores of it, and what it costs."""

import numpy as np
import pytest
import torch
from small import RUNTIME
from test_generation import GPT2, KIND, PROMPTS, RESPONSES, made, prepared, rows_of
from test_tables import ledgers

from ftft.artifacts import read_parquet, write_json
from ftft.cartography.before import read_before, save_before
from ftft.cartography.datamap import DataMap, score_of, write_score
from ftft.cartography.dynamics import Dynamics
from ftft.cartography.scores import SCORES
from ftft.cartography.selection import Pool, choose, needs_training, select, select_random
from ftft.cartography.supervision import Supervision
from ftft.errors import ArtifactError, ConfigError, DataError
from ftft.models.responses import responses_alone
from ftft.models.tokens import Tokens
from ftft.pipeline import plan
from ftft.pipeline.config import Table, resolve
from ftft.pipeline.names import Run
from ftft.pipeline.parameters import finetuned_slice, scores_slice, table_slice
from ftft.pipeline.verdicts import verdict_slice
from ftft.results.notes import overlap_notes
from ftft.results.tables import _row_ledgers, load_supervising
from ftft.statistics.costs import parts
from ftft.statistics.exclusions import references_of_rows
from ftft.tasks.prediction import encode
from ftft.training.before import look_before_training

NAMES = list("abcd")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return made(tmp_path_factory.mktemp("gpt2"), {**GPT2, "initializer_range": 0.2})


def test_a_response_alone_stands_behind_what_stands_before_a_text(gpt2, tmp_path):
    tokens = encode(KIND, prepared(), gpt2, 64, tmp_path)
    start = tokens.ids[0]
    alone = responses_alone(tokens, gpt2 / "tokenizer.json")
    assert rows_of(alone) == [([start], given) for _, given in rows_of(tokens)]
    # A tokenizer that puts nothing there: the end token, as before an empty prompt.
    by_hand = Tokens(
        np.array([5, 6, 7, 8, 9], np.int32),
        np.zeros(5, np.uint8),
        np.array([0, 3, 5]),
        aligned={"response": np.array([0, 1, 1, 0, 1], np.int32)},
    )
    assert [given for _, given in rows_of(responses_alone(by_hand, gpt2 / "tokenizer.json"))] == [[6, 7], [9]]


def test_the_pass_is_that_of_transformers_with_and_without_prompts(gpt2, tmp_path):
    dataset, spec = prepared(), {"max_length": 32, "precision": "float32"}
    dataset.save(tmp_path / "data.parquet")
    found = []
    for room in (16, None):
        runtime = {**RUNTIME, "scratch": str(tmp_path), "evaluation_batch_tokens": room}
        runtime = {key: value for key, value in runtime.items() if value is not None}
        file = tmp_path / f"before-{room}.parquet"
        taken = look_before_training(spec, "gpt2", gpt2, tmp_path / "data.parquet", file, runtime)
        found.append(read_before(file, dataset))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    model = KIND.load(gpt2, [], False).eval()
    for row, (asked, given) in enumerate(rows_of(encode(KIND, dataset, gpt2, 32, tmp_path))):
        for place, prompt in enumerate((asked, asked[:1])):
            labels = torch.tensor([[-100] * len(prompt) + given])
            with torch.no_grad():
                expected = model(input_ids=torch.tensor([prompt + given]), labels=labels).loss
            assert found[1][place][row] == pytest.approx(expected.item(), rel=1e-4)
    assert taken["flops"] > 0 and len(read_parquet(file)[0]) == len(PROMPTS) == len(RESPONSES)
    with pytest.raises(ArtifactError, match="made on other data"):
        read_before(file, prepared(responses=["one", "one", "one"]))


def test_the_scores_by_hand(tmp_path):
    # Two tokens of probability 1/4 after the prompt, 1/8 without it: perplexities 4 and 8.
    recorded = np.array([[2, 2 * np.log(1 / 4), 1 / 4, 0]], np.float32)
    alone = np.array([[2, 2 * np.log(1 / 8), 1 / 8, 0]], np.float32)
    dataset = prepared(["a"], ["one"])
    save_before(tmp_path / "before.parquet", recorded, alone, dataset, {})
    before, without = read_before(tmp_path / "before.parquet", dataset)
    np.testing.assert_allclose([before[0], without[0]], np.log([4, 8]), rtol=1e-6)
    trained = np.full((2, 1), 0.5, np.float32)
    dynamics = Dynamics(["a"], trained, trained > 0, before=before, alone=without)
    assert score_of(dynamics, "ifd", {}) == pytest.approx([0.5])
    assert score_of(dynamics, "loss_before_training", {}) == pytest.approx([np.log(4)])
    dataset.save(tmp_path / "data.parquet")
    write_score(None, tmp_path / "data.parquet", tmp_path / "ifd", "ifd", tmp_path / "before.parquet")
    assert read_parquet(tmp_path / "ifd")[0]["score"].to_pylist() == pytest.approx([0.5])
    with pytest.raises(DataError, match="needs before, alone"):
        score_of(Dynamics(["a"], trained, trained > 0), "ifd", {})


def test_the_hardest_that_the_prompt_helps_come_first():
    flat = np.full(4, 0.5)
    data_map = DataMap(NAMES, flat, flat, flat, {"ifd": np.array([0.2, 1.5, 0.9, 1.1])})
    for count, rows in ((1, [2]), (2, [0, 2]), (3, [0, 2, 3])):
        assert choose("ifd", Pool(NAMES, count / 4, 0, data_map), {}).rows.tolist() == rows


def test_what_goes_by_the_pass_before_training_takes_no_trained_reference():
    assert not needs_training("ifd", {}) and not needs_training("high_loss_before", {})
    assert needs_training("s2l", {}) and needs_training("ambiguous", {})
    assert not needs_training("matched_random", {"selector": "ifd"})
    assert needs_training("matched_random", {"selector": "ambiguous"})


def test_scores_from_before_training_select_without_a_map(tmp_path):
    dataset = prepared(list(NAMES), ["one", "two", "three", "four"])
    before = np.array([[1, -loss, 0, 0] for loss in (1, 4, 2, 3)], np.float32)
    save_before(tmp_path / "before", before, before, dataset, {})
    dataset.save(tmp_path / "data.parquet")
    name = "loss_before_training"
    write_score(None, tmp_path / "data.parquet", tmp_path / name, name, tmp_path / "before")
    spec = {"selector": "high_loss_before", "fraction": 0.5}
    select(spec, 0, dataset, None, tmp_path / "selection", [tmp_path / name])
    assert Supervision.load(tmp_path / "selection", dataset).rows.tolist() == [1, 3]
    others = prepared(list(NAMES), ["one", "two", "three", "five"])
    with pytest.raises(ArtifactError, match="built on other data"):
        select(spec, 0, others, None, tmp_path / "selection", [tmp_path / name])


ROW = {"method": "DM", "main": "large", "reference": "small"}


@pytest.fixture
def asked():
    """A configuration whose rows go by these selectors of one reference."""

    def make(*selectors, **changes):
        data = {"source": "file", "path": __file__, "format": "csv"}
        task = {"kind": "generation", "text": ["prompt"], "label": "response", "datasets": {"train": data}}
        task |= {"train": "train", "validation": "held_out", "evaluate": ["held_out"]}
        task["metric"] = "token_likelihood"
        task["datasets"]["held_out"] = data
        scratch = {"source": "scratch", "architecture": GPT2, "tokenizer": {"kind": "bpe"}}
        rows = [{**ROW, "selector": name} for name in selectors]
        own = {"tasks": {"t": task}, "models": {"small": scratch, "large": scratch}, "seeds": [0]}
        table = {"tables": {"by": {"task": "t", "rows": rows, "baselines": False}}}
        return resolve({**own, **table, "early_stopping": {"monitors": ["id"]}, **changes})

    return make


def test_a_reference_that_is_asked_before_training_alone_has_no_run(asked):
    own = {"controls": {"mixture": "matched_random", "selector": "ifd"}}
    config = asked("high_loss_before", "ifd", "controls", selections=own)
    table, erm = config.tables["by"], Run("t", "large", "all", "full", 0)
    runs = [Run("t", "large", f"small-{row.selector}-33", "full", 0) for row in table.rows]
    assert plan.cost_runs(table, config) == plan.with_references([*runs, erm], config) == [*runs, erm]
    assert plan.issue_runs(config, "t") == [erm] and plan.candidates(config, "t") == {}
    assert plan.task_models(config, "t") == ["large", "small"]
    assert {"data_map", "reference"}.isdisjoint(plan.files_of(runs[0], config))
    assert [row["trained"] for row in table_slice(config, "by")["rows"]] == [False] * 3
    assert scores_slice(config, "by")["references"] == {}
    assert [row["trained"] for row in verdict_slice(config, "by")["methods"][1:]] == [False] * 3
    # One row that goes by the training, and the reference trains.
    config = asked("high_loss_before", "high_loss")
    assert plan.table_reference_runs(config.tables["by"], config) == [Run("t", "small", "all", "full", 0)]
    assert scores_slice(config, "by")["references"] == {"small-high_loss-33": "small"}
    assert ["trained" in row for row in table_slice(config, "by")["rows"]] == [True, False]


def test_a_model_is_taken_home_by_a_pass_alone(asked):
    entry = {"t": {"main": "large", "reference": "small", "selector": "ifd", "seeds": [0]}}
    config = asked("ifd", finetune=entry)
    assert plan.finetune_references(config, "t") == [] and plan.task_models(config, "t") == ["large", "small"]
    assert finetuned_slice(config, "t")["trained"] is False
    # Its reference, which nothing else trains, says which labels are wrong where somebody asks.
    without = config.model_copy(update={"tables": {}})
    assert plan.issue_runs(without, "t") == [Run("t", "small", "all", "full", 0)]
    config = asked("ifd", finetune={"t": {**entry["t"], "selector": "high_loss"}})
    assert plan.finetune_references(config, "t") == [Run("t", "small", "all", "full", 0)]


def test_the_epochs_of_a_reference_count_only_where_it_trains(asked):
    assert asked("ifd", training={"epochs": 1})
    with pytest.raises(ConfigError, match="2 complete epochs at least"):
        asked("ifd", "high_loss", training={"epochs": 1})


def test_a_reference_that_does_not_train_cannot_fail():
    row = {"supervision": "small-ifd-33", "reference": "small"}
    assert references_of_rows([row]) == {"small-ifd-33": "small"}
    assert references_of_rows([{**row, "trained": False}]) == {}


def test_the_pass_is_counted_and_an_untrained_reference_is_not(tmp_path):
    ledger = {"seed": 0, "seconds": 1.0, "peak_memory_mb": 10.0}
    before = {"flops": 700, "seconds": 5.0, "peak_memory_mb": 90.0}
    names = {name: f"small-{name}-33" for name in ("ifd", "ambiguous")}
    own = {"ifd": {"before": before, "trained": False}, "ambiguous": {}}
    rows = []
    for name, supervision in names.items():
        write_json(tmp_path / name, {**ledger, "supervision": supervision, **own[name]})
        budget = {"method": "DM", "main": "large", "budget": "full", "supervision": supervision}
        rows.append({**budget, "reference": "small"})
    supervising = load_supervising(rows, [tmp_path / name for name in names], [])
    known = ledgers()
    for supervision in names.values():
        known["large", supervision, "full", 0] = known["large", "all", "full", 0]
    taken = [parts(*_row_ledgers(row, [0], known, supervising)) for row in rows]
    assert [[part["part"] for part in own] for own in taken] == [
        ["supervision", "main"],
        ["reference", "supervision", "main"],
    ]
    assert (taken[0][0]["flops"], taken[0][0]["seconds"]) == (700, 6.0)


def test_tables_of_generated_texts_show_the_baselines_by_default():
    row = {"method": "FTFT", "main": "large", "reference": "small", "selector": "ambiguous"}
    table = Table.model_validate({"task": "a", "rows": [row]})
    shown = [(own.reference, own.selector) for own in table.with_baselines(KIND.baselines).rows]
    assert shown == [("small", "ambiguous"), ("random", None), ("random", "longest"), ("small", "ifd")]
    again = table.with_baselines(KIND.baselines)
    assert again.with_baselines(KIND.baselines) == again and again.cost_unit == table.cost_unit
    without = table.model_copy(update={"baselines": False})
    assert without.with_baselines(KIND.baselines).rows == table.rows
    erm = Table.model_validate({"task": "a", "rows": [{"method": "ERM", "main": "large"}]})
    assert erm.with_baselines(KIND.baselines) == erm


def test_what_a_selection_shares_with_random_and_longest_rows_is_told(tmp_path):
    dataset = prepared([f"say {place}" for place in range(8)], ["a" * (1 + place) for place in range(8)])
    draws = [set(select_random(dataset.uids, 0.5, seed)) for seed in (0, 1)]
    longest = select({"selector": "longest", "fraction": 0.5}, 0, dataset, None, tmp_path / "longest")
    chance = select({"selector": "random", "fraction": 0.5}, 0, dataset, None, tmp_path / "random")
    assert longest == {"random": len(draws[1] & {4, 5, 6, 7}) / 4, "longest": 1}
    assert chance == {"random": len(draws[0] & draws[1]) / 4, "longest": len(draws[0] & {4, 5, 6, 7}) / 4}
    rows = [{"supervision": "all"}, {"supervision": "random-50"}]
    told = {("random-50", 0): {"shared": {"random": 0.5, "longest": 0.25}}}
    told["random-50", 1] = {"shared": {"random": 0.25, "longest": 0.75}}
    (note,) = overlap_notes(rows, told)
    assert note.endswith("random-50 0.38 and 0.50") and overlap_notes(rows[:1], told) == []
    assert SCORES["ifd"].needs == ["before", "alone"]
