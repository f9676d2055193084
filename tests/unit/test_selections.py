"""What the selections of a table hold: numbers by hand."""

import numpy as np
import pandas as pd
import pytest

from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset
from ftft.results.selections import build_selections, write_selections

SELECTION = {"selector": "ambiguous", "reference": "small", "supervision": "small-ambiguous-33"}


@pytest.fixture
def dataset():
    """Texts of 2, 4, 6 and 8 characters, two of each class; the mean is 5."""
    texts = (["ab", "abcd", "abcdef", "abcdefgh"],)
    return Dataset(list("abcd"), texts, np.array([0, 0, 1, 1]), ["no", "yes"])


def test_rows_lengths_and_labels_beside_all_rows(dataset):
    selections = [{**SELECTION, "seed": 0}, {**SELECTION, "seed": 1}]
    # The first holds 2 and 8 characters, the second three rows of 4, 6 and 8.
    chosen = [Supervision.of(np.array([0, 3])), Supervision.of(np.array([1, 2, 3]))]
    everything, own = build_selections(selections, chosen, dataset).to_dict("records")
    assert (everything["selector"], everything["rows"], everything["length"]) == ("all", 4, 100)
    assert (everything["label: no"], everything["label: yes"]) == (50, 50)
    assert (own["supervision"], own["runs"], own["rows"]) == ("small-ambiguous-33", 2, 2.5)
    assert own["length"] == pytest.approx((100 + 120) / 2)
    assert own["label: yes"] == pytest.approx((50 + 200 / 3) / 2)


def test_a_row_counts_as_often_as_it_weighs(dataset):
    copied = Supervision(np.arange(4), np.array([1, 1, 1, 3], np.float32))
    _, own = build_selections([{**SELECTION, "seed": 0}], [copied], dataset).to_dict("records")
    assert own["rows"] == 4
    assert own["length"] == pytest.approx(100 * (2 + 4 + 6 + 24) / 6 / 5)
    assert own["label: yes"] == pytest.approx(100 * 4 / 6)


def test_the_files_are_written_for_readers_and_programs(dataset, tmp_path):
    dataset.save(tmp_path / "train.parquet")
    Supervision.of(np.array([0, 3])).save(tmp_path / "chosen.parquet", dataset, {})
    outputs = {form: tmp_path / f"held.{form}" for form in ("csv", "md", "tex")}
    spec = {"title": "T", "selections": [{**SELECTION, "seed": 0}]}
    write_selections(spec, tmp_path / "train.parquet", [tmp_path / "chosen.parquet"], outputs)
    assert "| ambiguous | small | 2 | 100 | 50.0 | 50.0 | 1 |" in outputs["md"].read_text()
    assert list(pd.read_csv(outputs["csv"])["rows"]) == [4, 2]
