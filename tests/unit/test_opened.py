"""Results in a notebook: tables of what the workflow left, and data maps that show themselves."""

import re
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pytest
from small import demo_dataset

import ftft
from ftft.artifacts import write_json, write_parquet
from ftft.cartography.datamap import DataMap, write_map, write_score
from ftft.cartography.dynamics import save_dynamics
from ftft.errors import ArtifactError, DataError
from ftft.tasks.base import kind_of

RUN = {"task": "demo", "model": "small", "supervision": "all", "budget": "full", "seed": 0}
PLACE = "results/runs/demo/small/all/full/seed0"
EPOCHS, ROWS = 3, 8


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder with one reference run, its map and its scores."""
    monkeypatch.chdir(tmp_path)
    train, other = demo_dataset("train", ROWS), demo_dataset("validation", ROWS)
    other.save("results/data/demo/another.parquet")
    train.save("results/data/demo/train.parquet")
    epochs = list(np.random.default_rng(0).normal(size=(EPOCHS, ROWS, 3)).astype(np.float32))
    save_dynamics(f"{PLACE}/dynamics.parquet", kind_of("classification"), epochs, train, {})
    files = f"{PLACE}/dynamics.parquet", "results/data/demo/train.parquet"
    write_map(*files, "results/maps/demo/small/seed0.parquet")
    write_score(*files, "results/maps/demo/small/seed0.aum.parquet", "aum")
    outcome, cost = {"steps": 9, "validation": {"accuracy": 0.5}}, {"training_seconds": 1.5}
    write_json(f"{PLACE}/ledger.json", {"run": RUN, "outcome": outcome, "cost": cost})
    for table, values in (("one", [0.25, 0.5]), ("two", [0.5, 0.75])):
        rows = {"model": ["a"] * 2, "metric": ["accuracy"] * 2, "value": values}
        write_parquet(f"results/scores/{table}.parquet", pa.table(rows), {})
    return ftft.open_run(tmp_path)


def test_ledgers_are_a_row_per_run(run):
    assert run.ledgers().to_dict("records") == [{**RUN, "outcome.steps": 9, "cost.training_seconds": 1.5}]
    assert run.runs() == [tuple(RUN.values())] and repr(run).endswith("1 runs")


def test_scores_are_those_of_one_table_or_each_once(run):
    assert run.scores("two")["value"].tolist() == [0.5, 0.75]
    assert sorted(run.scores()["value"]) == [0.25, 0.5, 0.75]


def test_dynamics_are_joined_to_the_uids_of_their_own_data(run):
    frame = run.dynamics("demo", "small")
    assert len(frame) == EPOCHS * ROWS and {"uid", "epoch", "p_true", "correct", "logit_0"} <= set(frame)
    assert frame["uid"].tolist() == list(demo_dataset("train", ROWS).uids) * EPOCHS
    means = frame.groupby("uid")["p_true"].mean()
    data_map = run.data_map("demo", "small").to_pandas()
    np.testing.assert_allclose(means[data_map.index], data_map["confidence"], rtol=1e-6)


def test_a_map_has_its_further_scores_and_is_a_table(run):
    data_map = run.data_map("demo", "small")
    names = ["confidence", "variability", "correctness", "aum"]
    assert data_map.to_arrow().column_names == ["uid", *names]
    assert data_map.to_pandas().columns.tolist() == names and data_map.to_pandas().index.name == "uid"


def test_arrow_holds_the_same(run):
    assert run.arrow("scores", "one").to_pandas().equals(run.scores("one"))
    with pytest.raises(ArtifactError, match="one of ledgers, scores"):
        run.arrow("maps")


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: run.data_map("demo", "large"),
        lambda run: run.scores("x"),
        lambda run: run.issues("a", "b"),
    ],
)
def test_what_is_not_there_is_said_to_be_missing(run, ask):
    with pytest.raises(ArtifactError, match=r"there is no .*parquet"):
        ask(run)


def test_a_folder_without_results_cannot_be_opened(tmp_path):
    with pytest.raises(ArtifactError, match="ftft run was called"):
        ftft.open_run(tmp_path / "nothing")
    (tmp_path / "results").mkdir()
    assert len(ftft.open_run(tmp_path / "results").ledgers()) == 0


def a_map(count):
    random = np.random.default_rng(0)
    uids = [f"<b>{number}" for number in range(count)]
    return DataMap(uids, random.random(count), random.random(count) / 2, random.random(count))


@pytest.mark.parametrize(("count", "points"), [(0, 0), (1, 1), (40, 40), (5000, 1500)])
def test_a_map_shows_itself_in_a_notebook(count, points):
    page = a_map(count)._repr_html_()
    figure = ElementTree.fromstring(page)
    assert len(figure.findall(".//circle")) == points
    assert f"{count:,} instances" in page and "<b>" not in page
    assert len(page) < 250_000


def test_a_point_lies_where_its_scores_say():
    page = DataMap(["a"], np.array([1.0]), np.array([0.5]), np.array([1.0]))._repr_html_()
    assert re.search(r'<circle cx="356.0" cy="36.0" r="2" fill="rgb\(0,114,178\)"', page)


def test_a_map_is_drawn_on_the_axes_that_are_given():
    figure, axes = plt.subplots(1, 2)
    assert ftft.plot.data_map(a_map(30), ax=axes[1]) is axes[1]
    assert not axes[0].collections and sum(len(part.get_offsets()) for part in axes[1].collections) == 30
    assert axes[1].get_xlabel() == "variability"
    plt.close(figure)


def test_a_map_is_drawn_on_axes_of_its_own_in_the_look_of_the_figures():
    before = matplotlib.rcParams.copy()
    axes = ftft.plot.data_map(a_map(30), fraction=0.1)
    assert not axes.spines["top"].get_visible() and matplotlib.rcParams == before
    plt.close(axes.figure)
    with pytest.raises(DataError, match="fraction"):
        ftft.plot.data_map(a_map(30), fraction=2)
