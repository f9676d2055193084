from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ftft.artifacts import read_parquet, write_parquet
from ftft.cartography.dynamics import load_dynamics
from ftft.cartography.dynamics import save_dynamics as save_of_kind
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError
from ftft.tasks.base import kind_of, true_class_probability
from ftft.training.recording import EpochRecorder

N, CLASSES, EPOCHS = 7, 3, 2
LOGITS = np.random.default_rng(0).normal(size=(EPOCHS, N, CLASSES)).astype(np.float32)
DATA = Dataset(
    [f"u{row}" for row in range(N)],
    ([f"text {row}" for row in range(N)],),
    np.arange(N) % CLASSES,
    ["a", "b", "c"],
)


def save_dynamics(path, epochs, dataset, metadata):
    save_of_kind(path, kind_of("classification"), epochs, dataset, metadata)


def feed(recorder, epoch, order, batch_size):
    for start in range(0, len(order), batch_size):
        rows = np.array(order[start : start + batch_size])
        recorder.record(rows, torch.from_numpy(epoch[rows]))


@given(st.lists(st.permutations(range(N)), min_size=1, max_size=EPOCHS), st.integers(1, N + 1))
def test_rows_land_at_their_own_instance_whatever_the_order(orders, batch_size):
    recorder = EpochRecorder(N, CLASSES)
    for epoch, order in zip(LOGITS, orders, strict=False):
        feed(recorder, epoch, order, batch_size)
    np.testing.assert_array_equal(recorder.epochs, LOGITS[: len(orders)])


def test_a_last_batch_of_one_instance_completes_the_epoch():
    recorder = EpochRecorder(N, CLASSES)
    feed(recorder, LOGITS[0], range(N), N - 1)
    np.testing.assert_array_equal(recorder.epochs, LOGITS[:1])


def test_an_incomplete_last_epoch_is_dropped():
    recorder = EpochRecorder(N, CLASSES)
    feed(recorder, LOGITS[0], range(N), 2)
    feed(recorder, LOGITS[1], range(N - 1), 2)
    np.testing.assert_array_equal(recorder.epochs, LOGITS[:1])


def test_recorded_logits_are_detached_copies_in_float32():
    recorder = EpochRecorder(1, 2)
    logits = torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    recorder.record(np.array([0]), logits)
    recorder.record(np.array([0]), 2 * logits)
    assert [epoch.tolist() for epoch in recorder.epochs] == [[[1.0, 2.0]], [[2.0, 4.0]]]
    assert recorder.epochs[0].dtype == np.float32


def test_the_probability_of_the_true_class_is_the_softmax_there():
    logits = np.log(np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]], np.float32))
    p_true = true_class_probability(logits, np.array([1, 0]))
    np.testing.assert_allclose(p_true, [0.3, 0.6], rtol=1e-6)
    assert p_true.dtype == np.float32


def test_large_logits_do_not_overflow():
    logits = np.array([[1000.0, 0.0], [-1000.0, 0.0]], np.float32)
    assert true_class_probability(logits, np.array([0, 0])).tolist() == [1.0, 0.0]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "dynamics.parquet"
    save_dynamics(path, list(LOGITS), DATA, {"run": {"seed": 3}})
    return path


def test_saved_dynamics_load_exactly(path):
    read = load_dynamics(path, DATA)
    assert (read.uids, read.labels.tolist()) == (DATA.uids, DATA.labels.tolist())
    np.testing.assert_array_equal(read.logits, LOGITS)
    expected = [true_class_probability(epoch, DATA.labels) for epoch in LOGITS]
    np.testing.assert_array_equal(read.p_true, expected)
    np.testing.assert_array_equal(read.correct, LOGITS.argmax(-1) == DATA.labels)
    assert read.logits.dtype == read.p_true.dtype == np.float32
    assert load_dynamics(path, DATA, logits=False).logits is None


