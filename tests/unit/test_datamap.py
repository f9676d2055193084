import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ftft.artifacts import read_parquet
from ftft.cartography.datamap import COORDINATES, DataMap, build_map, write_map, write_score
from ftft.cartography.dynamics import Dynamics, load_dynamics, save_dynamics
from ftft.cartography.scores import confidence, correctness, given_by, variability
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError
from ftft.tasks.base import kind_of, true_class_probability
from ftft.training.recording import EpochRecorder

CLASSIFICATION = kind_of("classification")
# Class probabilities by epoch; the true class of the instances is 0, 1, 2.
DOUBTFUL = [(0.25, 0.5, 0.25), (0.5, 0.25, 0.25), (0.75, 0.2, 0.05), (0.5, 0.3, 0.2)]
MODEST_WINNER = [(0.3, 0.4, 0.3)] * 4
MISLEARNT = [(0.8, 0.1, 0.1), (0.5, 0.2, 0.3), (0.1, 0.8, 0.1), (0.4, 0.3, 0.3)]
LOGITS = np.log(np.array([DOUBTFUL, MODEST_WINNER, MISLEARNT])).swapaxes(0, 1).astype(np.float32)
LABELS, UIDS = np.array([0, 1, 2]), ["doubtful", "modest winner", "mislearnt"]

# p of the true class: .25 .5 .75 .5 | .4 .4 .4 .4 | .1 .3 .1 .3
CONFIDENCE = [0.5, 0.4, 0.2]
# Squared deviations: (1/16 + 0 + 1/16 + 0) / 4 = 1/32 | 0 | 4 x .01 / 4 = .01
VARIABILITY = [(1 / 32) ** 0.5, 0.0, 0.1]
CORRECTNESS = [0.75, 1.0, 0.0]


def map_of(order):
    logits, labels = LOGITS[:, order], LABELS[order]
    p_true = np.stack([true_class_probability(epoch, labels) for epoch in logits])
    return build_map(p_true, logits, labels, [UIDS[row] for row in order])


def scores_of(data_map):
    return {
        uid: (data_map.confidence[row], data_map.variability[row], data_map.correctness[row])
        for row, uid in enumerate(data_map.uids)
    }


def test_the_map_of_three_instances_over_four_epochs_is_as_worked_out_by_hand():
    data_map = map_of([0, 1, 2])
    assert data_map.uids == UIDS
    np.testing.assert_allclose(data_map.confidence, CONFIDENCE, atol=1e-7)
    np.testing.assert_allclose(data_map.variability, VARIABILITY, atol=1e-7)
    assert data_map.correctness.tolist() == CORRECTNESS
    assert {array.dtype for array in (data_map.confidence, data_map.variability)} == {np.dtype("float64")}


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0], [0, 2, 1]])
def test_the_order_of_rows_changes_no_score(order):
    assert scores_of(map_of(order)) == scores_of(map_of([0, 1, 2]))


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [2, 0, 3, 1]])
def test_every_epoch_counts_alike(order):
    p_true = np.stack([true_class_probability(epoch, LABELS) for epoch in LOGITS])
    data_map = build_map(p_true[order], LOGITS[order], LABELS, UIDS)
    np.testing.assert_allclose(data_map.confidence, CONFIDENCE, atol=1e-7)
    np.testing.assert_allclose(data_map.variability, VARIABILITY, atol=1e-7)
    assert data_map.correctness.tolist() == CORRECTNESS


def test_a_true_class_that_wins_with_less_than_one_half_is_correct():
    assert map_of([1, 0, 2]).correctness[0] == 1.0


@pytest.mark.parametrize("epochs", [0, 1])
def test_fewer_than_two_epochs_give_no_map(epochs):
    dynamics = Dynamics(UIDS, np.ones((epochs, 3), np.float32), np.ones((epochs, 3), bool))
    with pytest.raises(ArtifactError, match=rf"got: {epochs} complete epoch\(s\)\n.*at least 2"):
        DataMap.of(dynamics)


