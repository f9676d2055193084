"""What a selection's gain over random rows is owed to: the rows that are compared, the numbers, the words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ftft.artifacts import write_json, write_parquet
from ftft.cartography.datamap import DataMap
from ftft.cartography.selection import Pool, choose
from ftft.pipeline import plan
from ftft.pipeline.config import resolve
from ftft.results.figures import gains as figure
from ftft.results.notes import gain_notes
from ftft.statistics.gains import load_gains, split_gains

ROWS = [
    {"method": "DM", "main": "large", "reference": "random", "supervision": "random-33"},
    {"method": "DM", "main": "large", "reference": "small", "selector": "ambiguous", "supervision": "a"},
    {"method": "DM", "main": "large", "reference": "small", "selector": "matched_labels", "supervision": "b"},
    {"method": "DM", "main": "large", "reference": "small", "selector": "matched_random", "supervision": "c"},
]
PARTS = [
    {"row": 1, "part": "label make-up", "left": 2, "right": 0},
    {"row": 1, "part": "length", "left": 3, "right": 2},
    {"row": 1, "part": "training dynamics", "left": 1, "right": 3},
    {"row": 1, "part": "over random", "left": 1, "right": 0},
]
# Of 200 examples of each data set, those that a method's runs have right, by data set.
RIGHT = {"random-33": (120, 100), "a": (150, 140), "b": (130, 105), "c": (140, 120)}


def write_run(folder, supervision, seed, right):
    run = {"task": "t", "model": "large", "supervision": supervision, "budget": "full", "seed": seed}
    outcome = {"validation": {"accuracy": 0.9}, "floor": {"accuracy": 0.5}}
    spec = {"early_stopping": None}
    write_json(folder / f"{supervision}-{seed}.json", {"run": run, "outcome": outcome, "spec": spec})
    for dataset, count in zip(("id", "far"), right, strict=True):
        correct = np.arange(200) < count
        columns = {
            "uid": pa.array([str(row) for row in range(200)]),
            "label": pa.array(np.ones(200, np.int16)),
            "prediction": pa.array(correct.astype(np.int16)),
        }
        about = {"run": run, "dataset": dataset, "kind": "classification", "labels": ["no", "yes"]}
        write_parquet(folder / f"{supervision}-{seed}-{dataset}.parquet", pa.table(columns), about)


@pytest.fixture
def gains(tmp_path):
    reference = {"task": "t", "model": "small", "supervision": "all", "budget": "full"}
    for seed in (0, 1):
        for supervision, right in RIGHT.items():
            write_run(tmp_path, supervision, seed, right)
        outcome = {"validation": {"accuracy": 0.9}, "floor": {"accuracy": 0.5}}
        spec = {"early_stopping": None}
        ledger = {"run": {**reference, "seed": seed}, "outcome": outcome, "spec": spec}
        write_json(tmp_path / f"small-{seed}.json", ledger)
    spec = {
        "metric": "accuracy",
        "failure_metric": "accuracy",
        "rows": [{**row, "budget": "full"} for row in ROWS],
        "parts": PARTS,
        "sets": {"in distribution": ["id"], "out of distribution": ["far"]},
        "confidence": 0.95,
        "resamples": 400,
    }
    files = sorted(tmp_path.glob("*.parquet")), sorted(tmp_path.glob("*.json"))
    output = tmp_path / "gains"
    split_gains(spec, *files, output, tmp_path / "gains.csv")
    return load_gains(output)


def test_the_parts_of_a_gain_are_differences_that_add_up(gains):
    far = gains[gains["sets"] == "out of distribution"].set_index("part")["difference"]
    assert far.round(6).to_dict() == {
        "label make-up": 0.025,
        "length": 0.075,
        "training dynamics": 0.1,
        "over random": 0.2,
    }
    assert (gains["low"] <= gains["difference"]).all() and (gains["seeds"] == 2).all()


def test_a_gain_beyond_labels_and_lengths_is_said_to_be_one(gains):
    (note,) = gain_notes(gains, "accuracy")
    assert note.startswith(
        "Training dynamics help: the ambiguous rows of small for large are 10.0 points of accuracy out of "
        "distribution above random rows with the same labels and lengths (+"
    )
    assert note.endswith("2 seeds)")


def changed(gains, part, **values):
    frame = gains[gains["sets"] == "out of distribution"].copy()
    for name, value in values.items():
        frame.loc[frame["part"] == part, name] = value
    return gain_notes(frame, "accuracy")


def test_no_gain_is_claimed_from_one_seed_or_an_interval_that_holds_zero(gains):
    for values in ({"low": -0.01}, {"seeds": 1}):
        (note,) = changed(gains, "training dynamics", **values)
        assert note.startswith("Not shown that training dynamics help")


def test_a_control_that_does_better_is_recommended(gains):
    worse = {"difference": -0.05, "low": -0.08, "high": -0.02}
    (note,) = changed(gains, "training dynamics", **worse)
    assert note.startswith("Take random rows with the same labels and lengths: they are 5.0 points")
    notes = changed(gains, "over random", **worse)
    assert "Take the random rows, which need no reference: they are 5.0 points" in notes[-1]


def test_the_figure_has_a_line_per_part(gains):
    drawn = figure.draw(gains, "Gains", "accuracy")
    labels = [tick.get_text() for tick in drawn.axes[0].get_yticklabels()]
    assert labels == [f"ambiguous of small: {part['part']}" for part in PARTS]
    assert figure.draw(pd.DataFrame(columns=gains.columns), "Gains", "accuracy")


def table_of(tiny, *rows):
    main = {"method": "DM", "main": "large"}
    tiny["tables"] = {"t": {"task": "demo", "rows": [{**main, **row} for row in rows]}}
    config = resolve(tiny)
    return plan.gain_parts(config.tables["t"], config)


RANDOM, AMBIGUOUS = {"reference": "random"}, {"reference": "small"}
LABELS, BOTH = ({"reference": "small", "selector": f"matched_{what}"} for what in ("labels", "random"))


def test_a_table_is_split_as_far_as_it_has_controls(tiny):
    assert table_of(tiny, RANDOM, AMBIGUOUS, LABELS, BOTH) == PARTS
    assert table_of(tiny, RANDOM, AMBIGUOUS) == []
    parts = table_of(tiny, AMBIGUOUS, BOTH, RANDOM, {"reference": "random", "selector": "longest"})
    assert [(part["part"], part["left"], part["right"]) for part in parts] == [
        ("label make-up and length", 1, 2),
        ("training dynamics", 0, 1),
        ("over random", 0, 2),
        ("over longest", 0, 3),
    ]


def test_selections_that_are_trained_shorter_are_split_among_each_other(tiny):
    short = [{**row, "steps": 9} for row in (RANDOM, AMBIGUOUS, LABELS, BOTH)]
    assert table_of(tiny, *short) == PARTS
    assert table_of(tiny, *short, {**BOTH, "steps": 5}, {**AMBIGUOUS, "steps": 5}) == PARTS
    assert table_of(tiny, RANDOM, AMBIGUOUS, LABELS, BOTH, *short) == PARTS
    assert table_of(tiny, RANDOM, AMBIGUOUS, {**BOTH, "steps": 9}) == []


def test_a_control_of_another_selection_is_none_of_this_one(tiny):
    tiny["selections"] = {"matched_easy": {"mixture": "matched_random", "selector": "easy"}}
    other = {"reference": "small", "selector": "matched_easy"}
    assert table_of(tiny, RANDOM, AMBIGUOUS, other) == []
    assert len(table_of(tiny, RANDOM, {"reference": "small", "selector": "easy"}, other)) == 3


def test_rows_of_the_same_labels_have_the_labels_of_the_selection():
    variability = np.linspace(0, 1, 60)
    make_up = np.arange(60) % 4

    uids = [str(row) for row in range(60)]
    pool = Pool(uids, 0.3, 0, DataMap(uids, variability, variability, variability), make_up, np.arange(60))
    ambiguous, matched = (choose(name, pool, {}).rows for name in ("ambiguous", "matched_labels"))
    assert np.bincount(make_up[ambiguous]).tolist() == np.bincount(make_up[matched]).tolist()
    other = choose("matched_labels", replace(pool, seed=1), {}).rows
    assert matched.tolist() != other.tolist() and set(matched) != set(ambiguous)
