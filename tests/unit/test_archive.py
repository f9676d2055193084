"""Published tables and the predictions behind them: small ones, and those that ship in docs/results."""

import csv

import numpy as np
import pyarrow as pa
import pytest

from ftft.artifacts import read_json, read_parquet, write_json, write_parquet
from ftft.errors import ArtifactError
from ftft.results import archive
from ftft.results.archive import differences, main, write_archive
from ftft.results.tables import write_table
from ftft.statistics.comparisons import compare_rows
from ftft.statistics.scores import collect_scores

LABELS = ["no", "yes"]
SEEDS = [0, 1]
ERM = {"method": "ERM", "main": "large", "supervision": "all", "budget": "full"}
DM = {
    "method": "DM",
    "main": "large",
    "reference": "small",
    "supervision": "small-ambiguous-33",
    "selector": "ambiguous",
    "budget": "full",
}
SPECS = {
    "scores": {"failure_metric": "accuracy", "references": {"small-ambiguous-33": "small"}},
    "gains": None,
    "comparisons": {
        "metric": "macro_f1",
        "failure_metric": "accuracy",
        "datasets": ["id", "ood"],
        "rows": [ERM, DM],
        "baselines": [ERM, ERM],
        "resamples": 200,
        "confidence": 0.95,
    },
    "table": {
        "task": "t",
        "title": "T",
        "metric": "macro_f1",
        "datasets": ["id", "ood"],
        "cost_of": "large",
        "parameters_m": {"small": None, "large": None},
        "seeds": SEEDS,
        "left_out": [],
        "confidence": 0.95,
        "rows": [ERM, DM],
    },
}


def ledger(model, supervision, seed):
    return {
        "run": {"task": "t", "model": model, "supervision": supervision, "budget": "full", "seed": seed},
        "outcome": {
            "planned_steps": 12,
            "steps": 12,
            "consumed_checkpoints": 12,
            "planned_checkpoints": 12,
            "validation": {"accuracy": 0.9, "macro_f1": 0.9},
            "floor": {"accuracy": 0.5, "macro_f1": 0.3},
        },
        "cost": {
            "parameters": {"total": 10**7, "without_embeddings": 10**6},
            "flops": 10**9,
            "training_seconds": 60.0,
            "evaluation_seconds": 6.0,
            "energy_joules": None,
            "peak_memory_mb": 100.0,
        },
        "spec": {"early_stopping": None},
        "execution": {
            "device_type": "cpu",
            "device": "cpu",
            "precision": "float32",
            "kernels": "own",
            "processes": 1,
            "threads": 1,
        },
    }


@pytest.fixture
def sources(tmp_path):
    """The evaluations and ledgers of a table of two methods, two seeds and two data sets, and what its
    supervisions took."""
    ledgers, evaluations = [], []
    for number, (model, supervision, seed) in enumerate(
        (*run, seed)
        for run in (("large", "all"), ("large", "small-ambiguous-33"), ("small", "all"))
        for seed in SEEDS
    ):
        made = ledger(model, supervision, seed)
        ledgers.append(tmp_path / f"ledger{number}.json")
        write_json(ledgers[-1], made)
        if model == "small":
            continue
        for dataset, rows in (("id", 40), ("ood", 30)):
            chance = np.random.default_rng([number, rows])
            labels = np.arange(rows) % 2
            predictions = np.where(chance.random(rows) < 0.8, labels, 1 - labels)
            columns = {"uid": pa.array([f"{dataset}{row}" for row in range(rows)])}
            columns |= {
                "label": pa.array(labels, pa.int16()),
                "prediction": pa.array(predictions, pa.int16()),
            }
            evaluations.append(tmp_path / f"{number}-{dataset}.parquet")
            about = {"run": made["run"], "dataset": dataset, "kind": "classification", "labels": LABELS}
            write_parquet(evaluations[-1], pa.table(columns), about)
    supervising = {
        ("small-ambiguous-33", seed): {"seconds": 6.0, "flops": 60, "peak_memory_mb": 50.0} for seed in SEEDS
    }
    return evaluations, ledgers, supervising


WORDS = ["the nurse", "A tall cook,", "nurse", "U.S. pilots", "1918", "é", "-", ""]


