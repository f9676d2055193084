"""From the page of a data map to a file of corrections, and to the data set that they make."""

import numpy as np
import pyarrow as pa
import pytest
from reader import Reader

from ftft.tasks.prepare import prepare

pytestmark = pytest.mark.browser

LABELS = ["bad", "good"]
# The confidence of the last three is low: their labels look wrong.
POINTS = [
    *((f"fine-{row}", (f"Text {row}", ", as it was"), LABELS[row % 2], 0.02, 0.9) for row in range(60)),
    ("odd", (' spaces, "quotes"\nand lines', "\u00e9\U0001f600"), "good", 0.02, 0.05),
    ("second", ("Two", "2"), "bad", 0.02, 0.07),
    ("third", ("Three", "3"), "good", 0.02, 0.1),
]


@pytest.fixture
def reader(driver, downloads, make_page, tmp_path):
    reader = Reader(driver, downloads)
    reader.open(make_page(tmp_path, POINTS))
    reader.script("localStorage.clear()")
    reader.open(tmp_path / "page.html")
    reader.until(reader.one("#review-open").is_enabled)
    reader.one("#review-open").click()
    reader.until(lambda: "1 of 3" in reader.one("#judged").text)
    yield reader
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def judged(reader):
    return reader.one("#judged").text


def test_issues_are_gone_through_by_keys(reader):
    reader.until(lambda: "quotes" in reader.details)
    assert "never learnt" in reader.one("#verdict").text
    reader.press("s")
    reader.until(lambda: "Two" in reader.details)
    assert judged(reader) == "2 of 3: not judged"
    reader.press("b")
    reader.until(lambda: judged(reader) == "1 of 3: relabelled bad")
    reader.press("n", "d", "k")
    assert reader.one("#progress").text == "3 judged: 1 relabelled, 1 dropped."
    reader.press("b", "b", "k")
    assert reader.one("#progress").text == "3 judged: 0 relabelled, 1 dropped."
    reader.press("b", "b", "1")
    assert judged(reader) == "1 of 3: relabelled bad"


def test_a_closed_page_loses_nothing(reader, tmp_path):
    reader.press("d")
    reader.open(tmp_path / "page.html")
    reader.until(reader.one("#review-open").is_enabled)
    reader.one("#review-open").click()
    reader.until(lambda: judged(reader) == "2 of 3: not judged")
    assert reader.one("#progress").text == "1 judged: 0 relabelled, 1 dropped."


def test_a_note_is_typed_and_no_key_of_the_review(reader):
    reader.one("#note").send_keys("sdk")
    assert judged(reader) == "1 of 3: not judged"
    reader.one("#take").click()
    assert reader.exported("#corrections")[0]["note"] == "sdk"


def test_the_exported_corrections_make_the_data_set(reader, downloads):
    assert not reader.one("#corrections").is_enabled()
    reader.press("s", "d", "k")
    rows = reader.exported("#corrections")
    assert [(row["uid"], row["label"]) for row in rows] == [("odd", "bad"), ("second", "")]
    uids, texts, labels, _, _ = zip(*POINTS, strict=True)
    records = pa.table(
        {
            "uid": uids,
            "premise": [text for text, _ in texts],
            "hypothesis": [text for _, text in texts],
            "label": labels,
        }
    )
    spec = {"text": ["premise", "hypothesis"], "label": "label", "uid": "uid", "labels": LABELS}
    spec |= {"corrections": str(downloads / "corrections.csv")}
    dataset = prepare(records, spec, "train", {"steps": []})
    assert dataset.uids == [uid for uid in uids if uid != "second"]
    changed = np.flatnonzero(
        [
            labels[uids.index(uid)] != LABELS[label]
            for uid, label in zip(dataset.uids, dataset.labels, strict=True)
        ]
    )
    assert [dataset.uids[row] for row in changed] == ["odd"]


def test_a_narrow_screen_shows_all_of_the_review(reader, tmp_path):
    reader.open(tmp_path / "page.html", width=360, height=740, theme="dark")
    reader.until(reader.one("#review-open").is_enabled)
    reader.one("#review-open").click()
    reader.until(lambda: "of 3" in judged(reader))
    assert reader.script("return document.documentElement.scrollWidth") <= 360
