"""Supervisions: weights, guidance and objectives; controls that need no model."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import RUNTIME

from ftft.cartography.controls import balanced_random, balanced_weights, longest, matched_random
from ftft.cartography.datamap import DataMap
from ftft.cartography.selection import SELECTORS, Pool, choose, length_parts
from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError
from ftft.tasks.base import kind_of
from ftft.training.objectives import OBJECTIVES, Guidance

KIND = kind_of("classification")
UIDS = [f"u{row}" for row in range(40)]
DATA = Dataset(UIDS, (["x"] * 40,), np.arange(40) % 4 // 3, ["no", "yes"])


def weights_of(result):
    return {name: tensor.numpy().copy() for name, tensor in result.model.state_dict().items()}


def assert_close(ours, theirs, tolerance):
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, atol=tolerance, err_msg=name)


def test_a_supervision_loads_as_it_was_saved(tmp_path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(2), 3).astype(np.float32)
    saved = Supervision(
        np.array([1, 5, 7]),
        np.array([1, 2, 0.5], np.float32),
        np.log(probabilities),
        probabilities,
        "product_of_experts",
        {"theta": [1.0, 0.8]},
    )
    saved.save(tmp_path / "supervision.parquet", DATA, {"seed": 3})
    loaded = Supervision.load(tmp_path / "supervision.parquet", DATA)
    for name in ("rows", "weights", "bias", "target"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    assert (loaded.objective, loaded.settings) == (saved.objective, saved.settings)


def test_a_supervision_of_other_data_is_refused(tmp_path):
    Supervision.of(np.arange(3)).save(tmp_path / "supervision.parquet", DATA, {})
    other = replace(DATA, labels=1 - DATA.labels)
    with pytest.raises(ArtifactError, match=r"made on other data(.|\n)*snakemake"):
        Supervision.load(tmp_path / "supervision.parquet", other)


def test_one_weight_for_all_changes_no_bit(fine_tune, training_data):
    plain, rows = fine_tune(), training_data.supervision.rows
    doubled = replace(training_data, supervision=Supervision(rows, np.full(len(rows), 2.0, np.float32)))
    for name, values in weights_of(fine_tune(data=doubled)).items():
        np.testing.assert_array_equal(values, weights_of(plain)[name], err_msg=name)


def test_an_instance_of_no_weight_teaches_nothing(fine_tune, training_data):
    labels = training_data.dataset.labels.copy()
    weights = np.ones(33, np.float32)
    weights[[3, 20]] = 0.0
    weighed = replace(training_data, supervision=Supervision(np.arange(33), weights))
    labels[[3, 20]] = (labels[[3, 20]] + 1) % 3
    mislabelled = replace(weighed, dataset=replace(weighed.dataset, labels=labels))
    assert_close(weights_of(fine_tune(data=weighed)), weights_of(fine_tune(data=mislabelled)), 0)


def test_the_step_follows_the_weighted_mean_loss(fine_tune, training_data):
    heavy = replace(
        training_data, supervision=Supervision(np.arange(33), np.linspace(0.1, 3, 33, dtype=np.float32))
    )
    assert not np.allclose(
        weights_of(fine_tune())["classifier.weight"], weights_of(fine_tune(data=heavy))["classifier.weight"]
    )


@pytest.mark.parametrize("size", [1, 3, 5])
def test_micro_batches_change_rounding_alone(fine_tune, plain, size):
    whole = plain()
    parts = plain(runtime={**RUNTIME, "micro_batch_size": size})
    assert_close(weights_of(parts), weights_of(whole), 2e-4)
    np.testing.assert_allclose(parts.epochs[0], whole.epochs[0], atol=1e-4)


@pytest.fixture
def plain(fine_tune, training_data, tmp_path, encoder):
    """Train the small encoder without dropout."""
    import json
    import shutil

    from accelerate.state import AcceleratorState

    from ftft.execution.progress import Progress
    from ftft.training.loop import train

    folder = tmp_path / "plain"
    shutil.copytree(encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))

    def run(runtime=RUNTIME):
        from small import RECIPE

        AcceleratorState._reset_state(reset_partial_state=True)
        spec = {"recipe": {**RECIPE, "epochs": 1.0}, "metrics": ["accuracy"], "early_stopping": None}
        return train(spec, str(folder), training_data, 0, runtime, Progress("test", []))

    return run


OUTPUTS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -2.0]])
TARGETS = torch.tensor([0, 2])
CROSS_ENTROPY = torch.nn.functional.cross_entropy(OUTPUTS, TARGETS, reduction="none")


def losses(name, done=0.0, **guidance):
    return OBJECTIVES[name](KIND, OUTPUTS, TARGETS, Guidance(**guidance), done)


def test_experts_of_one_mind_are_cross_entropy():
    uniform = torch.full((2, 3), 1 / 3).log()
    torch.testing.assert_close(losses("product_of_experts", bias=uniform), CROSS_ENTROPY)
    torch.testing.assert_close(losses("cross_entropy"), CROSS_ENTROPY)


def test_experts_by_hand_and_annealed():
    bias = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]).log()
    product = OUTPUTS.softmax(-1) * bias.exp()
    expected = -(product / product.sum(-1, keepdim=True)).log()[[0, 1], TARGETS]
    torch.testing.assert_close(losses("product_of_experts", bias=bias), expected)
    annealed = losses("product_of_experts", done=1.0, bias=bias, settings={"theta": [1.0, 0.0]})
    torch.testing.assert_close(annealed, CROSS_ENTROPY)


def test_soft_targets_with_certain_labels_are_cross_entropy():
    certain = torch.nn.functional.one_hot(TARGETS, 3).float()
    torch.testing.assert_close(losses("soft_targets", target=certain), CROSS_ENTROPY)
    uniform = torch.full((2, 3), 1 / 3)
    torch.testing.assert_close(losses("soft_targets", target=uniform), -OUTPUTS.log_softmax(-1).mean(-1))


LENGTHS = np.arange(40) * 3 % 37


def pool(seed=0, fraction=0.25, order=slice(None)):
    variability = np.where(DATA.labels == 1, 1.0, 0.0) + LENGTHS / 100
    data_map = DataMap(list(np.array(UIDS)[order]), *[variability[order]] * 3)
    return Pool(list(np.array(UIDS)[order]), fraction, seed, data_map, DATA.labels[order], LENGTHS[order])


def test_balanced_rows_are_as_many_of_each_class_as_their_sizes_allow():
    assert Counter(DATA.labels[balanced_random(pool())].tolist()) == {0: 5, 1: 5}
    assert Counter(DATA.labels[balanced_random(pool(fraction=0.75))].tolist()) == {0: 20, 1: 10}


def test_balanced_weights_make_every_class_weigh_alike():
    made = balanced_weights(pool())
    totals = np.bincount(DATA.labels[made.rows], made.weights)
    assert len(made) == len(DATA) and totals == pytest.approx([len(DATA) / 2] * 2)
    # Thirty rows of one class, ten of the other: 40 / (2 * 30) and 40 / (2 * 10).
    assert np.unique(made.weights) == pytest.approx([2 / 3, 2])


def test_the_longest_rows():
    assert sorted(LENGTHS[longest(pool())].tolist()) == sorted(LENGTHS.tolist())[-10:]


@given(st.integers(0, 50), st.sampled_from([0.1, 0.25, 0.5]))
def test_matched_rows_have_the_labels_and_lengths_of_the_selection(seed, fraction):
    chosen, matched = (
        choose(name, pool(seed, fraction), {}).rows for name in ("ambiguous", "matched_random")
    )
    cells = list(zip(DATA.labels.tolist(), length_parts(LENGTHS).tolist(), strict=True))
    assert Counter(cells[row] for row in chosen) == Counter(cells[row] for row in matched)


def test_matched_rows_are_drawn_by_chance():
    # A selection that follows neither labels nor lengths leaves a choice in most cells of both.
    data_map = DataMap(UIDS, *[np.random.default_rng(0).random(40)] * 3)
    pools = [replace(pool(seed, 0.5), data_map=data_map) for seed in range(20)]
    drawn = {frozenset(matched_random(one, "ambiguous").tolist()) for one in pools}
    assert len(drawn) == 20


@pytest.mark.parametrize("name", ["random", "balanced", "longest", "matched_random", "within_labels"])
def test_no_control_depends_on_the_order_of_the_rows(name):
    order = np.random.default_rng(1).permutation(40)
    chosen = {UIDS[row] for row in choose(name, pool(3), {}).rows}
    shuffled = pool(3, order=order)
    assert chosen == {shuffled.uids[row] for row in choose(name, shuffled, {}).rows}


def test_selectors_say_what_they_are():
    assert all(entry.description.endswith(".") for entry in SELECTORS.values())
    assert {name for name, entry in SELECTORS.items() if not entry.needs_map} == {
        "random",
        "balanced",
        "balanced_weights",
        "longest",
    }
