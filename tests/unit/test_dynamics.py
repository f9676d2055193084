from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ftft.artifacts import read_parquet, write_parquet
from ftft.cartography import dynamics
from ftft.cartography.dynamics import (
    DynamicsFile,
    block_size,
    load_dynamics,
    save_dynamics,
    true_class_probability,
)
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError
from ftft.training.recording import LogitsRecorder

N, CLASSES, EPOCHS = 7, 3, 2
LOGITS = np.random.default_rng(0).normal(size=(EPOCHS, N, CLASSES)).astype(np.float32)
DATA = Dataset(
    [f"u{row}" for row in range(N)],
    ([f"text {row}" for row in range(N)],),
    np.arange(N) % CLASSES,
    ["a", "b", "c"],
)


def feed(recorder, epoch, order, batch_size):
    for start in range(0, len(order), batch_size):
        rows = np.array(order[start : start + batch_size])
        recorder.record(torch.from_numpy(rows), torch.from_numpy(epoch[rows]))


@given(st.lists(st.permutations(range(N)), min_size=1, max_size=EPOCHS), st.integers(1, N + 1))
def test_rows_land_at_their_own_instance_whatever_the_order(orders, batch_size):
    recorder = LogitsRecorder(N, CLASSES)
    for epoch, order in zip(LOGITS, orders, strict=False):
        feed(recorder, epoch, order, batch_size)
    np.testing.assert_array_equal(recorder.epochs, LOGITS[: len(orders)])


def test_a_last_batch_of_one_instance_completes_the_epoch():
    recorder = LogitsRecorder(N, CLASSES)
    feed(recorder, LOGITS[0], range(N), N - 1)
    np.testing.assert_array_equal(recorder.epochs, LOGITS[:1])


def test_an_incomplete_last_epoch_is_dropped():
    recorder = LogitsRecorder(N, CLASSES)
    feed(recorder, LOGITS[0], range(N), 2)
    feed(recorder, LOGITS[1], range(N - 1), 2)
    np.testing.assert_array_equal(recorder.epochs, LOGITS[:1])


def test_recorded_logits_are_detached_copies_in_float32():
    recorder = LogitsRecorder(1, 2)
    logits = torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    recorder.record(torch.tensor([0]), logits)
    recorder.record(torch.tensor([0]), 2 * logits)
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
    uids, labels, p_true, logits = load_dynamics(path, DATA)
    assert (uids, labels.tolist()) == (DATA.uids, DATA.labels.tolist())
    np.testing.assert_array_equal(logits, LOGITS)
    expected = [true_class_probability(epoch, DATA.labels) for epoch in LOGITS]
    np.testing.assert_array_equal(p_true, expected)
    assert logits.dtype == p_true.dtype == np.float32


def test_the_file_is_dense_epoch_after_epoch_and_says_where_it_comes_from(path):
    table, metadata = read_parquet(path)
    assert table.column_names == ["epoch", "row", "p_true", "logit_0", "logit_1", "logit_2"]
    assert table["epoch"].to_pylist() == [0] * N + [1] * N
    assert table["row"].to_pylist() == list(range(N)) * 2
    expected = {"run": {"seed": 3}, "data_hash": DATA.content_hash, "instances": N, "epochs": EPOCHS}
    assert metadata == expected
    parts = pq.ParquetFile(path).metadata
    assert [parts.row_group(index).num_rows for index in range(parts.num_row_groups)] == [N] * EPOCHS


def test_a_run_shorter_than_an_epoch_leaves_a_file_without_rows(path):
    save_dynamics(path, [], DATA, {})
    _, _, p_true, logits = load_dynamics(path, DATA)
    assert (p_true.shape, logits.shape) == ((0, N), (0, N, CLASSES))


@pytest.mark.parametrize("largest", [1, 2, 3, 4, 6])
def test_an_epoch_is_cut_into_row_groups_of_one_size_and_reads_the_same(tmp_path, monkeypatch, largest):
    monkeypatch.setattr(dynamics, "LARGEST_BLOCK", largest)
    path = tmp_path / "dynamics.parquet"
    save_dynamics(path, list(LOGITS), DATA, {})
    parts = pq.ParquetFile(path).metadata
    sizes = [parts.row_group(index).num_rows for index in range(parts.num_row_groups)]
    size = block_size(N)
    assert size <= largest and sizes == [min(size, N - start) for start in range(0, N, size)] * EPOCHS
    np.testing.assert_array_equal(load_dynamics(path, DATA).logits, LOGITS)


def test_row_groups_are_few_and_of_one_size(monkeypatch):
    monkeypatch.setattr(dynamics, "LARGEST_BLOCK", 10)
    assert [block_size(instances) for instances in (0, 1, 10, 11, 20, 21, 99)] == [1, 1, 10, 6, 10, 7, 10]


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_blocks_come_in_order_whatever_the_threads(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(dynamics, "LARGEST_BLOCK", 2)
    path = tmp_path / "dynamics.parquet"
    save_dynamics(path, list(LOGITS), DATA, {})
    found = DynamicsFile(path, DATA).map(lambda block, item: (block.start, item), "abcd", threads=threads)
    assert list(found) == [(0, "a"), (2, "b"), (4, "c"), (6, "d")]


def test_row_groups_that_straddle_epochs_are_refused(path):
    table, metadata = read_parquet(path)
    write_parquet(path, table, metadata, row_group_size=N + 1)
    with pytest.raises(ArtifactError, match="an instance lacks an epoch, or rows are out of order"):
        load_dynamics(path, DATA)


def test_a_torn_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_dynamics(path, DATA)


def test_values_that_are_not_finite_are_counted_and_the_first_in_time_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(dynamics, "LARGEST_BLOCK", 2)
    diverged = LOGITS.copy()
    diverged[1, 0, 2] = diverged[0, 5, 1] = diverged[1, 6, 0] = np.nan
    save_dynamics(tmp_path / "dynamics.parquet", list(diverged), DATA, {})
    with pytest.raises(ArtifactError, match=r"got: 3 value.*epoch 0, instance u5"):
        load_dynamics(tmp_path / "dynamics.parquet", DATA)


def test_without_a_data_set_instances_go_by_their_rows(path):
    table, metadata = read_parquet(path)
    damaged = with_column("p_true", lambda p: p.__setitem__(N + 2, np.nan))(table)
    write_parquet(path, damaged, metadata, row_group_size=N)
    with pytest.raises(ArtifactError, match="epoch 1, instance 2"):
        DynamicsFile(path).read(0)


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
    with pytest.raises(ArtifactError, match=r"do not fit: they were recorded on other data(.|\n)*snakemake"):
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
        (with_column("logit_1", lambda x: x.__setitem__(4, np.inf)), "1 value.*epoch 0, instance u4"),
    ],
    ids=[
        "reversed rows",
        "missing instance",
        "missing epoch",
        "repeated epoch",
        "repeated instance",
        "not a number",
        "infinite",
    ],
)
def test_damaged_dynamics_are_refused(path, tamper, message):
    table, metadata = read_parquet(path)
    write_parquet(path, tamper(table), metadata, row_group_size=N)
    with pytest.raises(ArtifactError, match=message):
        load_dynamics(path, DATA)


def test_a_diverged_run_is_recorded_and_refused_when_read(path):
    diverged = LOGITS.copy()
    diverged[1, 5] = np.nan
    save_dynamics(path, list(diverged), DATA, {})
    with pytest.raises(ArtifactError, match=r"not finite(.|\n)*lower its learning rate"):
        load_dynamics(path, DATA)
