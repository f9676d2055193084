import logging
from dataclasses import replace

import numpy as np
import pytest

from ftft.artifacts import read_json, read_parquet
from ftft.data.checks import check_task
from ftft.data.dataset import Dataset
from ftft.errors import DataError

TRAIN = (["The cat sat.", "A dog", "👍"], ["It sat.", "It ran", "ok"])
LEAKING = (["the CAT, sat!", "A dog", "new"], ["it sat", "It sat", "text"])
CLEAN = (["It sat.", "A dogma", "👎"], ["The cat sat.", "It ran", "ok"])


def check(folder, leakage, groups=None, **texts):
    datasets = {
        name: Dataset(
            ["0", "1", "2"], columns, np.array([0, 1, 1]), ["no", "maybe", "yes"], {"source": "file"}
        )
        for name, columns in texts.items()
    }
    datasets = {name: replace(part, group=(groups or {}).get(name)) for name, part in datasets.items()}
    for name, dataset in datasets.items():
        dataset.save(folder / name)
    spec = {"train": "train", "datasets": list(datasets), "leakage": leakage, "near_duplicates": 0.8}
    outputs = {"report": folder / "report.json", "repeats": folder / "repeats.parquet"}
    check_task(spec, [folder / name for name in datasets], outputs)
    return read_json(folder / "report.json"), datasets


def test_the_report_gives_sizes_labels_and_hashes(tmp_path):
    report, datasets = check(tmp_path, "warn", train=TRAIN, test=CLEAN)
    assert report["train"] == {
        "source": "file",
        "instances": 3,
        "content_hash": datasets["train"].content_hash,
        "labels": {"no": 1, "maybe": 2, "yes": 0},
        "repeats": {"groups": 0, "exact": 0, "near": 0, "with_different_labels": 0},
    }
    assert report["test"]["found_in_training"] == 0


def test_training_texts_that_reappear_are_counted_and_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "ftft"):
        report, _ = check(tmp_path, "warn", test=LEAKING, train=TRAIN, twin=TRAIN)
    assert {name: entry.get("found_in_training") for name, entry in report.items()} == {
        "test": 1,
        "train": None,
        "twin": 3,
    }
    assert caplog.messages == ["training instances reappear in evaluation data: 1 in test, 3 in twin"]


def test_leakage_is_refused_on_request(tmp_path):
    with pytest.raises(DataError, match=r"reappear in evaluation data: 1 in test\n(.|\n)*leakage: warn"):
        check(tmp_path, "refuse", train=TRAIN, test=LEAKING)
    assert not (tmp_path / "report.json").exists()


def test_data_without_leakage_pass_the_strict_check_silently(tmp_path, caplog):
    report, _ = check(tmp_path, "refuse", train=TRAIN, test=CLEAN)
    assert report["test"]["found_in_training"] == 0
    assert not caplog.messages


def test_an_ignored_check_claims_nothing(tmp_path, caplog):
    report, _ = check(tmp_path, "ignore", train=TRAIN, test=LEAKING)
    assert "found_in_training" not in report["test"]
    assert not caplog.messages


def test_texts_of_emoji_or_punctuation_alone_are_told_apart(tmp_path):
    report, _ = check(tmp_path, "warn", train=(["👍", "!", "..."],), test=(["👎", "?", "..."],))
    assert report["test"]["found_in_training"] == 1


def test_groups_that_reappear_are_counted_whatever_their_texts_are(tmp_path, caplog):
    """Two of three rows of the test set are of the training set's first document; one repeats a text too."""
    groups = {"train": ["d1", "d1", "d2"], "test": ["d1", "d3", "d1"]}
    texts = {"train": TRAIN, "test": (["The cat sat.", "new", "👎"], ["It sat.", "It ran", "ok"])}
    report, _ = check(tmp_path, "warn", groups, **texts)
    assert report["test"]["groups_in_training"] == 1 and report["test"]["found_in_training"] == 2
    assert caplog.messages == ["training instances reappear in evaluation data: 2 in test"]
    with pytest.raises(DataError, match="2 in test"):
        check(tmp_path, "refuse", groups, **texts)
    assert Dataset.load(tmp_path / "train").group == groups["train"]
    assert check(tmp_path, "warn", **texts)[0]["test"]["found_in_training"] == 1


LONG = "the committee met on Tuesday in the old town hall and did not agree about anything"


def test_near_duplicates_are_told_apart_from_equal_texts(tmp_path, caplog):
    train = ([LONG, LONG.upper(), LONG + " at all"], ["a", "a", "a"])
    test = (["a different sentence", "a different sentence", LONG.replace("old", "odd")], ["a", "a", "a"])
    report, _ = check(tmp_path, "refuse", train=train, test=test)
    assert (report["test"]["found_in_training"], report["test"]["nearly_in_training"]) == (0, 1)
    assert caplog.messages == ["near duplicates of training instances in evaluation data: 1 in test"]
    # The labels are no, maybe, maybe.
    assert report["train"]["repeats"] == {"groups": 1, "exact": 2, "near": 1, "with_different_labels": 1}
    table, _ = read_parquet(tmp_path / "repeats.parquet")
    members = [(row["dataset"], row["uid"], row["group"]) for row in table.to_pylist()]
    assert members[:3] == [("train", "0", 0), ("train", "1", 0), ("train", "2", 0)]
    assert [member[:2] for member in members[3:]] == [("test", "0"), ("test", "1"), ("test", "2")]
