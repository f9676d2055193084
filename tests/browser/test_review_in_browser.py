"""From the page of a data map to a file of corrections, and to the data set that they make."""

import time

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


# Presses the keys one after the other, each when the page has shown what the one before did; milliseconds.
PRESSED = """
const [keys, done] = arguments, times = [];
const press = () => {
  if (times.length === keys.length) return done(times);
  const start = performance.now(), key = keys[times.length];
  document.getElementById("review").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  requestAnimationFrame(() => setTimeout(() => {
    times.push(performance.now() - start);
    press();
  }));
};
press();
"""


@pytest.mark.slow
def test_twenty_thousand_rows_stay_quick(driver, downloads, make_page, tmp_path):
    """Of these 4,000 look wrong, and all but 200 of them are judged: every key goes through all."""
    random, instances, wrong = np.random.default_rng(0), 20_000, 4_000
    confidence = np.where(
        np.arange(instances) < wrong, *random.uniform([[0.02], [0.7]], [[0.3], [0.97]], (2, instances))
    )
    words = np.array([f"word{number}" for number in range(5000)])
    texts = [" ".join(row) for row in words[random.integers(0, len(words), (instances, 30))]]
    points = [
        (f"instance-{row}", (text, text[:100]), LABELS[row % 2], 0.01, own)
        for row, (text, own) in enumerate(zip(texts, confidence.tolist(), strict=True))
    ]
    reader = Reader(driver, downloads)
    page = make_page(tmp_path, points)
    start = time.monotonic()
    reader.open(page)
    reader.until(reader.one("#review-open").is_enabled)
    loaded = time.monotonic() - start
    reader.one("#review-open").click()
    reader.until(lambda: "of 4,000" in judged(reader))
    code = "review.issues.slice(0, -200).forEach(({ row }) => review.decided.set(row, { label: 'bad' }))"
    reader.script(code)
    milliseconds = {key: driver.execute_async_script(PRESSED, [key] * 20) for key in "nbks"}
    median = {key: round(float(np.median(times))) for key, times in milliseconds.items()}
    print(f"{page.stat().st_size / 1e6:.1f} MB, loaded in {loaded:.2f} s, milliseconds per key: {median}")
    # The first key judges again what was judged, and goes on to the 200 that are not.
    assert reader.one("#progress").text.startswith("3,839 judged")
    assert loaded < 10 and max(median.values()) < 150


def test_a_narrow_screen_shows_all_of_the_review(reader, tmp_path):
    reader.open(tmp_path / "page.html", width=360, height=740, theme="dark")
    reader.until(reader.one("#review-open").is_enabled)
    reader.one("#review-open").click()
    reader.until(lambda: "of 3" in judged(reader))
    assert reader.script("return document.documentElement.scrollWidth") <= 360
