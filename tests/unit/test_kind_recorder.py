"""A loop of one's own records the dynamics of every kind of task as the workflow does."""

import numpy as np
import pytest
import torch

import ftft
from ftft import DataMap, Dataset, KindRecorder
from ftft.cartography.dynamics import load_dynamics
from ftft.data.dataset import object_array
from ftft.errors import ArtifactError, DataError
from ftft.tasks.base import ABSENT, kind_of

UIDS = ["a", "b", "c"]
TAGS = ["O", "B-PER", "I-PER"]
WORDS = [["Ann", "Lee", "is"], ["is"], ["it", "Bob"]]
GENERATOR = np.random.default_rng(0)
SENTENCES = object_array([np.array(tags) for tags in ([1, 2, 0], [0], [0, 1])])
# First tokens of words, of which the last sentence lost one.
PLACES = np.array([[-1, 0, 1, -1, 2], [-1, 0, -1, -1, -1], [-1, 0, -1, -1, -1]])
DATA = {
    "classification": Dataset(UIDS, (), np.array([0, 1, 1]), ["no", "yes"]),
    "generation": Dataset(UIDS, (UIDS,), object_array(["one", "two", "three"]), [], {}, "generation"),
    "multilabel": Dataset(UIDS, (), np.array([[1, 0], [0, 0], [1, 1]], bool), ["x", "y"], {}, "multilabel"),
    "regression": Dataset(UIDS, (), np.array([1.0, 2.0, 6.0]), [], {}, "regression"),
    "multiple_choice": Dataset(
        UIDS,
        (UIDS, [["a", "b"], ["c", "d", "e"], ["f", "g"]]),
        np.array([1, 2, 0]),
        [],
        {},
        "multiple_choice",
    ),
    "question_answering": Dataset(
        UIDS,
        (),
        object_array([{"texts": ["a"], "starts": [0]}, {"texts": [], "starts": []}] * 2)[:3],
        [],
        {},
        "question_answering",
    ),
    "token_classification": Dataset(UIDS, (WORDS,), SENTENCES, TAGS, {}, "token_classification"),
}
SHAPES = {
    "classification": (3, 2),
    "generation": (3, 4),
    "multilabel": (3, 2),
    "regression": (3,),
    "multiple_choice": (3, 3),
    "question_answering": (3, 6),
    "token_classification": (3, 5, 3),
}


def outputs_of(kind):
    if kind == "generation":
        tokens = np.array([2.0, 3.0, 1.0])
        log_p = -GENERATOR.random((3, 3))
        mean = np.exp(log_p / tokens)
        return [
            np.stack([tokens, own, p, tokens], 1).astype(np.float32)
            for own, p in zip(log_p, mean, strict=True)
        ]
    return [GENERATOR.normal(size=SHAPES[kind]).astype(np.float32) for _ in range(3)]


def recorded(kind, epochs, order=((2, 0), (1,))):
    """A recorder of these epochs, in batches of another order, of which the last has one instance."""
    recorder = KindRecorder(DATA[kind])
    for outputs in epochs:
        for rows in map(list, order):
            words = (PLACES[rows],) if kind == "token_classification" else ()
            recorder.record([UIDS[row] for row in rows], torch.from_numpy(outputs[rows]), *words)
        recorder.end_epoch()
    return recorder


def expected(kind, epochs):
    """What the workflow records of these outputs."""
    match kind:
        case "regression":
            labels = DATA[kind].labels
            return [((epoch - labels.mean()) / labels.std())[:, None].astype(np.float32) for epoch in epochs]
        case "multiple_choice":
            present = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 0]], bool)
            return [np.where(present, epoch, ABSENT) for epoch in epochs]
        case "token_classification":
            tags = np.array([[-1, 1, 2, -1, 0], [-1, 0, -1, -1, -1], [-1, 0, -1, -1, -1]])
            beside = {"word": torch.from_numpy(PLACES), "tag": torch.from_numpy(tags)}
            found = kind_of(kind)
            return [found.recorded(torch.from_numpy(epoch), beside, 6).numpy() for epoch in epochs]
    return epochs


