"""Named entities: definitions by numbers computed by hand, tokens, what is recorded, a whole run."""

import json
import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from small import RECIPE, RUNTIME, require_all_selectors
from transformers import AutoModelForTokenClassification

from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset
from ftft.errors import DataError
from ftft.execution.progress import Progress
from ftft.tasks.base import ABSENT, kind_of
from ftft.tasks.metrics import entities, metric
from ftft.tasks.prediction import encode, predict_outputs
from ftft.tasks.prepare import prepare
from ftft.training.feed import Development, TrainingData
from ftft.training.loop import train

SPEC = {
    "kind": "token_classification",
    "text": ["words"],
    "label": "tags",
    "uid": None,
    "labels": ["PER", "LOC"],
    "lists": ["words", "tags"],
}
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
KIND = kind_of("token_classification")
SENTENCES = [
    (["the", "nurse", "Ann", "Lee", "is", "tall"], ["O", "O", "B-PER", "I-PER", "O", "O"]),
    (["is", "Rome", "near", "?"], ["O", "B-LOC", "O", "O"]),
    (["nobody", "is", "here"], ["O", "O", "O"]),
] * 4 + [(["Ann"], ["B-PER"])]


def records(sentences=SENTENCES, **changes):
    words, tags = zip(*sentences, strict=True)
    return pa.table({"words": list(map(json.dumps, words)), "tags": list(map(json.dumps, tags)), **changes})


def prepared(sentences=SENTENCES, **changes):
    return prepare(records(sentences), {**SPEC, **changes}, "sentences", {"steps": []})


@pytest.fixture
def dataset():
    return prepared()


def test_words_and_tags_become_lists_and_indices(dataset, tmp_path):
    assert dataset.label_names == TAGS and dataset.texts[0][1] == ["is", "Rome", "near", "?"]
    assert dataset.labels[0].tolist() == [0, 0, 1, 2, 0, 0]
    assert dataset.label_counts() == {"O": 40, "B-PER": 5, "I-PER": 4, "B-LOC": 4, "I-LOC": 0}
    dataset.save(tmp_path / "sentences.parquet")
    loaded = Dataset.load(tmp_path / "sentences.parquet")
    assert loaded.content_hash == dataset.content_hash and loaded.labels[1].tolist() == [0, 3, 0, 0]


def test_raw_tags_may_be_numbers_with_names():
    table = pa.table({"words": ['["Ann"]', '["Ann", "Lee"]'], "tags": ["[1]", "[1, 2]"]})
    found = prepare(table, {**SPEC, "label_names": {"1": "B-PER", "2": "I-PER"}}, "numbers", {"steps": []})
    assert [tags.tolist() for tags in found.labels] == [[1], [1, 2]]


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ("[]", "[]", "rows without words in column 'words'"),
        ('["Ann"]', '["B-PER", "O"]', "another number of tags than of words"),
        ('["Ann"]', '["B-ORG"]', "unknown tags in column 'tags'"),
        ('["Ann"]', '["I-PER"]', "not BIO2"),
        ('["Ann", "Rome"]', '["B-PER", "I-LOC"]', "not BIO2"),
        ("Ann", '["B-PER"]', "no lists of words in column 'words'"),
        ('["Ann"]', "B-PER", "no lists of tags in column 'tags'"),
        ('[["a"]]', '["O"]', "no lists of words"),
        ('["Ann"]', None, "no lists of tags"),
    ],
)
def test_bad_sentences_are_refused_with_their_rows(words, tags, message):
    table = pa.table({"words": ['["a"]', words], "tags": ['["O"]', tags]})
    with pytest.raises(DataError, match=message) as caught:
        prepare(table, SPEC, "bad", {"steps": []})
    assert "1 row: row 2" in str(caught.value)