def test_answers_are_archived_as_numbers_that_give_the_same_table(sources, tmp_path):
    evaluations, ledgers, supervising = sources
    for number, path in enumerate(evaluations):
        table, about = read_parquet(path)
        given = np.random.default_rng(len(table)).integers(0, len(WORDS), (len(table), 2))
        texts = [[WORDS[place] for place in own if WORDS[place]] for own in given]
        labels = [{"texts": own, "starts": [0] * len(own)} for own in texts]
        chance = np.random.default_rng(number)
        predictions = [own[0] if own and chance.random() < 0.6 else chance.choice(WORDS) for own in texts]
        columns = {"uid": table["uid"], "label": labels, "prediction": predictions}
        about = {**about, "kind": "question_answering", "labels": []}
        write_parquet(
            path, pa.table(columns), {name: about[name] for name in ("run", "dataset", "kind", "labels")}
        )
    specs = {name: {**spec, "metric": "span_f1"} if spec else spec for name, spec in SPECS.items()}
    folder = tmp_path / "archive"
    write_archive(specs, evaluations, ledgers, supervising, folder)
    assert differences(folder) == []
    scores, comparisons, view = (tmp_path / name for name in ("s.parquet", "c.parquet", "c.csv"))
    collect_scores(specs["scores"], evaluations, ledgers, scores)
    compare_rows(specs["comparisons"], evaluations, ledgers, comparisons, view)
    assert (folder / "comparisons.csv").read_text() == view.read_text()
    kept, _ = read_parquet(folder / "predictions.parquet")
    answers = [text for own in kept["label"].to_pylist() for text in own["texts"]]
    answers += [text for place in "0123" for text in kept[place].to_pylist()]
    assert set("".join(answers)) <= set("0123456789 ") and len(set(answers)) > 5
    # No number is that of a word that is one: 1918 is the sixth word at the latest.
    assert "1918" not in answers


RESPONSES = ["number0 - 3", "Yes , she did", "number0 +  3", "-3.5", "é", ""]


def of_generation(evaluations):
    """The evaluations as those of responses, with what was generated."""
    for number, path in enumerate(evaluations):
        table, about = read_parquet(path)
        chance = np.random.default_rng(number)
        labels = [RESPONSES[row % 4] for row in range(len(table))]
        texts = [own if chance.random() < 0.6 else chance.choice(RESPONSES) for own in labels]
        predictions = [{"tokens": 4, "log_p": -chance.random(), "text": text} for text in texts]
        columns = {"uid": table["uid"], "label": labels, "prediction": predictions}
        about = {name: about[name] for name in ("run", "dataset")} | {"kind": "generation", "labels": []}
        write_parquet(path, pa.table(columns), about)


@pytest.mark.parametrize("metric", ["response_match", "token_likelihood"])
def test_responses_are_archived_as_numbers_that_give_the_same_table(sources, tmp_path, metric):
    of_generation(sources[0])
    specs = {name: {**spec, "metric": metric} if spec else spec for name, spec in SPECS.items()}
    folder, view = tmp_path / "archive", tmp_path / "c.csv"
    write_archive(specs, *sources, folder)
    assert differences(folder) == []
    compare_rows(specs["comparisons"], *sources[:2], tmp_path / "c.parquet", view)
    assert (folder / "comparisons.csv").read_text() == view.read_text()
    kept, _ = read_parquet(folder / "predictions.parquet")
    texts = [own["text"] for own in kept["0"].to_pylist()] + kept["label"].to_pylist()
    assert set("".join(texts)) <= set("0123456789 ") and len(set(texts)) > 4


def test_a_metric_that_needs_the_words_is_refused(sources, tmp_path):
    of_generation(sources[0])
    specs = {name: {**spec, "metric": "answer_match"} if spec else spec for name, spec in SPECS.items()}
    with pytest.raises(ArtifactError, match="needs the texts"):
        write_archive(specs, *sources, tmp_path / "archive")


@pytest.fixture
def archived(sources, tmp_path):
    folder = tmp_path / "archive"
    write_archive(SPECS, *sources, folder)
    return folder


def test_the_archived_table_is_that_of_the_workflow(sources, archived, tmp_path):
    evaluations, ledgers, supervising = sources
    scores, comparisons, view = (tmp_path / name for name in ("s.parquet", "c.parquet", "c.csv"))
    collect_scores(SPECS["scores"], evaluations, ledgers, scores)
    compare_rows(SPECS["comparisons"], evaluations, ledgers, comparisons, view)
    outputs = {form: tmp_path / f"table.{form}" for form in ("csv", "md", "tex", "costs")}
    write_table(SPECS["table"], scores, comparisons, ledgers, supervising, outputs)
    for form in ("csv", "md"):
        assert (archived / f"table.{form}").read_text() == outputs[form].read_text()
    assert (archived / "comparisons.csv").read_text() == view.read_text()


