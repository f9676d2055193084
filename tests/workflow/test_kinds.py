"""The whole chain for the kinds of task beside classification, all of them in one configuration."""

import json
import random

import pyarrow.parquet as pq
import pytest
import transformers
from workflows import Workflow

from ftft.cli import main
from ftft.results.archive import differences

pytestmark = pytest.mark.long

# By kind: keys of its task, the columns of a row, and its metric.
KINDS = {
    "token_classification": {"labels": ["PER", "LOC"], "text": ["words"], "label": "tags"},
    "multilabel": {"labels": ["warm", "far"], "text": ["text"], "label": "label"},
    "regression": {"text": ["text"], "label": "label"},
    "multiple_choice": {"text": ["question"], "choices": ["choices"], "label": "label"},
    "question_answering": {"text": ["question", "context"], "label": "answers"},
    "generation": {"text": ["prompt"], "label": "response", "max_new_tokens": 6},
}
METRICS = {
    "token_classification": "entity_f1",
    "multilabel": "macro_f1",
    "regression": "spearman",
    "multiple_choice": "accuracy",
    "question_answering": "span_f1",
    "generation": "token_likelihood",
}
SHOWN = {"generation": "response_match"}
# What a model that has learnt scores at least; a language model that knows nothing, one over its vocabulary.
LEARNT = {**dict.fromkeys(KINDS, 0.5), "generation": 0.3}
# Language models beside the encoders.
WRITERS = {
    "small": {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64},
    "large": {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.1,
    },
}


def model(kind, size):
    return f"{size}-writer" if kind == "generation" else size


def rows_of(kind):
    large, small = model(kind, "large"), model(kind, "small")
    rows = [
        {"method": "ERM", "main": large},
        {"method": "DM", "main": large, "reference": small, "selector": "matched_random"},
        {"method": "FTFT", "main": large, "reference": small},
    ]
    if kind == "generation":
        own = ("s2l", "by_length")
        rows += [{"method": "DM", "main": large, "reference": small, "selector": name} for name in own]
    return rows


def row(kind, chance):
    """A row of a kind that a small model learns."""
    name, town = chance.choice(["ann", "bob", "eve"]), chance.choice(["rome", "bonn", "oslo"])
    warm, far, count = chance.random() < 0.5, chance.random() < 0.5, chance.randrange(4)
    words = [name, chance.choice(["is", "was"]), "in", town, *["now"] * chance.randrange(3)]
    text = " ".join([*words, *["warm"] * warm, *["far"] * far])
    match kind:
        case "token_classification":
            tags = {name: "B-PER", town: "B-LOC"}
            return {"words": words, "tags": [tags.get(word, "O") for word in words]}
        case "multilabel":
            return {"text": text, "label": ["warm"] * warm + ["far"] * far}
        case "regression":
            return {"text": " ".join([name, *["very"] * count]), "label": count + chance.random() / 4}
        case "multiple_choice":
            choices = [town, name, *(["nobody"] if warm else [])]
            chance.shuffle(choices)
            return {
                "question": f"which town is it , {text}",
                "choices": choices,
                "label": choices.index(town),
            }

        case "question_answering":
            context = " ".join([name, "was", "in", town, *["now"] * count])
            answers = {"text": [town], "answer_start": [context.index(town)]}
            return {"question": "which town is it", "context": context, "answers": answers}
        case "generation":
            said = [town, *["warm"] * warm, *["far"] * far]
            return {"prompt": f"which town , {text}", "response": " ".join(said)}


def task(kind, folder):
    chance = random.Random(kind)
    datasets = {}
    for name, size in (("train", 120), ("validation", 40), ("other", 40)):
        path = folder / f"{kind}-{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row(kind, chance))}\n" for _ in range(size)))
        datasets[name] = {"source": "file", "path": path.name}
    return {
        "kind": kind,
        **KINDS[kind],
        "metric": METRICS[kind],
        "uid": None,
        "train": "train",
        "validation": "validation",
        "dev": ["other"],
        "evaluate": ["validation", "other"],
        "datasets": datasets,
    }


