"""The picture of the start page shows what the archived table says, and is the one that is kept."""

import csv
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def picture(monkeypatch, tmp_path):
    """The module that draws it, which writes elsewhere."""
    monkeypatch.syspath_prepend(DOCS)
    import picture

    monkeypatch.setattr(picture, "PICTURE", tmp_path / "result.svg")
    return picture


def test_the_picture_that_is_kept_is_drawn_from_the_archive(picture):
    picture.main()
    assert picture.PICTURE.read_bytes() == (DOCS / "result.svg").read_bytes(), "python docs/picture.py"


def test_its_rows_are_those_of_the_archive_with_their_controls(picture):
    rows = picture.shown()
    with open(DOCS / "results/methods/comparisons.csv", newline="") as file:
        archived = {
            (row["supervision"], row["budget"], row["dataset"]): [row["difference"], row["low"], row["high"]]
            for row in csv.DictReader(file)
        }
    for row in rows.itertuples():
        expected = map(float, archived[row.supervision, row.budget, row.dataset])
        assert [row.difference, row.low, row.high] == list(expected)
    labels = rows.drop_duplicates("place").set_index("supervision")["label"]
    assert labels["random-33"] == "a random third, cost 100"
    assert labels["standin-electra-base-matched_random-33"] == "its control: matched random rows, cost 142"
    holding = ((rows["low"] <= 0) & (rows["high"] >= 0)).sum()
    assert f"{holding} of the {len(rows)} intervals hold" in (DOCS.parent / "README.md").read_text()


def test_no_interval_is_cut_and_the_note_counts_what_is_significant(picture):
    rows = picture.shown()
    assert 100 * rows[["low", "high"]].abs().max().max() < picture.WIDEST
    notes = [text.get_text().replace("\n", " ") for text in picture.draw(rows).texts]
    assert any("none of the differences is significant" in note for note in notes)
    rows.iloc[:2, rows.columns.get_loc("p_holm")] = 0.01
    notes = [text.get_text().replace("\n", " ") for text in picture.draw(rows).texts]
    assert any("2 of the differences are significant" in note for note in notes)
