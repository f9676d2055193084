"""The paper's tables, figures and claims in a configuration's own names."""

import pytest
import yaml

from ftft.paper import roles as paper
from ftft.pipeline import plan
from ftft.pipeline.config import resolve


@pytest.fixture
def tiny(root):
    """Two models without tables of their own; `play` gives them parts of the paper."""
    config = yaml.safe_load((root / "tests/config/tiny.yaml").read_text())
    del config["tables"]
    return config


def published(config):
    return paper.Roles.of(config.tasks, config.models).published_easy_shares()


def play(config, task="nli", **models):
    config["tasks"]["demo"]["stands_for"] = task
    for name, role in models.items():
        config["models"][name]["stands_for"] = role
    return resolve(config)


def test_a_table_has_the_rows_whose_models_are_played_in_the_papers_order(tiny):
    config = play(tiny, large="deberta-v3-large", small="deberta-v3-small")
    table = config.tables["table1"]
    assert [(row.method, row.main, row.reference) for row in table.rows] == [
        ("ERM", "small", None),
        ("ERM", "large", None),
        ("ERM(ES)", "large", None),
        ("DM", "large", "random"),
        ("DM", "large", "large"),
        ("DM", "large", "small"),
        ("FTFT", "large", "small"),
    ]
    assert len(table.left_out) == 15 - 7
    assert table.left_out[0] == "ERM deberta-v3-base"
    assert "DM deberta-v3-large (electra-small)" in table.left_out
    assert table.cost_unit == "large"


def test_names_of_the_paper_play_themselves(tiny):
    tiny["tasks"]["hsd"] = tiny["tasks"].pop("demo")
    tiny["models"]["deberta-v3-large"] = tiny["models"].pop("large")
    assert set(resolve(tiny).tables) == {"table5"}


def test_tables_of_a_task_that_nobody_plays_are_not_there(tiny):
    config = play(tiny, "hsd", large="deberta-v3-base", small="deberta-v3-small")
    assert set(config.tables) == {"table5", "table6"}
    rows = config.tables["table6"].rows
    # Table 6 alone has DeBERTaV3-Base as a main model.
    assert ("DM", "large", "small") in [(row.method, row.main, row.reference) for row in rows]


def test_a_table_of_that_name_replaces_the_papers(tiny):
    rows = [{"method": "ERM", "main": "small"}]
    tiny["tables"] = {"table1": {"task": "demo", "rows": rows}}
    config = play(tiny, large="deberta-v3-large", small="deberta-v3-small")
    assert len(config.tables["table1"].rows) == 1
    assert "table2" in config.tables


@pytest.mark.parametrize(
    ("roles", "groups"),
    [
        ({"large": "deberta-v3-large", "small": "deberta-v3-small"}, {"sizes": ["small", "large"]}),
        ({"large": "deberta-v3-large", "small": "electra-small"}, {"pretraining": ["small", "large"]}),
    ],
)
def test_overlap_figures_follow_the_papers_groups(tiny, roles, groups):
    assert play(tiny, **roles).dump()["figures"]["overlap"] == groups


def test_without_roles_all_models_are_one_group(tiny):
    tiny["tables"] = {"mine": {"task": "demo", "rows": [{"method": "ERM", "main": "small"}]}}
    assert resolve(tiny).dump()["figures"]["overlap"] == {"references": ["small", "large"]}


def test_easy_shares_were_printed_for_the_papers_own_models_only(tiny):
    assert published(play(tiny, large="deberta-v3-large")) == {}
    tiny["tasks"] = {"nli": dict(tiny["tasks"]["demo"])}
    del tiny["tasks"]["nli"]["stands_for"]
    # A model of the paper's name that stands for another is not the paper's.
    impostor = {**tiny["models"]["small"], "stands_for": "bert-tiny"}
    tiny["models"] = {"deberta-v3-small": tiny["models"]["small"], "electra-base": impostor}
    assert published(resolve(tiny)) == {
        "nli": {"deberta-v3-small": {"10": 82.8, "25": 67.54, "33": 61.72, "50": 46.15}}
    }


def test_table_4_has_its_56_numbers_within_their_bounds():
    names = {name: name for name in (*paper.read("tables")["models"], "nli", "hsd")}
    roles = paper.Roles(names, names, frozenset(names))
    shares = [
        (int(rate), value)
        for models in roles.published_easy_shares().values()
        for rates in models.values()
        for rate, value in rates.items()
    ]
    assert len(shares) == 56
    assert all(100 - 2 * rate <= value <= 100 - rate for rate, value in shares)


def test_a_claim_is_translated_and_says_what_is_missing(tiny):
    config = play(tiny, large="deberta-v3-large", small="deberta-v3-small")
    claims = {claim["claim"]: claim for claim in plan.claims(config)}
    # Claim 4 is about HSD.
    assert set(claims) == {"1a", "1b", "2a", "2b", "2c", "3a", "3b", "5a", "5b", "6a", "6b"}
    (stopped,) = claims["5a"]["tests"]
    assert (stopped["left"].method, stopped["left"].main, stopped["right"].method) == (
        "ERM(ES)",
        "large",
        "ERM",
    )
    assert claims["5a"]["missing"] == []
    assert claims["2a"]["missing"] == ["a model that stands for electra-small"]
    assert claims["6a"]["missing"] == ["figures.training_length.demo"]


def test_claims_about_training_length_compare_every_length(tiny):
    lengths = {"main": "large", "references": ["small"], "steps": [20, 40]}
    tiny["figures"] = {"training_length": {"demo": lengths}}
    config = play(tiny, large="deberta-v3-large", small="deberta-v3-small")
    claims = {claim["claim"]: claim for claim in plan.claims(config)}
    compared = [(test["left"].steps, test["right"].steps) for test in claims["6a"]["tests"]]
    assert compared == [(20, 20), (40, 40)] * 2
    assert [test["right"].steps for test in claims["6b"]["tests"]] == [None] * 4
    lengths_run = {run.budget for run in plan.claim_runs(config) if run.budget.startswith("steps")}
    assert lengths_run == {"steps-20", "steps-40"}


def test_every_method_of_a_claim_is_defined_and_used():
    claims = paper.read("claims")
    used = {
        name
        for claim in claims["claims"].values()
        for test in claim["tests"]
        for name in (*test["left"], test["right"])
    }
    assert used <= set(claims["methods"])
    assert {claim["need"] for claim in claims["claims"].values()} <= set(paper.NEEDED)
