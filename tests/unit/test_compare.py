"""The table that says whether FTFT paid on one's own data."""

import pytest
import yaml

from ftft.pipeline import plan
from ftft.pipeline.compare import compare_table, table_of
from ftft.pipeline.config import resolve
from ftft.pipeline.parameters import gains_slice
from ftft.pipeline.verdicts import verdict_slice


@pytest.fixture
def configured(root):
    tiny = yaml.safe_load((root / "tests/config/tiny.yaml").read_text())

    def configure(selections=None, tables=None, **entry):
        finetune = {"demo": {"main": "large", "reference": "small", **entry}}
        changed = {**tiny, "finetune": finetune, "tables": tables or {}, "selections": selections or {}}
        return resolve(changed)

    return configure


def supervisions(config):
    rows = compare_table(config, "demo").rows
    return [(plan.row_supervision(row, config), plan.row_budget(row)) for row in rows]


def test_ftft_stands_beside_what_it_has_to_beat(configured):
    assert supervisions(configured()) == [
        ("all", "full"),
        ("random-33", "full"),
        ("random-balanced-33", "full"),
        ("small-matched_random-33", "full"),
        ("small-ambiguous-33", "full"),
        ("small-ambiguous-33", "stopped-ood"),
    ]


def test_another_selection_is_matched_too(configured):
    config = configured(selector="hard-to-learn", fraction=0.5)
    assert supervisions(config)[3:5] == [
        ("small-matched_random_hard_to_learn-50", "full"),
        ("small-hard-to-learn-50", "full"),
    ]
    assert config.selector_of("matched_random_hard_to_learn") == (
        "matched_random",
        {"selector": "hard-to-learn"},
    )
    parts = {part["part"] for part in gains_slice(config, "compare-demo")["parts"]}
    assert parts >= {"training dynamics", "over random", "over balanced"}


@pytest.mark.parametrize(
    ("selector", "own"),
    [
        (None, "random-33"),
        ("balanced", "random-balanced-33"),
        ("longest", "random-longest-33"),
        ("balanced_weights", "random-balanced_weights-100"),
    ],
)
def test_a_selection_that_asks_no_model_is_compared_too(configured, selector, own):
    config = configured(reference="random", **({"selector": selector} if selector else {}))
    first = [("all", "full"), ("random-33", "full"), ("random-balanced-33", "full")]
    assert supervisions(config) == [*dict.fromkeys([*first, (own, "full")]), (own, "stopped-ood")]
    assert verdict_slice(config, "compare-demo")["methods"]


def test_a_control_of_the_configurations_own_serves(configured):
    own = {"chance": {"mixture": "matched_random", "selector": "easy"}}
    config = configured(own, selector="easy")
    assert supervisions(config)[3][0] == "small-chance-33"
    assert set(config.selections) == {"chance"}


@pytest.mark.parametrize("selector", ["jtt", "mixed"])
def test_what_no_control_can_start_from_has_none(configured, selector):
    config = configured({"mixed": {"mixture": "with_easy"}}, selector=selector)
    assert [name for name, _ in supervisions(config)].count("all") == 1
    assert not any("matched" in name for name, _ in supervisions(config))


def test_it_is_no_table_of_the_task_and_may_be_replaced(configured):
    config = configured()
    assert plan.tables_of(config, "demo") == [] and config.tables == {}
    own = {"compare-demo": {"task": "demo", "rows": [{"method": "ERM", "main": "large"}]}}
    assert len(table_of(configured(tables=own), "compare-demo").rows) == 1
    with pytest.raises(KeyError):
        table_of(config, "compare-other")


def methods(config, name):
    return {row["name"]: row for row in verdict_slice(config, name)["methods"]}


def test_what_each_method_of_a_comparison_has_to_beat(configured):
    found = methods(configured(), "compare-demo")
    free = ["ERM", "random rows", "balanced rows"]
    assert {name: row["rivals"] for name, row in found.items()} == {
        "ERM": [],
        "random rows": ["ERM"],
        "balanced rows": ["ERM", "random rows"],
        "matched_random of small": [],
        "ambiguous of small": [*free, "matched_random of small"],
    }
    assert [name for name, row in found.items() if row["free"]] == free
    assert not any(row["lacks"] for row in found.values())


def test_what_a_table_lacks_is_told(configured):
    rows = [
        {"method": "DM", "main": "large", "reference": "small"},
        {"method": "DM", "main": "large", "reference": "small", "selector": "jtt"},
        {"method": "FTFT", "main": "large", "reference": "small"},
        {"method": "FTFT", "main": "large", "reference": "small", "selector": "easy"},
        {"method": "ERM", "main": "large", "steps": 9},
    ]
    config = configured(tables={"own": {"task": "demo", "rows": rows}})
    assert methods(config, "own") == methods(config, "demo")
    found = methods(config, "own")
    assert {name: row["lacks"] for name, row in found.items() if row["rivals"]} == {
        "ambiguous of small": ["random rows", "random rows matched to ambiguous"],
        "jtt of small": ["random rows"],
        "easy of small": ["random rows", "random rows matched to easy"],
    }
    # A run that is trained to its end is read early; one that is not there is read up to its stop.
    assert (found["ambiguous of small"]["budget"], found["easy of small"]["budget"]) == (
        "full",
        "stopped-ood",
    )
    assert found["easy of small"]["rivals"] == ["ERM", "ERM, 9 steps"]


def test_selections_that_are_trained_shorter_alone_are_judged_among_each_other(configured):
    random, ambiguous = ({"method": "DM", "main": "large", "reference": name} for name in ("random", "small"))
    matched = {**ambiguous, "selector": "matched_random"}
    short = [{**row, "steps": 9} for row in (random, ambiguous, matched)]
    config = configured(tables={"own": {"task": "demo", "rows": [*short, {**matched, "steps": 5}]}})
    found = methods(config, "own")
    assert {name: row["rivals"] for name, row in found.items() if row["rivals"]} == {
        "random rows, 9 steps": ["ERM"],
        "ambiguous of small, 9 steps": ["ERM", "random rows, 9 steps", "matched_random of small, 9 steps"],
    }
    assert not any(row["lacks"] for row in found.values())
    # The run that stops early has a schedule of the full length: it is not the shorter run.
    stopped = {**ambiguous, "method": "FTFT"}
    config = configured(tables={"own": {"task": "demo", "rows": [*short, stopped]}})
    assert methods(config, "own")["ambiguous of small"]["lacks"] == ["random rows matched to ambiguous"]
    assert methods(config, "own")["ambiguous of small, 9 steps"]["rivals"]
    config = configured(tables={"own": {"task": "demo", "rows": [*short, random, ambiguous, matched]}})
    judged = [name for name, row in methods(config, "own").items() if row["rivals"]]
    assert judged == ["random rows", "ambiguous of small"]
