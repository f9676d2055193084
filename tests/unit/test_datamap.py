import numpy as np
import pytest
import torch

from ftft.cartography.datamap import DataMap, build_map
from ftft.cartography.dynamics import DynamicsRecorder, load_dynamics, save_dynamics, true_class_probability
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError

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
    with pytest.raises(ArtifactError, match=rf"got: {epochs} complete epoch\(s\)\n.*at least 2"):
        build_map(np.ones((epochs, 3)), LOGITS[:epochs], LABELS, UIDS)


def test_all_recorded_epochs_reach_the_map_at_their_own_instance(tmp_path):
    dataset = Dataset(UIDS, (["a", "b", "c"],), LABELS, ["x", "y", "z"])
    recorder = DynamicsRecorder(3, 3)
    for epoch, order in enumerate([[2, 0, 1], [0, 1, 2], [1, 2, 0], [2, 1, 0]]):
        for rows in (order[:2], order[2:]):
            recorder.record(torch.tensor(rows), torch.from_numpy(LOGITS[epoch, rows]))
    save_dynamics(tmp_path / "dynamics.parquet", recorder.epochs, dataset, {})
    uids, labels, p_true, logits = load_dynamics(tmp_path / "dynamics.parquet", dataset)
    assert scores_of(build_map(p_true, logits, labels, uids)) == scores_of(map_of([0, 1, 2]))


def test_a_saved_map_loads_unchanged(tmp_path):
    data_map = map_of([0, 1, 2])
    data_map.save(tmp_path / "map.parquet", {"data_hash": "abc", "epochs": 4})
    loaded, metadata = DataMap.load(tmp_path / "map.parquet")
    assert metadata == {"data_hash": "abc", "epochs": 4}
    assert scores_of(loaded) == scores_of(data_map)