def test_a_word_without_tokens_counts_as_cut_off(encoder):
    """Real rows hold words that are empty or white space."""
    dataset = prepared([(["Ann", "", "is", " "], ["B-PER", "O", "O", "O"])] * 2)
    tokens = KIND.tokenize(dataset, encoder / "tokenizer.json", 32)
    assert tokens.cut == (0, 2, tokens.cut.longest, 4, 0)
    assert set(tokens.aligned["word"].tolist()) == {-1, 0, 2}


def test_p_true_is_the_mean_over_entity_words_and_words_ever_taken_for_one():
    """Two epochs of one sentence: words 1 is an entity, word 2 is taken for one in the second epoch."""
    dataset = prepared([(["a", "b", "c", "d"], ["O", "B-PER", "O", "O"])] * 2)
    first = [0.9, 0.4, 0.7, 0.8, 0, 0, 0, 0]
    second = [0.9, 0.6, 0.3, 0.8, 0, 1, 3, 0]
    epochs = [np.array([row, [1.0] * 4 + [0, 1, 0, 0]], np.float32) for row in (first, second)]
    one, two = KIND.dynamics(epochs, dataset)
    np.testing.assert_allclose(one["p_true"], [(0.4 + 0.7) / 2, 1], rtol=1e-6)
    np.testing.assert_allclose(two["p_true"], [(0.6 + 0.3) / 2, 1], rtol=1e-6)
    assert one["correct"].tolist() == [False, True] and two["correct"].tolist() == [False, True]
    for pool, expected in (("min", (0.4, 0.3)), ("all_words", (2.8 / 4, 2.6 / 4))):
        found = KIND.dynamics(epochs, prepared([(["a"] * 4, ["O", "B-PER", "O", "O"])] * 2, pool=pool))
        found = list(found)
        assert [columns["p_true"][0] for columns in found] == pytest.approx(expected)
        # The worst word is an entity in the first epoch, and is taken for one in the second.
        assert [columns["worst"][0] for columns in found] == pytest.approx([0.4, 0.3])


def test_a_sentence_without_entities_goes_by_all_its_words():
    dataset = prepared([(["a", "b"], ["O", "O"]), (["a", "b", "c"], ["O", "O", "O"])])
    epoch = np.array([[0.5, 0.7, ABSENT, 0, 0, ABSENT], [0.2, 0.4, 0.6, 0, 0, 0]], np.float32)
    (columns,) = KIND.dynamics([epoch], dataset)
    assert columns["p_true"].tolist() == pytest.approx([0.6, 0.4]) and columns["correct"].all()
    assert columns["worst"].tolist() == pytest.approx([0.5, 0.2])


def test_words_that_were_cut_off_count_as_predicted_O():
    """The first sentence loses an O, the second an entity, the third all of its words."""
    dataset = prepared([(["a", "b"], ["B-PER", "O"]), (["a", "b"], ["O", "B-LOC"]), (["a"], ["O"])])
    epoch = np.array([[0.5, ABSENT, 1, ABSENT], [0.9, ABSENT, 0, ABSENT], [ABSENT] * 4], np.float32)
    (columns,) = KIND.dynamics([epoch], dataset)
    assert columns["p_true"].tolist() == columns["worst"].tolist() == pytest.approx([0.5, 0.9, 0.0])
    assert columns["correct"].tolist() == [True, False, True]
    predictions = KIND.predictions(epoch[:, 2:], dataset)
    assert [tags.tolist() for tags in predictions] == [[1, 0], [0, 0], [0]]


def test_make_up_and_groups_go_by_entity_types_and_their_number(dataset):
    sentences = [
        (["a"], ["O"]),
        (["a"], ["B-PER"]),
        (["a", "b"], ["B-PER", "I-PER"]),
        (["a", "b"], ["B-PER", "B-PER"]),
        (["a", "b"], ["B-PER", "B-LOC"]),
        (["a", "b", "c"], ["B-PER"] * 3),
        (["a", "b", "c", "d"], ["B-PER"] * 4),
    ]
    codes = KIND.make_up(prepared(sentences))
    assert codes[1] == codes[2] and codes[5] == codes[6] and len(set(codes.tolist())) == 5
    groups, names = KIND.groups(prepared(sentences))
    assert [names[group] for group in groups] == ["no entity", *["PER"] * 3, "several types", "PER", "PER"]


