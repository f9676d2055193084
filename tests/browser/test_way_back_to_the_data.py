"""The whole way round: a file with wrong labels, its issues, corrections on the page, and the file again."""

import csv
import json
import random

import pytest
from reader import Reader
from workflows import Workflow

from ftft.data.dataset import Dataset

pytestmark = [pytest.mark.browser, pytest.mark.long]

# A review's label, and the words that tell it.
WORDS = {
    "bad": ["awful", "boring", "broken", "dull"],
    "fair": ["average", "decent", "okay", "usual"],
    "good": ["bright", "great", "lovely", "superb"],
}
LABELS = list(WORDS)
ROWS, WRONG = 240, 12
PAGE = "results/maps/reviews/small/seed0.html"
LIST = "results/issues/reviews.csv"
CHECK, TABLE = "results/checks/reviews.json", "results/tables/reviews.md"


def write_reviews(path, rows, wrong=0):
    """Write so many reviews, the first of them with a wrong label; give the labels by uid as they should be,
    and as they are written.
    """
    chance = random.Random(rows)
    true, given = {}, {}
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uid", "text", "label"])
        for row in range(rows):
            label = chance.choice(LABELS)
            written = chance.choice([other for other in LABELS if other != label]) if row < wrong else label
            text = " ".join(["review", str(row), *chance.sample(WORDS[label], 3)])
            writer.writerow([f"{path.stem}-{row}", text, written])
            true[f"{path.stem}-{row}"], given[f"{path.stem}-{row}"] = label, written
    return true, given


@pytest.fixture(scope="module")
def reviews(root, tiny_config, tmp_path_factory):
    """A workflow whose training set is a file with planted errors, and that file's labels: true and given."""
    workflow = Workflow(root, tmp_path_factory.mktemp("reviews"), tiny_config)
    true, given = write_reviews(workflow.folder / "train.csv", ROWS, WRONG)
    write_reviews(workflow.folder / "held_out.csv", 30)
    names = ("train", "held_out")
    task = {
        "labels": LABELS,
        "uid": "uid",
        "train": "train",
        "validation": "held_out",
        "evaluate": ["held_out"],
        "datasets": {name: {"source": "file", "path": f"{name}.csv"} for name in names},
    }
    row = {"method": "ERM", "main": "small"}
    own = {"tasks": {"reviews": task}, "tables": {"reviews": {"task": "reviews", "rows": [row]}}}
    early = {"early_stopping": {"monitors": ["id"]}}
    workflow.write_config({**tiny_config, **own, **early})
    return workflow, true, given


def run(workflow, *targets):
    done = workflow.snakemake("--", *targets)
    assert done.returncode == 0, done.stdout


def listed(workflow):
    with open(workflow.folder / LIST, newline="") as file:
        return [row["uid"] for row in csv.DictReader(file)]


def test_wrong_labels_are_found_judged_and_corrected(reviews, driver, downloads):
    workflow, true, given = reviews
    run(workflow, "issues", PAGE)
    doubted = listed(workflow)[:4]
    assert all(true[uid] != given[uid] for uid in doubted)

    reader = Reader(driver, downloads)
    reader.open(workflow.folder / PAGE)
    reader.until(reader.one("#review-open").is_enabled)
    reader.one("#review-open").click()
    suggested, another, dropped, kept = doubted
    # The label that is neither given nor right, by its number.
    (third,) = {*LABELS} - {true[another], given[another]}
    for uid, key in zip(doubted, ("s", str(LABELS.index(third) + 1), "d", "k"), strict=True):
        reader.until(lambda uid=uid: f"{uid}\n" in reader.details)
        reader.press(key)
    reader.until(lambda: reader.one("#progress").text == "4 judged: 2 relabelled, 1 dropped.")
    exported = reader.exported("#corrections")
    decided = {suggested: true[suggested], another: third, dropped: ""}
    assert {row["uid"]: row["label"] for row in exported} == decided

    (workflow.folder / "corrections.csv").write_bytes((downloads / "corrections.csv").read_bytes())
    entry = {"corrections": "corrections.csv"}
    workflow.edit(lambda config: config["tasks"]["reviews"]["datasets"]["train"].update(entry))
    # One data set of two; the vocabulary of a scratch model is that of the training texts.
    depending = ("prepare_data", "check_data", "prepare_encoder", "train_reference")
    assert workflow.planned(target="issues") == dict.fromkeys(
        (*depending, "find_issues", "collect_issues"), 1
    )
    run(workflow, CHECK, TABLE, "issues")
    dataset = Dataset.load(workflow.folder / "results/data/reviews/train.parquet")
    labels = {
        uid: dataset.label_names[label] for uid, label in zip(dataset.uids, dataset.labels, strict=True)
    }
    expected = {**given, **decided}
    del expected[dropped]
    assert labels == expected
    report = json.loads((workflow.folder / CHECK).read_text())
    step = {"step": "corrections", "rows": ROWS - 1, "corrected": 2, "dropped": 1}
    assert report["train"]["steps"][-1] == step
    assert not any(one["step"] == "corrections" for one in report["held_out"]["steps"])
    note = "Data set train: 2 labels were corrected, 1 rows dropped"
    assert note in (workflow.folder / TABLE).read_text()
    # The second round: what was put right is no issue any more, what was left wrong or made wrong is one.
    again = listed(workflow)
    assert suggested not in again and dropped not in again
    assert {another, kept} <= {*again}
