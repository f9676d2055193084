"""Question answering: strides, spans and scores by hand-made numbers, and a run of a small model."""

import json
import random
import re
import shutil
import string
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from small import RECIPE, RUNTIME, require_all_selectors

from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset, object_array
from ftft.errors import DataError
from ftft.execution.progress import Progress
from ftft.models.tokens import Tokens
from ftft.tasks.answers import steady_answer
from ftft.tasks.base import ABSENT, Batch, kind_of
from ftft.tasks.metrics import metric, normalised
from ftft.tasks.prediction import encode, predict_outputs
from ftft.tasks.prepare import prepare
from ftft.tasks.question_answering import LONGEST_ANSWER
from ftft.training.feed import Development, TrainingData
from ftft.training.loop import train

KIND = kind_of("question_answering")
SPEC = {
    "kind": "question_answering",
    "text": ["question", "context"],
    "label": "answers",
    "answer_starts": "starts",
    "uid": None,
}
CONTEXTS = [
    "the nurse is in the garden",
    "the tall cook sings " * 12 + "and the old pilot sits",
    "nobody is here",
]
QUESTIONS = ["who is in the garden", "who sits", "who is here"]
ANSWERS = [["nurse", "the nurse"], ["old pilot"], []]
STARTS = [[4, 0], [CONTEXTS[1].index("old pilot")], []]


def records(**changes):
    columns = {
        "question": QUESTIONS,
        "context": CONTEXTS,
        "answers": list(map(json.dumps, ANSWERS)),
        "starts": list(map(json.dumps, STARTS)),
    }
    return pa.table({**columns, **changes})


@pytest.fixture
def dataset():
    return prepare(records(), SPEC, "questions", {"steps": []})


@pytest.mark.parametrize("starts", [None, "starts"])
def test_answers_may_be_squads_objects(dataset, starts):
    pairs = list(zip(ANSWERS, STARTS, strict=True))
    of_lists = [{"text": texts, "answer_start": starts} for texts, starts in pairs]
    in_lists = [
        [{"text": text, "answer_start": start} for text, start in zip(*own, strict=True)] for own in pairs
    ]
    for form in (of_lists, in_lists):
        read = records(answers=list(map(json.dumps, form)))
        found = prepare(read, {**SPEC, "answer_starts": starts}, "questions", {"steps": []})
        assert found.labels.tolist() == dataset.labels.tolist()


def test_answers_in_words_are_a_correction(dataset):
    words = KIND.in_words(dataset.labels, dataset)
    assert json.loads(words[0]) == {"text": ["nurse", "the nurse"], "answer_start": [4, 0]}
    assert prepare(records(answers=words), SPEC, "questions", {"steps": []}).labels.tolist() == (
        dataset.labels.tolist()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"starts": ["[5, 0]", "[1]", "[]"]},
        {"starts": ["[4]", *map(json.dumps, STARTS[1:])]},
        {"starts": ["[-1, 0]", *map(json.dumps, STARTS[1:])]},
        {"answers": ["nurse", *map(json.dumps, ANSWERS[1:])]},
        {"answers": [None, *map(json.dumps, ANSWERS[1:])]},
        {"answers": ['["", "the nurse"]', *map(json.dumps, ANSWERS[1:])]},
    ],
)
def test_answers_that_are_not_in_their_contexts_are_refused(changes):
    with pytest.raises(DataError, match=r"answers that are not in their contexts(.|\n)*row 1"):
        prepare(records(**changes), SPEC, "questions", {"steps": []})


def test_a_data_set_of_questions_loads_as_it_was_saved(dataset, tmp_path):
    dataset.save(tmp_path / "questions.parquet")
    loaded = Dataset.load(tmp_path / "questions.parquet")
    assert loaded.labels.tolist() == dataset.labels.tolist() and loaded.texts == dataset.texts


