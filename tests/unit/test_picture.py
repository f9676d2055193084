"""The picture of the start page shows what the archived table says, and is the one that is kept."""

from pathlib import Path

import pandas as pd
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


def test_its_lines_are_the_means_of_the_archived_table(picture):
    lines = picture.shown()
    table = pd.read_csv(picture.ARCHIVE / "table.csv").set_index(["main", "supervision", "budget"])
    scores = table.filter(regex="(validation|test)$")
    means = scores - scores.loc[picture.ERM]
    inside = means.columns.str.startswith("cad")
    for (panel, own), columns in zip(lines.groupby("panel", sort=False), (inside, ~inside), strict=True):
        expected = [100 * means.loc[method, columns].mean() for method in picture.ROWS]
        assert own["value"].tolist() == pytest.approx(expected, abs=0.01), panel
    assert (lines["low"] < lines["value"]).all() and (lines["value"] < lines["high"]).all()


def test_the_note_says_how_many_seeds_there_are(picture):
    lines = picture.shown()
    for seeds, told in ((1, "over examples, one seed"), (4, "over examples and 4 seeds")):
        notes = [text.get_text().replace("\n", " ") for text in picture.draw(lines.assign(seeds=seeds)).texts]
        assert any(told in note for note in notes)


def test_the_start_page_says_what_the_picture_shows(picture):
    lines = picture.shown().set_index(["label", "panel"])
    text = " ".join((DOCS.parent / "README.md").read_text(encoding="utf-8").split())
    outside = lines.xs(picture.OUTSIDE, level="panel")
    for name in ("classes weighted", "labels balanced", "most ambiguous", "labels and lengths"):
        line = outside[outside.index.str.contains(name)].iloc[0]
        assert f"{line.value:.1f} points ({line.low:+.1f} to {line.high:+.1f})" in text, name
