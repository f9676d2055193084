"""Questions on the page of a data map: their answers, and corrections of these."""

import json

import numpy as np
import pyarrow as pa
import pytest
from reader import Reader
from selenium.webdriver.common.keys import Keys

from ftft.tasks.prepare import prepare

pytestmark = pytest.mark.browser

RUN = "window.ran = true"
HOSTILE = f"</script><script>{RUN}</script><img src=x onerror='{RUN}'>"
# A character of two UTF-16 units stands before the answers.
CONTEXT = f"\U0001f600 {HOSTILE} ann was in rome"
LONG = f"{'so it was , and so it is , ' * 100}eve was in oslo , {'and it goes on , ' * 100}"
CONTEXTS = [*[CONTEXT] * 9, LONG]
UIDS = [f"u{row}" for row in range(10)]
ANSWERS = [("rome", CONTEXT.index("rome"))] * 9 + [("oslo", LONG.index("oslo"))]
# The first answer of u3 is never given: the model answers with the hostile text in both epochs.
WRONG = (CONTEXT.index("<img"), CONTEXT.index(" ann"))
SPEC = {"kind": "question_answering", "text": ["question", "context"], "label": "answers", "uid": "uid"}


def records():
    answers = [json.dumps({"text": [text], "answer_start": [start]}) for text, start in ANSWERS]
    columns = {"question": ["which town"] * 10, "context": CONTEXTS, "answers": answers}
    return pa.table({"uid": UIDS, **columns})


def recorded(row, epoch):
    text, start = ANSWERS[row]
    log_p = -0.1 * (row + 1) / (epoch + 1)
    return [-4, -4, 0, *WRONG, 3] if row == 3 else [log_p, log_p, 1, start, start + len(text), 3]


@pytest.fixture
def reader(driver, downloads, make_page_of_dataset, tmp_path):
    dataset = prepare(records(), SPEC, "train", {"steps": []})
    epochs = [np.array([recorded(row, epoch) for row in range(10)], np.float32) for epoch in range(2)]
    page = make_page_of_dataset(tmp_path, dataset, epochs, SPEC["text"])
    reader = Reader(driver, downloads)
    reader.open(page)
    reader.script("localStorage.clear()")
    reader.open(page)
    reader.until(reader.one("#review-open").is_enabled)
    yield reader
    assert reader.script("return window.ran") is None
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def show(reader, uid):
    (button,) = [row for row in reader.all("#rows button") if uid in row.text.split()]
    button.click()
    reader.until(lambda: f"uid\n{uid}\n" in reader.details)


def test_an_instance_shows_its_answers_and_where_the_given_one_stands(reader):
    show(reader, "u3")
    assert reader.one("#details mark").text == "rome"
    texts = [part.text for part in reader.all("#details .text")]
    assert texts[:2] == ["which town", CONTEXT]
    assert texts[2:] == ["rome", f"{CONTEXT[slice(*WRONG)]} (2 of 2 epochs)"]
    assert [name.text for name in reader.all("#details h3")][2:] == ["given answers", "model's steady answer"]


def test_a_marked_answer_is_in_sight(reader):
    show(reader, "u9")
    assert reader.one("#details mark").text == "oslo"
    code = """
    const mark = document.querySelector("#details mark").getBoundingClientRect();
    const text = document.querySelector("#details mark").parentNode.getBoundingClientRect();
    return text.top <= mark.top && mark.bottom <= text.bottom;
    """
    assert reader.script(code)


def test_a_steady_answer_is_taken_as_a_correction(reader, downloads):
    reader.one("#review-open").click()
    reader.until(lambda: "1 of 1" in reader.one("#judged").text)
    assert not reader.one("#another").is_displayed()
    given, suggested = (fact.text for fact in reader.all("#verdict dd"))
    assert (given, suggested) == ("rome", CONTEXT[slice(*WRONG)])
    reader.press("k")
    assert reader.one("#judged").text == "1 of 1: kept"
    reader.press("s")
    assert reader.one("#judged").text == f"1 of 1: relabelled {suggested}"
    (row,) = reader.exported("#corrections")
    assert row["uid"] == "u3"
    spec = {**SPEC, "corrections": str(downloads / "corrections.csv")}
    dataset = prepare(records(), spec, "train", {"steps": []})
    assert dataset.labels[3] == {"texts": [CONTEXT[slice(*WRONG)]], "starts": [WRONG[0]]}
    assert [own["texts"] for own in dataset.labels[:3]] == [["rome"]] * 3
    reader.press("d")
    (row,) = reader.exported("#corrections")
    assert (row["uid"], row["label"]) == ("u3", "")


def test_another_answer_is_written_as_the_column_has_it(reader, downloads):
    reader.one("#review-open").click()
    reader.until(lambda: "1 of 1" in reader.one("#judged").text)
    written = reader.one("#written")
    given = json.loads(written.get_attribute("value"))
    assert given == {"text": ["rome"], "answer_start": [CONTEXT.index("rome")]}
    another = json.dumps({"text": ["ann"], "answer_start": [CONTEXT.index("ann")]})
    written.clear()
    written.send_keys(another, Keys.ENTER)
    assert reader.one("#judged").text.startswith("1 of 1: relabelled")
    reader.exported("#corrections")
    spec = {**SPEC, "corrections": str(downloads / "corrections.csv")}
    assert prepare(records(), spec, "train", {"steps": []}).labels[3]["texts"] == ["ann"]