@pytest.fixture(scope="module")
def done(root, tiny_config, tmp_path_factory):
    workflow = Workflow(root, tmp_path_factory.mktemp("kinds"), tiny_config)
    config = {
        **tiny_config,
        "tasks": {kind: task(kind, workflow.folder) for kind in KINDS},
        "models": {
            **tiny_config["models"],
            **{
                f"{size}-writer": {
                    "source": "scratch",
                    "architecture": architecture,
                    "tokenizer": {"kind": "wordpiece", "vocab_size": 400},
                }
                for size, architecture in WRITERS.items()
            },
        },
        "selections": {"by_length": {"mixture": "within_lengths", "selector": "high_loss"}},
        "tables": {
            f"table-{kind}": {"task": kind, "metric": SHOWN.get(kind, METRICS[kind]), "rows": rows_of(kind)}
            for kind in KINDS
        },
        "finetune": {
            kind: {"main": model(kind, "large"), "reference": model(kind, "small")} for kind in KINDS
        },
        # Rows of so few words repeat.
        "checks": {**tiny_config["checks"], "leakage": "ignore"},
    }
    workflow.write_config(config)
    pages = [f"results/maps/{kind}/{model(kind, 'small')}/seed0.html" for kind in KINDS]
    run = workflow.snakemake("--", "all", "preflight", *pages, timeout=1800)
    assert run.returncode == 0, run.stdout
    return workflow


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_its_runs_and_the_models_learn(done, kind):
    rows = pq.read_table(done.folder / f"results/scores/table-{kind}.parquet").to_pylist()
    primary = [row for row in rows if row["metric"] == METRICS[kind]]
    # Tables of generated texts have the rows `longest` and `ifd` too.
    added = 2 if kind == "generation" else 0
    assert len(primary) == 2 * (len(rows_of(kind)) + added)
    erm = next(row for row in primary if (row["supervision"], row["dataset"]) == ("all", "other"))
    assert erm["value"] > max(LEARNT[kind], erm["floor"]) and not erm["failed"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_can_be_archived(done, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(done.folder)
    table = ["--configfile", "config/config.yaml", "--table", f"table-{kind}"]
    assert main(["archive", str(tmp_path / "archive"), *table]) == 0
    assert differences(tmp_path / "archive") == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_and_the_card_show_the_kind(done, kind):
    page = (done.folder / f"results/maps/{kind}/{model(kind, 'small')}/seed0.html").read_text()
    expected = {
        "token_classification": '"no entity","PER"',
        "multilabel": '"no label","warm"',
        "regression": '"labels":["',
        "multiple_choice": '"text":["question","choices"]',
        "question_answering": '"no answer","1 word"',
        "generation": '"text":["prompt","response"]',
    }
    assert expected[kind] in page
    card = (done.folder / f"results/finetuned/{kind}/README.md").read_text()
    assert "of 120 training instances" in card and "from transformers import" in card


def test_the_models_taken_home_do_their_task(done):
    folder = done.folder / "results/finetuned"
    tag = transformers.pipeline(
        "token-classification", str(folder / "token_classification"), aggregation_strategy="first"
    )
    assert {found["entity_group"] for found in tag("ann was in oslo now")} == {"PER", "LOC"}
    classify = transformers.pipeline("text-classification", str(folder / "multilabel"))
    both = classify("bob is in rome warm far", top_k=None)
    assert {found["label"] for found in both} == {"warm", "far"}
    assert min(found["score"] for found in both) > 0.5
    tokenizer, answerer = (
        auto.from_pretrained(folder / "question_answering")
        for auto in (transformers.AutoTokenizer, transformers.AutoModelForQuestionAnswering)
    )
    inputs = tokenizer("which town is it", "eve was in oslo now", return_tensors="pt")
    start = answerer.eval()(**inputs).start_logits.argmax()
    assert tokenizer.decode(inputs["input_ids"][0, start]) == "oslo"
    score = transformers.pipeline("text-classification", str(folder / "regression"))
    few, many = (score(text)[0]["score"] for text in ("eve", "eve very very very"))
    assert few < 1.5 < many < 5
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "multiple_choice")
    model = transformers.AutoModelForMultipleChoice.from_pretrained(folder / "multiple_choice").eval()
    question = "which town is it , ann was in oslo"
    inputs = tokenizer([question] * 2, ["ann", "oslo"], padding=True, return_tensors="pt")
    logits = model(**{name: values[None] for name, values in inputs.items()}).logits
    assert logits.shape == (1, 2) and logits.argmax() == 1


def test_the_language_model_taken_home_responds(done):
    generate = transformers.pipeline("text-generation", str(done.folder / "results/finetuned/generation"))
    settings = {"max_new_tokens": 6, "do_sample": False, "return_full_text": False}
    (found,) = generate("which town , ann is in oslo\n", **settings)
    said = set(found["generated_text"].split())
    assert said and said <= {"oslo", "bonn", "rome", "warm", "far"}


def test_generated_responses_are_scored_and_other_likelihoods_beside(done):
    rows = pq.read_table(done.folder / "results/scores/table-generation.parquet").to_pylist()
    erm = [row for row in rows if (row["supervision"], row["dataset"]) == ("all", "other")]
    found = {row["metric"]: row["value"] for row in erm}
    assert found["response_match"] > 0.3 and found["rouge_l"] > 0.5
    assert abs(found["token_likelihood"] * found["perplexity"] - 1) < 1e-9
    table = (done.folder / "results/tables/table-generation.md").read_text()
    assert "exact match in percent" in table.lower()


def test_all_costs_are_counted(done):
    for kind in KINDS:
        ledger = json.loads(
            (
                done.folder / f"results/runs/{kind}/{model(kind, 'large')}/all/full/seed0/ledger.json"
            ).read_text()
        )
        assert ledger["cost"]["flops"] > 0


def test_nothing_is_left_to_do(done):
    assert done.planned(target="all") == {}