def test_a_page_shows_entities_in_brackets():
    sentence = ["Ann", "Lee", "saw", "Rome", "Bonn"], [1, 2, 0, 3, 3]
    assert KIND.shown(([sentence[0]],), [sentence[1]], TAGS) == [["[Ann Lee]PER saw [Rome]LOC [Bonn]LOC"]]


def test_entity_f1_by_hand():
    """PER: 1 hit of 2 predicted and 2 there. LOC: 1 hit of 2 predicted and 1 there."""
    targets = [[1, 2, 0, 3], [1, 0, 0, 0]]
    predictions = [[1, 0, 0, 3], [1, 0, 3, 4]]
    found = metric("entity_f1")
    assert found.score(targets, predictions, TAGS) == 2 * 2 / (4 + 3)
    assert found.parts(targets, predictions, TAGS) == {"PER": 2 / 4, "LOC": 2 / 3}
    assert found.floor(targets, TAGS) == 0.0
    assert found.score([[0]], [[0]], TAGS) == 0.0


def test_what_no_B_begins_is_no_entity_and_another_type_ends_one():
    assert entities(["I-PER", "O", "B-PER", "I-LOC", "B-LOC", "B-LOC", "I-LOC"]) == {
        ("PER", 2, 2),
        ("LOC", 4, 4),
        ("LOC", 5, 6),
    }


# By seqeval 1.2.2: f1_score(targets, predictions, mode="strict", scheme=IOB2) of what `drawn` gives.
SEQEVAL = (
    0.5079365079365079,
    0.36923076923076925,
    0.5666666666666667,
    0.4262295081967213,
    0.42424242424242425,
    0.6153846153846154,
)


def drawn(seed):
    """Random tags of some sentences, BIO2 or not, and predictions of which about half are others."""
    chance = random.Random(seed)
    targets = [[chance.choice(TAGS) for _ in range(chance.randint(1, 7))] for _ in range(20)]
    return targets, [
        [chance.choice(TAGS) if chance.random() < 0.5 else tag for tag in row] for row in targets
    ]


@pytest.mark.parametrize("seed", range(len(SEQEVAL)))
def test_entity_f1_is_seqevals(seed):
    sides = [[[TAGS.index(tag) for tag in row] for row in side] for side in drawn(seed)]
    assert metric("entity_f1").score(*sides, TAGS) == pytest.approx(SEQEVAL[seed], abs=1e-14)


def test_the_first_token_carries_the_word_and_words_cut_off_are_counted(encoder):
    sentences = [(["unbelievableness", "Ann", "is"], ["O", "B-PER", "O"]), (["Ann"] * 40, ["B-PER"] * 40)]
    dataset = prepared(sentences)
    tokens = KIND.tokenize(dataset, encoder / "tokenizer.json", 32)
    word, tag = tokens.aligned["word"], tokens.aligned["tag"]
    first = word[: tokens.offsets[1]]
    assert [place for place in first if place >= 0] == [0, 1, 2] and first[0] == first[-1] == -1
    assert tag[: tokens.offsets[1]][first >= 0].tolist() == [0, 1, 0]
    assert ((word >= 0) == (tag >= 0)).all()
    kept = (word[tokens.offsets[1] :] >= 0).sum()
    assert tokens.cut[:2] == (1, 2) and tokens.cut.words == 40 - kept > 0