def test_strides_cover_the_context_and_flag_the_answer_where_they_hold_it(dataset, encoder, tmp_path):
    tokens = encode(KIND, dataset, encoder, 32, tmp_path)
    assert np.diff(tokens.features).tolist()[0] == 1 and np.diff(tokens.features)[1] > 2
    assert tokens.feature_lengths.max() <= 32
    for row, context in enumerate(CONTEXTS):
        covered = np.zeros(len(context), bool)
        held = 0
        for feature in range(tokens.features[row], tokens.features[row + 1]):
            own = slice(tokens.offsets[feature], tokens.offsets[feature + 1])
            start, end, gold = (tokens.aligned[name][own] for name in ("start", "end", "gold"))
            for first, last in zip(start[start >= 0], end[start >= 0], strict=True):
                covered[first:last] = True
            assert ((gold & 1).sum(), (gold & 2 > 0).sum()) == (1, 1)
            if gold[0] == 0:
                held += 1
                span = slice(start[gold & 1 > 0][0], end[gold & 2 > 0][0])
                assert context[span] == ANSWERS[row][0]
        assert covered[[place for place, letter in enumerate(context) if letter != " "]].all()
        assert (held > 0) == bool(ANSWERS[row])


def test_long_questions_are_cut_and_counted(dataset, encoder, tmp_path):
    long = replace(dataset, texts=(["who " * 40, *QUESTIONS[1:]], CONTEXTS))
    tokens = encode(KIND, long, encoder, 32, tmp_path)
    assert tokens.cut[:3] == (1, 3, 120) and tokens.feature_lengths.max() <= 32
    assert tokens.aligned["end"][: tokens.offsets[1]].max() == len(CONTEXTS[0])


def batch_of(gold, features, starts):
    start = torch.tensor(starts)
    return Batch(
        {"attention_mask": torch.ones_like(start)},
        torch.tensor(features),
        3,
        {"start": start, "end": torch.where(start >= 0, start + 1, -1), "gold": torch.tensor(gold)},
    )