def test_the_published_table_follows_from_the_predictions(archived, capsys):
    assert differences(archived) == []
    assert main([str(archived)]) == 0
    assert "follows from the predictions" in capsys.readouterr().out


def test_an_archive_holds_a_number_per_example_and_run_and_no_text(archived):
    table, _ = read_parquet(archived / "predictions.parquet")
    assert table.column_names == ["dataset", "uid", "label", "0", "1", "2", "3"]
    assert table.num_rows == 70
    assert len(read_json(archived / "runs.json")["runs"]) == 6


def test_rows_are_compared_with_any_other(archived, capsys):
    with open(archived / "comparisons.csv", newline="") as file:
        published = {row["dataset"]: row for row in csv.DictReader(file)}
    assert main([str(archived), "--against", "2"]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 1: ERM, large")]
    assert len(shown) == 2
    for line in shown:
        _, _, dataset, difference, low, high, *_ = (cell.strip() for cell in line.split("|"))
        # The same pairs the other way round.
        assert difference == f"{-100 * float(published[dataset]['difference']):+.2f}"
        assert low == f"{-100 * float(published[dataset]['high']):+.2f}"
        assert high == f"{-100 * float(published[dataset]['low']):+.2f}"
    assert main([str(archived), "--against", "3"]) == 1
    assert "a row from 1 to 2" in capsys.readouterr().err


def test_a_number_that_was_altered_is_found(archived, capsys):
    table = (archived / "table.csv").read_text(encoding="utf-8").splitlines()
    name = table[0].split(",").index("ood")
    cells = table[2].split(",")
    published = cells[name]
    cells[name] = "0.9999"
    (archived / "table.csv").write_text("\n".join([*table[:2], ",".join(cells)]) + "\n", encoding="utf-8")
    assert differences(archived) == [f"table.csv, line 3, ood: 0.9999 is published, {published} follows"]
    assert main([str(archived)]) == 1


def test_a_prediction_that_was_altered_changes_the_table(archived):
    path = archived / "predictions.parquet"
    table, metadata = read_parquet(path)
    values = 1 - np.array(table["0"])
    changed = table.set_column(table.column_names.index("0"), "0", pa.array(values, pa.int16()))
    write_parquet(path, changed, metadata)
    assert any(entry.startswith("table.csv, line 2, id:") for entry in differences(archived))


@pytest.mark.parametrize("predicted", ["another answer", {"log_p": -1.0, "text": "another answer"}, ["one"]])
def test_predictions_that_are_texts_are_refused(tmp_path, predicted):
    made = ledger("large", "all", 0)
    write_json(tmp_path / "ledger.json", made)
    texts = pa.table({"uid": ["a"], "label": ["one answer"], "prediction": [predicted]})
    about = {"run": made["run"], "dataset": "id", "kind": "regression", "labels": []}
    write_parquet(tmp_path / "id.parquet", texts, about)
    with pytest.raises(ArtifactError, match="may hold texts"):
        write_archive(SPECS, [tmp_path / "id.parquet"], [tmp_path / "ledger.json"], {}, tmp_path / "archive")


@pytest.mark.parametrize(
    ("targets", "predictions"),
    [
        ([[0, 1, 2], [0]], [[0, 1, 0], [0]]),
        ([[True, False], [False, False]], [[True, True], [False, False]]),
        ([0.5, 2.0], [0.25, 1.5]),
    ],
    ids=["tags", "truth values", "numbers"],
)
def test_predictions_of_other_kinds_are_archived_as_they_are(tmp_path, targets, predictions):
    made = ledger("large", "all", 0)
    table = pa.table({"uid": ["a", "b"], "label": targets, "prediction": predictions})
    about = {"run": made["run"], "dataset": "id", "kind": "regression", "labels": []}
    write_parquet(tmp_path / "id.parquet", table, about)
    kept = archive.without_texts(archive.Evaluation(tmp_path / "id.parquet"), {})
    assert kept.to_pylist() == predictions


def test_archives_that_ship_give_their_published_tables(root):
    for file in sorted((root / "docs" / "results").glob("*/predictions.parquet")):
        assert differences(file.parent) == []