def test_the_file_is_dense_epoch_after_epoch_and_says_where_it_comes_from(path):
    table, metadata = read_parquet(path)
    assert table.column_names == ["epoch", "row", "p_true", "correct", "logit_0", "logit_1", "logit_2"]
    assert table["epoch"].to_pylist() == [0] * N + [1] * N
    assert table["row"].to_pylist() == list(range(N)) * 2
    expected = {"run": {"seed": 3}, "data_hash": DATA.content_hash, "instances": N, "epochs": EPOCHS}
    assert metadata == expected


def test_a_run_shorter_than_an_epoch_leaves_a_file_without_rows(path):
    save_dynamics(path, [], DATA, {})
    read = load_dynamics(path, DATA)
    assert (read.p_true.shape, read.correct.shape) == ((0, N), (0, N))


def test_a_torn_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_dynamics(path, DATA)


def test_values_that_are_not_finite_are_counted_and_the_first_in_time_is_named(tmp_path):
    diverged = LOGITS.copy()
    diverged[1, 0, 2] = diverged[0, 5, 1] = diverged[1, 6, 0] = np.nan
    save_dynamics(tmp_path / "dynamics.parquet", list(diverged), DATA, {})
    with pytest.raises(ArtifactError, match=r"got: 3 value.*epoch 0, instance u5"):
        load_dynamics(tmp_path / "dynamics.parquet", DATA)


ORDER = [1, 0, *range(2, N)]


@pytest.mark.parametrize(
    "other",
    [
        replace(DATA, texts=(["changed", *DATA.texts[0][1:]],)),
        replace(DATA, labels=DATA.labels[::-1].copy()),
        replace(DATA, label_names=["b", "a", "c"], labels=np.array([1, 0, 2])[DATA.labels]),
        Dataset([DATA.uids[i] for i in ORDER], ([DATA.texts[0][i] for i in ORDER],), DATA.labels[ORDER], []),
    ],
    ids=["another text", "other labels", "another order of classes", "another order of rows"],
)
def test_dynamics_of_other_data_are_refused(path, other):
    other = replace(other, label_names=other.label_names or DATA.label_names)
    with pytest.raises(ArtifactError, match=r"do not fit(.|\n)*recorded on other data(.|\n)*snakemake"):
        load_dynamics(path, other)


def without(rows):
    return lambda table: table.filter(pa.array([row not in rows for row in range(table.num_rows)]))


def with_column(name, change):
    def tamper(table):
        values = table[name].to_numpy().copy()
        change(values)
        return table.set_column(table.column_names.index(name), name, pa.array(values))

    return tamper


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda table: table.take(list(reversed(range(EPOCHS * N)))), "rows are out of order"),
        (without({3}), "an instance lacks an epoch"),
        (without(range(N)), "an instance lacks an epoch"),
        (with_column("epoch", lambda epoch: epoch.fill(0)), "an instance lacks an epoch"),
        (with_column("row", lambda row: row.__setitem__(0, 1)), "rows are out of order"),
        (with_column("p_true", lambda p: p.__setitem__(N + 2, np.nan)), "1 value.*epoch 1, instance u2"),
    ],
    ids=[
        "reversed rows",
        "missing instance",
        "missing epoch",
        "repeated epoch",
        "repeated instance",
        "not a number",
    ],
)
def test_damaged_dynamics_are_refused(path, tamper, message):
    table, metadata = read_parquet(path)
    write_parquet(path, tamper(table), metadata)
    with pytest.raises(ArtifactError, match=message):
        load_dynamics(path, DATA)


def test_a_diverged_run_is_recorded_and_refused_when_read(path):
    diverged = LOGITS.copy()
    diverged[1, 5] = np.nan
    save_dynamics(path, list(diverged), DATA, {})
    with pytest.raises(ArtifactError, match=r"not finite(.|\n)*lower its learning rate"):
        load_dynamics(path, DATA)
