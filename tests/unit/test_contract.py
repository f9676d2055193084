from pathlib import Path

import pytest
import yaml

from ftft.pipeline import contract
from ftft.pipeline.config import resolve

SMALL = "standin-deberta-v3-small"
KNOWN = {
    "task": "demo",
    "model": SMALL,
    "supervision": f"{SMALL}-ambiguous-33",
    "budget": "full",
    "seed": "0",
    "score": "forgetting",
    "dataset": "validation",
    "table": "table1",
    "fold": "0of5",
    "folds": "5",
}
# What a configuration can stop to name, or a version of the library stop to have.
GONE = {
    "task": ["gone"],
    "model": ["gone"],
    "supervision": [
        f"{SMALL}-late_loss-33",
        f"{SMALL}-gone-33",
        "gone-ambiguous-33",
        "gone",
        "random-gone-33",
    ],
    "score": ["gone"],
    "dataset": ["gone"],
    "table": ["gone"],
}
LEFT = [
    pytest.param(pattern, name, value, id=f"{pattern}-{value}")
    for rule in contract.RULES.values()
    for pattern in rule.artifacts
    for name, values in GONE.items()
    if f"{{{name}}}" in pattern
    for value in values
]


@pytest.fixture(scope="module")
def expected():
    default = Path(__file__).parents[2] / "config" / "config.yaml"
    return contract.Expectations(resolve(yaml.safe_load(default.read_text())))


@pytest.mark.parametrize(("pattern", "name", "value"), LEFT)
def test_what_a_configuration_no_longer_names_stops_no_plan(expected, pattern, name, value):
    path = pattern.format(**{**KNOWN, name: value})
    assert contract.maker_of(path)
    expected(path), expected.code(path)


def test_what_a_configuration_names_has_a_slice_and_code(expected):
    for rule in contract.RULES.values():
        for pattern in rule.artifacts:
            path = pattern.format(**KNOWN)
            assert expected(path) and expected.code(path), path


def test_a_folder_of_another_name_than_a_budgets_is_no_artifact():
    assert contract.maker_of("results/runs/demo/small/all/steps-12/seed0/ledger.json")
    assert contract.maker_of("results/runs/demo/small/all/kept by me/seed0/ledger.json") is None
