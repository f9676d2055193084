import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftft.artifacts import read_parquet, write_parquet
from ftft.cartography.dynamics import Dynamics, save_dynamics
from ftft.cartography.issues import estimate, falling, ranks, share_range, suspicion
from ftft.cli import main
from ftft.data.dataset import Dataset
from ftft.errors import DataError
from ftft.results.issues import find_issues, listed, write_issues, write_task_issues
from ftft.tasks.base import kind_of, true_class_probability

NAMES = ["no", "yes"]
KIND = kind_of("classification")


def dynamics_of(logits, labels, uids=None):
    p_true = np.stack([true_class_probability(epoch, labels) for epoch in logits])
    uids = uids or [f"u{row}" for row in range(len(labels))]
    return Dynamics(uids, p_true, logits.argmax(-1) == labels, labels, logits)


def planted(share, classes=3, rows=4000, seed=0):
    """Dynamics of a model that is seldom sure of a wrong class, and which labels were made wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, rows)
    wrong = np.zeros(rows, bool)
    wrong[random.permutation(rows)[: round(share * rows)]] = True
    labels = np.where(wrong, (truth + random.integers(1, classes, rows)) % classes, truth)
    strength = np.abs(random.normal(0, 3, rows))
    logits = random.normal(0, 1, (3, rows, classes))
    logits[:, np.arange(rows), truth] += strength
    return dynamics_of(logits.astype(np.float32), labels), wrong


def test_the_suspicion_is_the_mean_rank_of_the_scores():
    # Confidence 0.9, 0.1, 0.5: the places 0, 2, 1 of 2. Correctness 1, 0, 0: the places 0, 1.5, 1.5 of 2.
    dynamics = Dynamics(list("abc"), np.array([[0.9, 0.1, 0.5]]), np.array([[True, False, False]]))
    assert suspicion(dynamics, ["confidence"]).tolist() == [0, 1, 0.5]
    assert suspicion(dynamics, ["confidence", "correctness"]).tolist() == [0, 0.875, 0.625]


def test_a_score_that_is_no_sign_of_wrong_labels_is_refused():
    dynamics = Dynamics(["a"], np.array([[0.5]]), np.array([[True]]))
    with pytest.raises(DataError, match="'variability' is no sign of wrong labels"):
        suspicion(dynamics, ["variability"])


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_ranks_are_scipys(values):
    from scipy.stats import rankdata

    expected = (rankdata(values) - 1) / max(1, len(values) - 1)
    np.testing.assert_allclose(ranks(np.array(values)), expected)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 2)), min_size=1, max_size=30))
def test_the_falling_fit_is_scikit_learns(pairs):
    from sklearn.isotonic import isotonic_regression

    values, weights = np.array(pairs).T
    expected = isotonic_regression(values, sample_weight=weights, increasing=False)
    np.testing.assert_allclose(falling(values, weights), expected, atol=1e-9)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_share_of_planted_errors_is_estimated(share, classes):
    dynamics, wrong = planted(share, classes)
    noise = estimate(dynamics.logits, dynamics.labels)
    assert share * 2 / 3 < noise.share < share * 4 / 3
    assert noise.probability[wrong].mean() > 3 * noise.probability[~wrong].mean()
    assert abs(noise.probability.mean() - share) < share / 2


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_the_range_holds_the_share_where_the_model_learns_late_or_by_heart(share):
    dynamics, wrong = planted(share)
    low, high = share_range(dynamics.logits, dynamics.labels)
    assert 0.5 * share < low < share < high < 1.5 * share
    late, by_heart = dynamics.logits.copy(), dynamics.logits.copy()
    late[:2] = np.random.default_rng(1).normal(size=late[:2].shape)
    found = share_range(late, dynamics.labels)
    assert found[0] == low and found[1] > 0.5
    rows = np.flatnonzero(wrong)[::2]
    by_heart[-1, rows, dynamics.labels[rows]] += 9
    found = share_range(by_heart, dynamics.labels)
    assert found[0] < 0.75 * low and found[1] == high


def dataset_of(dynamics, classes=2):
    texts = [f"text {uid}" for uid in dynamics.uids]
    return Dataset(list(dynamics.uids), (texts,), dynamics.labels, [*NAMES, "maybe", "d", "e"][:classes])


def of_four():
    """Never learnt; learnt; learnt and lost again; learnt late."""
    ahead = np.array([[-2, 2, 1, -1], [-2, 2, 1, 1], [-2, 2, -1, 1]], np.float32)
    logits = np.stack([np.zeros_like(ahead), ahead], -1)
    return dynamics_of(logits, np.ones(4, np.int64), ["a", "b", "c", "d"])


def test_reasons_are_sentences_and_suggestions_are_the_likeliest_labels():
    dynamics = of_four()
    dataset = Dataset(
        list("abcd"), (["Same text.", "other", "same TEXT", "third"],), np.array([1, 1, 0, 1]), NAMES
    )
    table, _ = find_issues(dynamics, dataset, {"a": 0, "c": 0}, ["confidence"], {})
    found = table.to_pylist()
    assert [row["suggested"] for row in found] == ["no", "", "yes", ""]
    assert found[0]["reason"] == (
        "The given label was never learnt in 3 epochs; its mean probability is 0.12, that of the suggested "
        "one 0.88. The same text, or nearly the same, has the label 'no' (1) elsewhere."
    )
    assert (
        found[1]["reason"] == "The given label was predicted in 3 of 3 epochs; its mean probability is 0.88."
    )
    assert found[2]["reason"].startswith("The given label was learnt and lost again")


def test_without_probabilities_a_tenth_is_listed():
    dynamics = planted(0.1)[0]
    bare = Dynamics(dynamics.uids, dynamics.p_true, dynamics.correct, dynamics.labels)
    table, share = find_issues(bare, dataset_of(dynamics, 3), {}, ["confidence"], {})
    assert share is None and set(table["suggested"].to_pylist()) == {""}
    worst = listed(table, share)
    assert len(worst) == 400 and worst["score"].is_monotonic_decreasing


@pytest.fixture
def runs(tmp_path):
    """The lists of two runs on one training set, and the list of the task, through files."""
    logits = planted(0.1, 2, 600)[0].logits
    labels = planted(0.1, 2, 600)[0].labels
    texts = [f"text {row}\x1b[31m" for row in range(600)]
    dataset = Dataset([f"u{row}" for row in range(600)], (texts,), labels, NAMES)
    dataset.save(tmp_path / "train.parquet")
    repeated = {"dataset": ["train", "train", "test"], "uid": ["u0", "u1", "u2"], "group": [0, 0, 0]}
    write_parquet(tmp_path / "repeats.parquet", pa.table(repeated), {})
    spec = {"train": "train", "scores": ["confidence"], "settings": {}, "text": ["text"]}
    train = tmp_path / "train.parquet"
    for seed in (0, 1):
        save_dynamics(tmp_path / "dynamics.parquet", KIND, list(logits * (1 + seed)), dataset, {})
        outputs = {"scores": tmp_path / f"{seed}.parquet", "csv": tmp_path / f"{seed}.csv"}
        write_issues(spec, tmp_path / "dynamics.parquet", train, tmp_path / "repeats.parquet", outputs)
    (tmp_path / "issues").mkdir()
    outputs = {"csv": tmp_path / "issues/demo.csv", "summary": tmp_path / "issues/demo.json"}
    spec = {"runs": [("small", 0), ("small", 1)], "text": ["text"]}
    files = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    write_task_issues(spec, files, tmp_path / "train.parquet", outputs)
    return tmp_path


def test_the_list_of_a_run_holds_what_looks_worse_than_the_average(runs):
    table, metadata = read_parquet(runs / "0.parquet")
    issues = pd.read_csv(runs / "0.csv")
    assert list(issues) == ["uid", "text", "given", "suggested", "score", "probability", "reason"]
    assert len(table) == metadata["instances"] == 600 > len(issues) > 0
    contradicted = set(table.filter(table["contradicted"])["uid"].to_pylist())
    assert contradicted == {"u0", "u1"}
    worse = issues["probability"] > metadata["share"] - 1e-4
    assert (worse | issues["uid"].isin(contradicted)).all()
    assert issues["score"].is_monotonic_decreasing


def test_the_list_of_a_task_says_how_many_runs_agree(runs):
    issues = pd.read_csv(runs / "issues/demo.csv")
    both = set(pd.read_csv(runs / "0.csv")["uid"]) & set(pd.read_csv(runs / "1.csv")["uid"])
    assert both and set(issues["uid"][issues["agree"] == "2 of 2"]) == both
    assert issues["agree"].is_monotonic_decreasing


def test_the_first_issues_are_printed_for_a_terminal(runs, capsys):
    assert main(["issues", "--results", str(runs), "--first", "3"]) == 0
    shown = capsys.readouterr().out
    assert "of 600 labels are expected to be wrong (range " in shown
    assert "\x1b" not in shown and "<U+001B>" in shown
    assert shown.count("listed by") == 3


def test_a_missing_list_is_told(tmp_path, capsys):
    assert main(["issues", "demo", "--results", str(tmp_path)]) == 1
    assert "ftft run issues" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"\xff" + content,
        lambda content: content.replace(b"given", b"givem", 1),
        lambda content: b"",
    ],
)
def test_a_list_that_is_damaged_is_told(runs, capsys, damage):
    path = runs / "issues/demo.csv"
    path.write_bytes(damage(path.read_bytes()))
    code = main(["issues", "--results", str(runs), "--first", "1000"])
    assert code == 1 and "demo.csv cannot be read" in capsys.readouterr().err