# One instance of two strides, of which the second holds the answer at its last two tokens; one has no answer.
BATCH = batch_of(
    [[3, 0, 0, 0], [0, 0, 1, 2], [3, 0, 0, 0]], [2, 1], [[-1, 0, 1, 2], [-1, 2, 3, 4], [-1, 0, 1, 2]]
)
OUTPUTS = torch.tensor(
    [
        [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
        [[0.0, 0.0], [0.0, 0.0], [2.0, 0.0], [0.0, 3.0]],
        [[5.0, 4.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
    ]
)


def test_padding_may_stand_before_the_tokens():
    tokens = Tokens(
        np.arange(1, 9, dtype=np.int32),
        np.zeros(8, np.uint8),
        np.array([0, 5, 8]),
        np.array([0, 1, 2]),
        aligned={
            "start": np.array([-1, 0, 1, 2, 3, -1, 0, 1], np.int32),
            "end": np.array([-1, 1, 2, 3, 4, -1, 1, 2], np.int32),
            "gold": np.array([0, 0, 1, 2, 0, 3, 0, 0], np.int32),
        },
    )
    scores = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    config = SimpleNamespace(pad_token_id=0, type_vocab_size=2)
    found = []
    for left in (False, True):
        padded = replace(tokens, left=left)
        batch = KIND.collate(padded, np.array([0, 1]), config, torch.device("cpu"), 3)
        mask = batch.inputs["attention_mask"]
        outputs = scores[batch.inputs["input_ids"]].masked_fill(mask[..., None] == 0, ABSENT)
        found.append([KIND.recorded(outputs, batch, 6), KIND.predicted(outputs, batch)])
        found[-1].append(KIND.losses(outputs, batch))
    for right, left in zip(*found, strict=True):
        torch.testing.assert_close(right, left)
    # Characters are whole numbers: the same bits.
    assert torch.equal(found[0][0][:, 3:5], found[1][0][:, 3:5])


def log_share(values, place):
    return float(np.log(np.exp(values[place]) / np.exp(values).sum()))


def test_what_is_recorded_is_that_of_the_stride_that_holds_the_answer():
    recorded = KIND.recorded(OUTPUTS, BATCH, 6)
    # The answer is predicted: characters 3 to 5, whose scores are 5 above those of the first token.
    expected = [log_share([0, 0, 2, 0], 2), log_share([0, 0, 0, 3], 3), 1.0, 3.0, 5.0, 5.0]
    np.testing.assert_allclose(recorded[0], expected, rtol=1e-5)
    expected = [log_share([5, 0, 0, 0], 0), log_share([4, 0, 0, 0], 0), 1.0]
    np.testing.assert_allclose(recorded[1, :3], expected, rtol=1e-5)
    assert recorded[1, 5] == -9
    (columns,) = KIND.dynamics([recorded.numpy()], answered_or_not(True, False))
    product = np.exp(2) / (np.exp(2) + 3) * np.exp(3) / (np.exp(3) + 3)
    assert columns["p_true"][0] == pytest.approx(np.sqrt(product), rel=1e-5)
    assert columns["correct"].tolist() == [True, True]
    assert columns["answer_start"].tolist() == [3, 0] and columns["answer_end"].tolist() == [5, 0]


def answered_or_not(*answered):
    labels = [{"texts": ["x"] * own, "starts": [0] * own} for own in answered]
    return Dataset(list(map(str, range(len(answered)))), (), object_array(labels), [])


def test_no_answer_is_given_where_it_scores_higher_and_some_questions_have_none():
    """The best span is the first question's answer, but scores below none; so does that of the second."""
    recorded = np.float32([[-1, -1, 1, 3, 5, -2], [-1, -1, 1, 0, 4, -2], [-1, -1, 1, 0, 4, 2]])
    (columns,) = KIND.dynamics([recorded], answered_or_not(True, False, True))
    assert columns["correct"].tolist() == [False, True, True]
    assert columns["answer_start"].tolist() == [0, 0, 0] and columns["answer_end"].tolist() == [0, 0, 4]
    (columns,) = KIND.dynamics([recorded], answered_or_not(True, True, True))
    assert columns["correct"].tolist() == [True] * 3
    assert columns["answer_start"].tolist() == [3, 0, 0] and columns["answer_end"].tolist() == [5, 4, 4]


def test_the_best_span_is_that_of_a_search_of_all():
    torch.manual_seed(0)
    for length in (1, 4, LONGEST_ANSWER, 2 * LONGEST_ANSWER + 3):
        outputs = torch.randn(5, length, 2)
        starts = torch.arange(length).repeat(5, 1)
        starts[:, 1:][torch.rand(5, length - 1) < 0.3] = -1
        for own, (start, end, margin) in zip(
            zip(outputs, starts, strict=True),
            KIND.predicted(outputs, batch_of([[0] * length] * 5, [1] * 5, starts.tolist())).tolist(),
            strict=True,
        ):
            scores, places = own
            inside = [place for place in range(length) if places[place] >= 0]
            legal = [(a, b) for a in inside for b in inside if a <= b < a + LONGEST_ANSWER]
            best = max(legal, key=lambda span: float(scores[span[0], 0] + scores[span[1], 1]))
            assert (start, end - 1) == best
            assert margin == pytest.approx(
                float(scores[list(best), [0, 1]].sum() - scores[0].sum()), abs=1e-5
            )


@pytest.mark.parametrize("max_length", [24, 32, 64, 128])
def test_the_best_span_does_not_depend_on_the_strides(dataset, encoder, tmp_path, max_length):
    """A token scores the same wherever it stands; those that score most stand in one place of the context."""
    tokens = encode(KIND, dataset, encoder, max_length, tmp_path)
    own = slice(tokens.offsets[tokens.features[1]], tokens.offsets[tokens.features[2]])
    begins, ends = (
        tokens.ids[own][tokens.aligned[name][own] == STARTS[1][0] + further][0]
        for name, further in (("start", 0), ("end", len("old pilot")))
    )
    scores = torch.zeros(tokens.ids.max() + 1, 2)
    scores[begins, 0], scores[ends, 1] = 3.0, 4.0
    config = SimpleNamespace(pad_token_id=0, type_vocab_size=2)
    batch = KIND.collate(tokens, np.array([0, 1, 2]), config, torch.device("cpu"), 6)
    outputs = scores[batch.inputs["input_ids"]].masked_fill(
        batch.inputs["attention_mask"][..., None] == 0, ABSENT
    )
    found = KIND.recorded(outputs, batch, 6)[1]
    assert found[2:].tolist() == [1, STARTS[1][0], STARTS[1][0] + len("old pilot"), 7]


@pytest.mark.parametrize(
    ("spans", "steady"),
    [
        ([(4, 9)], ("nurse", 4, 1)),
        # Most epochs decide, wherever they are.
        ([(4, 9), (4, 9), (20, 26)], ("nurse", 4, 2)),
        # Of as many, the answer that was given last.
        ([(4, 9), (20, 26)], ("garden", 20, 1)),
        ([(20, 26), (4, 9), (4, 9), (20, 26)], ("garden", 20, 2)),
        # An article tells no answers apart; the last of them is taken.
        ([(0, 9), (20, 26), (4, 9)], ("nurse", 4, 2)),
        ([(4, 9), (0, 0), (0, 0)], ("", 0, 2)),
        # White space around an answer is none of it.
        ([(3, 10)], ("nurse", 4, 1)),
        ([(4, 9), (-1, -1)], None),
    ],
)
def test_the_steady_answer_is_the_one_of_most_epochs(spans, steady):
    assert steady_answer(CONTEXTS[0], spans) == steady


@pytest.mark.parametrize(
    ("spans", "suggested"),
    [
        # Two answers are given, "nurse" and "the nurse"; the epochs give these, with more or fewer articles.
        ([(4, 9), (0, 9)], None),
        ([(4, 9), (20, 26), (16, 26)], ("garden", 16)),
        ([(0, 0), (0, 0), (4, 9)], ()),
    ],
)
def test_a_steady_answer_with_other_words_is_suggested(dataset, spans, suggested):
    starts, ends = (np.zeros((len(spans), 3), np.int32) for _ in range(2))
    starts[:, 0], ends[:, 0] = zip(*spans, strict=True)
    starts[:, 1] = dataset.labels[1]["starts"][0]
    ends[:, 1] = starts[:, 1] + len("old pilot")
    found = KIND.suggestions(None, {"answer_start": starts, "answer_end": ends}, dataset)
    assert found.suggested[1:] == ["", ""] and found.given == KIND.in_words(dataset.labels, dataset)
    if suggested is None:
        assert found.suggested[0] == "" and found.remarks == {}
        return
    text = [CONTEXTS[0][suggested[1] :]] if suggested else []
    assert json.loads(found.suggested[0]) == {"text": text, "answer_start": [*suggested[1:]]}
    says = "answers 'the garden'" if suggested else "gives no answer"
    assert found.remarks == {0: f" The model {says} in 2 of 3 epochs."}
    corrected = records(answers=[found.suggested[0], *map(json.dumps, ANSWERS[1:])])
    prepared = prepare(corrected, SPEC, "questions", {"steps": []})
    assert prepared.labels[0] == {"texts": text, "starts": [*suggested[1:]]}


def test_the_loss_is_the_mean_over_starts_ends_and_strides():
    first = -(log_share([0, 1, 0, 0], 0) + log_share([0, 0, 0, 0], 0)) / 2
    second = -(log_share([0, 0, 2, 0], 2) + log_share([0, 0, 0, 3], 3)) / 2
    losses = KIND.losses(OUTPUTS, BATCH)
    assert losses[0].item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_the_best_legal_span_of_all_strides_is_predicted():
    spans = KIND.predicted(OUTPUTS, BATCH)
    # Characters 3 to 5 score 5; no answer scores 0. Without answer, all spans score 0, no answer 9.
    np.testing.assert_allclose(spans[0], [3, 5, 5])
    assert spans[1, 2] == -9
    backwards = OUTPUTS.clone()
    backwards[1, 2, 0], backwards[1, 3, 0] = 0.0, 9.0
    assert KIND.predicted(backwards, BATCH)[0].tolist() == [4, 5, 12]


def test_an_answer_has_at_most_so_many_tokens():
    length = LONGEST_ANSWER + 5
    outputs = torch.zeros(1, length, 2)
    outputs[0, 1, 0], outputs[0, length - 1, 1] = 5.0, 4.0
    batch = batch_of([[3] + [0] * (length - 1)], [1], [[-1, *range(length - 1)]])
    start, end, margin = KIND.predicted(outputs, batch)[0].tolist()
    assert end - start <= LONGEST_ANSWER and margin == 5


def test_a_predicted_answer_is_a_text(dataset):
    outputs = np.array([[4, 9, 1.0], [0, 3, 1.0], [0, 6, -1.0]], np.float32)
    assert KIND.predictions(outputs, dataset).tolist() == ["nurse", "the", ""]
    answered = Dataset(["a"], (["q"], ["nobody is here"]), dataset.labels[:1], [])
    assert KIND.predictions(outputs[2:], answered).tolist() == ["nobody"]


@pytest.mark.parametrize(
    ("gold", "predicted", "f1", "exact"),
    [
        (["the Nurse."], "nurse", 1.0, 1.0),
        (["a tall nurse"], "the tall cook", 0.5, 0.0),
        (["cook", "tall nurse"], "nurse", 2 / 3, 0.0),
        ([], "", 1.0, 1.0),
        ([], "nurse", 0.0, 0.0),
        (["nurse"], "", 0.0, 0.0),
        (["the"], "a", 1.0, 1.0),
        (["the", "nurse"], "", 0.0, 0.0),
        (["nurse nurse cook"], "nurse nurse nurse", 2 / 3, 0.0),
    ],
)
def test_answers_are_compared_as_squad_does(gold, predicted, f1, exact):
    targets = np.empty(1, object)
    targets[0] = {"texts": gold, "starts": [0] * len(gold)}
    for name, expected in (("span_f1", f1), ("exact_match", exact)):
        assert metric(name).score(targets, np.array([predicted], object), []) == pytest.approx(expected)


def test_words_lose_case_punctuation_and_articles():
    assert normalised("The  U.S. A-team, an end!") == ["us", "ateam", "end"]


def by_the_published_rules(golds, predicted):
    """Exact match and F1 of one question by the rules of SQuAD 2.0, word by word."""

    def normal(text):
        kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        # An article is one between two places where a word ends or begins.
        return [word for word in re.sub(r"\b(?:an|a|the)\b", " ", kept).split(" ") if word.strip()]

    golds = [words for words in map(normal, golds) if words] or [[]]
    exact, best = 0, 0.0
    for gold in golds:
        left, shared = list(gold), 0
        for word in normal(predicted):
            if word in left:
                left.remove(word)
                shared += 1
        precision = shared / max(1, len(normal(predicted)))
        recall = shared / max(1, len(gold))
        harmonic = (
            2 * precision * recall / (precision + recall) if shared else float(gold == normal(predicted))
        )
        exact, best = max(exact, int(gold == normal(predicted))), max(best, harmonic)
    return exact, best


def test_scores_are_those_of_the_published_rules_on_random_answers():
    chance = random.Random(0)
    pieces = [
        "the",
        "A",
        "nurse",
        "Nurse's",
        "U.S.",
        "-",
        "an",
        "cook,",
        "pilot",
        "Theory",
        "7",
        "é",
        "the-end",
    ]
    answers = [
        [" ".join(chance.choices(pieces, k=chance.randint(1, 4))) for _ in range(chance.randrange(4))]
        for _ in range(500)
    ]
    predicted = [" ".join(chance.choices(pieces, k=chance.randrange(4))) for _ in answers]
    targets = object_array([{"texts": own, "starts": [0] * len(own)} for own in answers])
    expected = np.array(list(map(by_the_published_rules, answers, predicted)))
    for column, name in enumerate(("exact_match", "span_f1")):
        found = metric(name).statistics(targets, np.array(predicted, object), [])[:, 0]
        np.testing.assert_allclose(found, expected[:, column], rtol=1e-12)
    assert 0.05 < expected[:, 0].mean() < expected[:, 1].mean() < 0.95


def test_a_trivial_answer_is_none(dataset):
    assert metric("span_f1").floor(dataset.labels, []) == pytest.approx(1 / 3)


def test_predictions_do_not_depend_on_batches_and_padding(dataset, encoder, tmp_path):
    torch.manual_seed(0)
    model = KIND.load(encoder, [], True)
    tokens = encode(KIND, dataset, encoder, 32, tmp_path)
    together = predict_outputs(KIND, model, tokens, 3, 8192, torch.no_grad)
    alone = predict_outputs(KIND, model, tokens, 3, 1, torch.no_grad)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_what_is_recorded_does_not_depend_on_the_batch(dataset, encoder, tmp_path):
    torch.manual_seed(0)
    model = KIND.load(encoder, [], True).eval()
    tokens = encode(KIND, dataset, encoder, 32, tmp_path)

    def of(rows):
        batch = KIND.collate(tokens, np.array(rows), model.config, torch.device("cpu"), 3)
        with torch.no_grad():
            outputs = KIND.outputs(model, batch)
        return torch.cat([KIND.recorded(outputs, batch, 6), KIND.losses(outputs, batch)[:, None]], 1)

    together = of([0, 1, 2])
    # Batches of two and of one, in another order.
    apart = torch.cat([of([2, 1]), of([0])])
    torch.testing.assert_close(together[[2, 1, 0]], apart, atol=1e-5, rtol=1e-4)
    assert torch.equal(together[[2, 1, 0], 3:5], apart[:, 3:5])


def test_the_card_says_how_to_use_the_model(encoder, tmp_path):
    KIND.load(encoder, [], False).save_pretrained(tmp_path)
    shutil.copytree(encoder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    names = {}
    exec(KIND.usage(["question", "context"]).replace("path/of/this/folder", str(tmp_path)), names)
    assert isinstance(names["answer"], str)


def test_a_run_on_questions_gives_dynamics_a_map_and_supervisions(encoder, tmp_path):
    names = ["nurse", "cook", "pilot", "singer"]
    contexts = [f"the {names[row % 4]} is in the garden and sings" for row in range(24)]
    table = pa.table(
        {
            "question": ["who is in the garden"] * 24,
            "context": contexts,
            "answers": [json.dumps([names[row % 4]] if row % 6 else []) for row in range(24)],
            "starts": [json.dumps([4] if row % 6 else []) for row in range(24)],
        }
    )
    dataset = prepare(table, SPEC, "questions", {"steps": []})
    tokens = encode(KIND, dataset, encoder, 32, tmp_path)
    everything = Supervision.of(np.arange(24))
    data = TrainingData(KIND, tokens, dataset, everything, {"validation": Development(tokens, dataset)})
    spec = {"recipe": {**RECIPE, "epochs": 4.0}, "metrics": KIND.metrics, "early_stopping": None}
    # Without dropout, whose random numbers are drawn part by part.
    shutil.copytree(encoder, tmp_path / "encoder")
    config = json.loads((encoder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (tmp_path / "encoder/config.json").write_text(json.dumps(config))
    result, in_parts = (
        train(spec, str(tmp_path / "encoder"), data, 0, {**RUNTIME, **more}, Progress("test", []))
        for more in ({}, {"micro_batch_size": 3})
    )
    np.testing.assert_allclose(in_parts.epochs, result.epochs, atol=1e-3)
    assert np.array_equal(np.array(in_parts.epochs)[..., 3:5], np.array(result.epochs)[..., 3:5])
    assert len(result.epochs) == 4 and set(result.outcome["validation"]) == {"span_f1", "exact_match"}
    save_dynamics(tmp_path / "dynamics.parquet", KIND, result.epochs, dataset, {})
    dynamics = load_dynamics(tmp_path / "dynamics.parquet", dataset)
    require_all_selectors(dynamics, dataset)
    learnt = dynamics.correct[-1]
    given = [own["starts"][0] if own["starts"] else 0 for own in dataset.labels]
    assert learnt.any() and (dynamics.own["answer_start"][-1] == given)[learnt].all()
