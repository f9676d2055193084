"""Dual-model methods: what each hands to a main model, by hand-made dynamics; the limits of their losses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from ftft.cartography.dual_model import LEAST
from ftft.cartography.dynamics import Dynamics
from ftft.cartography.selection import Pool, choose
from ftft.cartography.supervision import Supervision
from ftft.tasks.base import kind_of
from ftft.training.objectives import OBJECTIVES, Guidance

UIDS = ["a", "b", "c"]
LABELS = np.array([0, 1, 1])
# Probabilities of two classes, [epochs, instances, classes].
PROBABILITIES = np.array([[[0.5, 0.5], [0.8, 0.2], [0.1, 0.9]], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]])
P_TRUE = PROBABILITIES[:, np.arange(3), LABELS]
DYNAMICS = Dynamics(UIDS, P_TRUE, P_TRUE > 0.5, LABELS, np.log(PROBABILITIES))
POOL = Pool(UIDS, 1.0, 0, dynamics=DYNAMICS)
KIND = kind_of("classification")
OUTPUTS = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor(LABELS)
PLAIN = cross_entropy(OUTPUTS, TARGETS, reduction="none")


def made(name, pool=POOL, **settings) -> Supervision:
    found = choose(name, pool, settings)
    assert found.rows.tolist() == [0, 1, 2]
    return found


def losses(found: Supervision, outputs=OUTPUTS, done=0.0) -> torch.Tensor:
    bias, target = (None if values is None else torch.tensor(values) for values in (found.bias, found.target))
    return OBJECTIVES[found.objective](KIND, outputs, TARGETS, Guidance(bias, target, found.settings), done)


def with_p_true(value: float) -> Pool:
    p_true = np.full((2, 3), value)
    return replace(POOL, dynamics=replace(DYNAMICS, p_true=p_true))


def test_jtt_weighs_what_was_wrong_at_its_epoch():
    assert made("jtt", wrong_at=1, copies=4).weights.tolist() == [1, 5, 1]
    assert made("jtt", wrong_at=0, copies=2).weights.tolist() == [3, 3, 1]


def test_jtt_without_copies_or_errors_is_plain_training():
    right = replace(POOL, dynamics=replace(DYNAMICS, correct=np.ones((2, 3), bool)))
    for found in (made("jtt", copies=0), made("jtt", right)):
        assert found.weights.tolist() == [1, 1, 1] and found.objective == "cross_entropy"


def test_weights_of_jtt_have_the_gradient_of_its_copies():
    found = made("jtt", wrong_at=1, copies=4)
    outputs = OUTPUTS.clone().requires_grad_()
    weights = torch.tensor(found.weights)
    ((weights * losses(found, outputs)).sum() / weights.sum()).backward()
    copied = OUTPUTS.clone().requires_grad_()
    rows = torch.tensor([0, 1, 1, 1, 1, 1, 2])
    cross_entropy(copied[rows], TARGETS[rows]).backward()
    torch.testing.assert_close(outputs.grad, copied.grad)


def test_reweighting_takes_what_the_reference_doubts():
    np.testing.assert_allclose(made("reweighting").weights, [0.5, 0.8, 0.1], rtol=1e-6)
    np.testing.assert_allclose(made("reweighting", epoch=-1).weights, [0.3, 0.7, 0.15], rtol=1e-6)
    assert made("reweighting", with_p_true(0.0)).weights.tolist() == [1, 1, 1]
    assert made("reweighting", with_p_true(1.0)).weights.tolist() == [np.float32(LEAST)] * 3


def test_a_product_with_a_uniform_expert_or_none_is_cross_entropy():
    uniform = replace(POOL, dynamics=replace(DYNAMICS, logits=np.zeros((2, 3, 2))))
    torch.testing.assert_close(losses(made("product_of_experts", uniform)), PLAIN)
    none = made("product_of_experts", theta_first=1.0, theta_last=0.0)
    torch.testing.assert_close(losses(none, done=1.0), PLAIN)


def test_a_product_of_experts_adds_the_first_epochs_log_probabilities():
    found = made("product_of_experts")
    np.testing.assert_allclose(found.bias, np.log(PROBABILITIES[0]), rtol=1e-5)
    mixed = OUTPUTS.softmax(-1) * torch.tensor(PROBABILITIES[0])
    expected = -(mixed / mixed.sum(-1, keepdim=True))[torch.arange(3), TARGETS].log()
    torch.testing.assert_close(losses(found).double(), expected, rtol=1e-5, atol=1e-6)
    mean = made("product_of_experts", epoch=-1)
    np.testing.assert_allclose(mean.bias, np.log(PROBABILITIES.mean(0)), rtol=1e-5)


def test_confidence_regularisation_lies_between_distillation_and_the_uniform_target():
    np.testing.assert_allclose(
        made("confidence_regularisation", with_p_true(0.0)).target, PROBABILITIES[1], rtol=1e-5
    )
    np.testing.assert_allclose(made("confidence_regularisation", with_p_true(1.0)).target, 0.5, rtol=1e-5)
    found = made("confidence_regularisation")
    scaled = PROBABILITIES[1] ** (1 - P_TRUE[0])[:, None]
    np.testing.assert_allclose(found.target, scaled / scaled.sum(1, keepdims=True), rtol=1e-5)
    torch.testing.assert_close(
        losses(found), cross_entropy(OUTPUTS, torch.tensor(found.target), reduction="none")
    )


def test_relative_difficulty_compares_the_references_loss_with_todays():
    average = 0.7 * -np.log(P_TRUE[0]) + 0.3 * -np.log(P_TRUE[1])
    found = made("relative_difficulty")
    np.testing.assert_allclose(found.bias[:, 0], -average, rtol=1e-5)
    theirs = torch.tensor(average, dtype=torch.float32)
    torch.testing.assert_close(losses(found), PLAIN * theirs / (theirs + PLAIN))
    outputs = OUTPUTS.clone().requires_grad_()
    losses(found, outputs).sum().backward()
    weighed = OUTPUTS.clone().requires_grad_()
    share = (theirs / (theirs + PLAIN)).detach()
    (share * cross_entropy(weighed, TARGETS, reduction="none")).sum().backward()
    torch.testing.assert_close(outputs.grad, weighed.grad)


@pytest.mark.parametrize("name", ["product_of_experts", "confidence_regularisation", "relative_difficulty"])
def test_a_reference_that_is_sure_gives_finite_losses(name):
    certain = np.zeros((2, 3, 2))
    certain[..., 0] = 1000.0
    sure = replace(DYNAMICS, logits=certain, p_true=np.where(LABELS == 0, 1.0, 0.0) * np.ones((2, 1)))
    assert torch.isfinite(losses(made(name, replace(POOL, dynamics=sure)))).all()


def test_suggested_labels_replace_what_is_probably_wrong():
    # 200 rows that are learnt, and 20 whose labels the reference is sure to be wrong.
    labels = np.zeros(220, np.int64)
    likely = np.random.default_rng(0).uniform(0.8, 0.99, 220)
    probabilities = np.stack([likely, 1 - likely], 1)
    probabilities[200:] = probabilities[200:, ::-1]
    logits = np.log(np.stack([probabilities, probabilities]))
    uids = [str(row) for row in range(220)]
    dynamics = Dynamics(uids, probabilities[None, :, 0], probabilities[None, :, 0] > 0.5, labels, logits)
    found = choose("suggested_labels", Pool(uids, 1.0, 0, dynamics=dynamics), {})
    assert found.objective == "soft_targets" and found.weights.tolist() == [1] * 220
    np.testing.assert_array_equal(found.target.argmax(1), np.arange(220) >= 200)
    kept = choose("suggested_labels", Pool(uids, 1.0, 0, dynamics=dynamics), {"above": 1.0})
    outputs = torch.randn(220, 2, generator=torch.Generator().manual_seed(0))
    guidance = Guidance(target=torch.tensor(kept.target))
    plain = cross_entropy(outputs, torch.tensor(labels), reduction="none")
    torch.testing.assert_close(OBJECTIVES["soft_targets"](KIND, outputs, None, guidance, 0.0), plain)