@pytest.mark.parametrize("kind", DATA)
def test_dynamics_are_those_of_the_workflow(kind, tmp_path):
    epochs = outputs_of(kind)
    recorder = recorded(kind, epochs)
    columns = list(kind_of(kind).dynamics(expected(kind, epochs), DATA[kind]))
    found = recorder.dynamics()
    np.testing.assert_allclose(found.p_true, [epoch["p_true"] for epoch in columns], rtol=1e-6)
    np.testing.assert_array_equal(found.correct, [epoch["correct"] for epoch in columns])
    recorder.save(tmp_path / "dynamics.parquet", tmp_path / "data.parquet")
    loaded = load_dynamics(tmp_path / "dynamics.parquet", Dataset.load(tmp_path / "data.parquet"))
    np.testing.assert_array_equal(loaded.p_true, found.p_true)
    ftft.write_map(tmp_path / "dynamics.parquet", tmp_path / "data.parquet", tmp_path / "map.parquet")
    np.testing.assert_array_equal(
        DataMap.load(tmp_path / "map.parquet")[0].variability, recorder.data_map().variability
    )


@pytest.mark.parametrize("kind", DATA)
def test_the_order_of_batches_does_not_count(kind):
    epochs = outputs_of(kind)
    one, other = (recorded(kind, epochs, order) for order in (((2, 0), (1,)), ((0, 1, 2),)))
    np.testing.assert_array_equal(one.dynamics().p_true, other.dynamics().p_true)


@pytest.mark.parametrize("kind", DATA)
def test_a_recorder_goes_on_from_its_state(kind):
    epochs = outputs_of(kind)
    recorder = recorded(kind, epochs[:2])
    words = (PLACES[:2],) if kind == "token_classification" else ()
    recorder.record(UIDS[:2], epochs[2][:2], *words)
    again = KindRecorder(DATA[kind])
    again.load_state_dict(recorder.state_dict())
    assert again.unfinished and again.epochs == 2
    again.record(UIDS[2:], epochs[2][2:], *((PLACES[2:],) if words else ()))
    again.end_epoch()
    np.testing.assert_array_equal(again.dynamics().p_true, recorded(kind, epochs).dynamics().p_true)


def test_the_best_spans_of_questions_may_be_left_out():
    """Then an answer that the loop says is predicted counts as given, whatever no answer would score."""
    data, epoch = DATA["question_answering"], np.float32([[-1, -2, 1], [-1, -1, 1], [-3, -1, 0]])
    recorder = recorded("question_answering", [epoch])
    assert recorder.dynamics().correct.tolist() == [[True, True, False]]
    taken = kind_of("question_answering").taken(epoch, np.arange(3), data, None)
    (columns,) = kind_of("question_answering").dynamics([taken], data)
    assert columns["answer_start"].tolist() == columns["answer_end"].tolist() == [-1] * 3
    with pytest.raises(DataError, match=r"not outputs of the kind 'question_answering'(.|\n)*\[2, 6\]"):
        recorded("question_answering", [epoch[:, :2]])


def test_what_does_not_fit_is_refused_and_left_out():
    recorder = KindRecorder(DATA["multilabel"])
    good = np.zeros((1, 2))
    for uids, outputs, message in (
        (["z"], good, "'uids' cannot be used"),
        (["a"], np.zeros((1, 3)), "not outputs of the kind 'multilabel'"),
        (["a"], np.full((1, 2), np.nan), "'outputs' cannot be used"),
        (["a", "a"], np.zeros((2, 2)), "each once in a batch"),
    ):
        with pytest.raises(DataError, match=message):
            recorder.record(uids, outputs)
    assert not recorder.unfinished
    recorder.record(["a"], good)
    with pytest.raises(DataError, match="occur twice in epoch 0"):
        recorder.record(["a"], good)
    with pytest.raises(DataError, match=r"2 missing, the first of them 'b'"):
        recorder.end_epoch()
    with pytest.raises(DataError, match="no epoch was recorded"):
        recorder.dynamics()
    with pytest.raises(DataError, match="recorder of other data"):
        recorder.load_state_dict(KindRecorder(DATA["regression"]).state_dict())
    with pytest.raises(ArtifactError, match="give no data map"):
        recorded("multilabel", outputs_of("multilabel")[:1]).data_map()
    with pytest.raises(DataError, match="logits of tags"):
        KindRecorder(DATA["token_classification"]).record(["b"], np.zeros((1, 5, 3)), PLACES[:1])
    with pytest.raises(DataError, match="scores of choices"):
        KindRecorder(DATA["multiple_choice"]).record(["b"], np.zeros((1, 2)))


def test_a_damaged_state_is_refused():
    recorder = recorded("regression", outputs_of("regression")[:1])
    state = recorder.state_dict()
    for key, value in (
        ("recorded", bytes([state["recorded"][0] ^ 1]) + state["recorded"][1:]),
        ("seen", b""),
        ("epochs", -1),
        ("recorded", None),
    ):
        with pytest.raises(DataError, match="was damaged"):
            recorder.load_state_dict({**state, key: value})