def test_losses_and_records_by_hand():
    # Log-odds: softmax([0, ln 3]) = [1/4, 3/4].
    outputs = torch.tensor([[[0.0, 0.0], [0.0, np.log(3)], [5.0, 0.0], [0.0, np.log(3)]]])
    beside = {"word": torch.tensor([[-1, 0, -1, 2]]), "tag": torch.tensor([[-1, 1, -1, 0]])}
    losses = KIND.losses(outputs, beside)
    assert losses.tolist() == pytest.approx([-(np.log(3 / 4) + np.log(1 / 4)) / 2])
    recorded = KIND.recorded(outputs, beside, 6)
    assert recorded.tolist() == [[pytest.approx(0.75), ABSENT, pytest.approx(0.25), 1, ABSENT, 1]]


def test_what_stands_beside_the_tokens_moves_with_them_where_padding_is_left(dataset, encoder):
    right = KIND.tokenize(dataset, encoder / "tokenizer.json", 32)
    left, rows = replace(right, left=True), np.array([0, 3, 12])
    for one in (right, left):
        padded = one.padded(rows, 0)
        beside = one.padded_aligned(rows, padded["input_ids"].shape[1])["word"]
        assert (beside[padded["attention_mask"] == 0] == -1).all()
        ids = padded["input_ids"][beside >= 0]
        assert (
            ids.tolist()
            == right.padded(rows, 0)["input_ids"][
                right.padded_aligned(rows, padded["input_ids"].shape[1])["word"] >= 0
            ].tolist()
        )


def test_predictions_do_not_depend_on_batch_padding_or_order(dataset, encoder, tmp_path):
    torch.manual_seed(0)
    model = KIND.load(encoder, TAGS, True)
    tokens = encode(KIND, dataset, encoder, 32, tmp_path)
    width = KIND.prediction_width(dataset)
    together = predict_outputs(KIND, model, tokens, width, 4096, torch.no_grad)
    alone = predict_outputs(KIND, model, tokens, width, 1, torch.no_grad)
    np.testing.assert_array_equal(together, alone)
    assert ((together == ABSENT).sum(1) == [width - len(tags) for tags in dataset.labels]).all()
    model.eval()
    rows = np.array([0, 1, 12])
    batch = KIND.collate(tokens, rows, model.config, torch.device("cpu"), 2 * width)
    with torch.no_grad():
        outputs = KIND.outputs(model, batch)
    recorded = KIND.recorded(outputs, batch.aligned, 2 * width)
    for place, row in enumerate(rows):
        one = KIND.collate(tokens, rows[[place]], model.config, torch.device("cpu"), 2 * width)
        with torch.no_grad():
            own = KIND.recorded(KIND.outputs(model, one), one.aligned, 2 * width)
        np.testing.assert_allclose(recorded[place], own[0], atol=1e-5)
        assert (recorded[place, : len(dataset.labels[row])] > 0).all()


def test_a_run_on_sentences_gives_dynamics_a_map_and_supervisions(dataset, encoder, tmp_path):
    """13 sentences in batches of 4: the last batch holds one."""
    tokens = encode(KIND, dataset, encoder, 32, tmp_path)
    everything = Supervision.of(np.arange(13))
    data = TrainingData(KIND, tokens, dataset, everything, {"validation": Development(tokens, dataset)})
    recipe = {**RECIPE, "epochs": 8.0, "batch_size": 4, "learning_rate": 1e-2}
    spec = {"recipe": recipe, "metrics": KIND.metrics, "early_stopping": None}
    result = train(spec, str(encoder), data, 0, RUNTIME, Progress("test", []))
    assert result.outcome["floor"] == {"entity_f1": 0.0} and len(result.epochs) == 8
    assert result.outcome["validation"]["entity_f1"] > 0.5
    save_dynamics(tmp_path / "dynamics.parquet", KIND, result.epochs, dataset, {})
    require_all_selectors(load_dynamics(tmp_path / "dynamics.parquet", dataset), dataset)
    result.model.save_pretrained(tmp_path / "model")
    library = AutoModelForTokenClassification.from_pretrained(tmp_path / "model")
    assert library.config.id2label == dict(enumerate(TAGS))