def test_all_recorded_epochs_reach_the_map_at_their_own_instance(tmp_path):
    dataset = Dataset(UIDS, (["a", "b", "c"],), LABELS, ["x", "y", "z"])
    recorder = EpochRecorder(3, 3)
    for epoch, order in enumerate([[2, 0, 1], [0, 1, 2], [1, 2, 0], [2, 1, 0]]):
        for rows in (order[:2], order[2:]):
            recorder.record(np.array(rows), torch.from_numpy(LOGITS[epoch, rows]))
    save_dynamics(tmp_path / "dynamics.parquet", CLASSIFICATION, recorder.epochs, dataset, {})
    dynamics = load_dynamics(tmp_path / "dynamics.parquet", dataset)
    assert scores_of(DataMap.of(dynamics)) == scores_of(map_of([0, 1, 2]))


def test_a_saved_map_loads_unchanged(tmp_path):
    data_map = map_of([0, 1, 2])
    data_map.save(tmp_path / "map.parquet", {"data_hash": "abc", "epochs": 4})
    loaded, metadata = DataMap.load(tmp_path / "map.parquet")
    assert metadata == {"data_hash": "abc", "epochs": 4}
    assert scores_of(loaded) == scores_of(data_map)


@given(st.integers(2, 20), st.integers(1, 30), st.integers(0, 9))
def test_scores_are_numpys(epochs, instances, seed):
    random = np.random.default_rng(seed)
    p_true = random.random((epochs, instances), np.float32)
    correct = random.random((epochs, instances)) < 0.5
    np.testing.assert_allclose(confidence(p_true), p_true.astype(float).mean(0), rtol=1e-15)
    np.testing.assert_allclose(variability(p_true), p_true.astype(float).std(0), rtol=1e-13, atol=1e-16)
    np.testing.assert_array_equal(correctness(correct), correct.mean(0))


@pytest.mark.parametrize("score", [confidence, variability])
def test_an_instance_alone_has_the_score_it_has_among_others(score):
    p_true = np.random.default_rng(0).random((30, 100), np.float32)
    alone = [score(p_true[:, row : row + 1]) for row in range(100)]
    np.testing.assert_array_equal(np.concatenate(alone), score(p_true))


N, EPOCHS = 23, 3
MANY = Dataset(
    [f"u{row}" for row in range(N)],
    ([f"text {row}" for row in range(N)],),
    np.arange(N) % 3,
    ["x", "y", "z"],
)


def files(folder, epochs=EPOCHS):
    logits = np.random.default_rng(5).normal(size=(epochs, N, 3)).astype(np.float32)
    MANY.save(folder / "train.parquet")
    save_dynamics(folder / "dynamics.parquet", CLASSIFICATION, list(logits), MANY, {})
    return folder / "dynamics.parquet", folder / "train.parquet"


def test_the_map_of_a_file_is_that_of_the_arrays(tmp_path):
    dynamics_file, data_file = files(tmp_path)
    write_map(dynamics_file, data_file, tmp_path / "map.parquet")
    written, metadata = DataMap.load(tmp_path / "map.parquet")
    read = load_dynamics(dynamics_file, MANY)
    further = [name for name in given_by(read) if name not in COORDINATES]
    built = build_map(read.p_true, read.logits, read.labels, read.uids)
    assert scores_of(written) == scores_of(built)
    for name in further:
        write_score(dynamics_file, data_file, tmp_path / name, name)
        score, described = read_parquet(tmp_path / name)
        assert score["uid"].to_pylist() == MANY.uids
        np.testing.assert_array_equal(score["score"], built[name])
        assert described == {"data_hash": MANY.content_hash, "score": name}
    assert metadata == {"data_hash": MANY.content_hash, "epochs": EPOCHS}
    assert read_parquet(tmp_path / "map.parquet")[0].column_names == ["uid", *COORDINATES]


def test_no_map_is_left_where_there_is_none_to_build(tmp_path):
    with pytest.raises(ArtifactError, match=r"got: 1 complete epoch"):
        write_map(*files(tmp_path, epochs=1), tmp_path / "map.parquet")
    dynamics_file, data_file = files(tmp_path)
    MANY.__class__(MANY.uids, MANY.texts, MANY.labels[::-1].copy(), MANY.label_names).save(data_file)
    with pytest.raises(ArtifactError, match="recorded on other data"):
        write_map(dynamics_file, data_file, tmp_path / "map.parquet")
    assert not (tmp_path / "map.parquet").exists()
