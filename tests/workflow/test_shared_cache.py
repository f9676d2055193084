"""Snakemake's cache between workflows: what one clone has made, another with the same configuration takes."""

import re

import pytest

pytestmark = pytest.mark.long

TABLE, MAP = "results/tables/table1.csv", "results/maps/demo/small/seed{}.parquet"
TRAINED = {"data", "encoders", "runs", "maps"}


@pytest.fixture
def clone(another, tmp_path, monkeypatch):
    """Make workflows that share a cache."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    return another


def make(workflow, target):
    """Make `target`; the kinds of results that were not in the cache before."""
    run = workflow.snakemake("--cache", "--", target)
    assert run.returncode == 0, run.stdout
    return set(re.findall(r"Moving output file results/(\w+)/\S+ to cache", run.stdout))


def test_a_second_clone_trains_nothing(clone):
    first, second = clone(), clone()
    assert make(first, TABLE) == {*TRAINED, "supervisions", "evaluations"}
    assert make(second, TABLE) == set()
    for name in ("tables/table1.csv", "scores/table1.parquet"):
        ours, theirs = (workflow.folder / "results" / name for workflow in (first, second))
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert second.planned(target=TABLE) == {}


def test_every_edit_misses_the_cache(clone):
    train = lambda config: config["tasks"]["demo"]["datasets"]["train"]  # noqa: E731
    edits = [
        (lambda config: None, 0, TRAINED),
        (lambda config: None, 0, set()),
        (lambda config: config.update(seeds=[1]), 1, {"runs", "maps"}),
        (lambda config: config["training"].update(learning_rate=3e-3), 0, {"runs", "maps"}),
        (lambda config: train(config).update(rows=199), 0, TRAINED),
        (lambda config: config["models"]["small"]["tokenizer"].update(vocab_size=300), 0,
         {"encoders", "runs", "maps"}),
    ]  # fmt: skip
    for change, seed, ran in edits:
        workflow = clone()
        workflow.edit(change)
        assert make(workflow, MAP.format(seed)) == ran
