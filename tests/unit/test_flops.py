"""FLOPs of training: closed forms, and torch's counter on real passes at shapes that the fit never saw."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSequenceClassification

from ftft.models.flops import FlopCount, Workload, count_flops

HEAD = "SequenceClassification"
LONGEST = 40
LAYERS, HIDDEN, FEED_FORWARD, HEADS, CLASSES, BUCKETS = 2, 32, 48, 4, 3, 8
SMALL = {
    "num_hidden_layers": LAYERS,
    "hidden_size": HIDDEN,
    "intermediate_size": FEED_FORWARD,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 64,
    "vocab_size": 50,
    "num_labels": CLASSES,
    "pad_token_id": 0,
}
DEBERTA = {
    "relative_attention": True,
    "position_buckets": BUCKETS,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
ENCODERS = {
    "bert": {},
    "roberta": {},
    "electra": {"embedding_size": 16},
    "albert": {"embedding_size": 16},
    "mpnet": {},
    "distilbert": {"n_layers": LAYERS, "dim": HIDDEN, "hidden_dim": FEED_FORWARD, "n_heads": HEADS},
    "modernbert": {"eos_token_id": 1, "bos_token_id": 2, "cls_token_id": 2, "sep_token_id": 1},
    "deberta-v2": DEBERTA,
}


def configuration(name, **changes):
    return AutoConfig.for_model(name, **{**SMALL, **ENCODERS.get(name, {}), **changes})


@cache
def count_of(name):
    return count_flops(configuration(name), LONGEST).step


def counted(config, instances, length):
    """What torch's counter sees in a training step on the CPU: ids, a mask with padding, dropout."""
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").train()
    mask = torch.ones((instances, length), dtype=torch.long)
    mask[0, length // 2 :] = 0
    with FlopCounterMode(display=False) as counter:
        model(input_ids=5 * mask, attention_mask=mask).logits.logsumexp(-1).sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ENCODERS)
def test_the_count_is_what_a_training_step_takes(name):
    instances, length = 5, 21
    assert count_of(name).of(1, instances, instances * length, instances * length**2) == counted(
        configuration(name), instances, length
    )


def test_bert_by_hand():
    # A matrix product m k n takes 2 m k n, and two of its kind in the backward pass.
    linear = 4 * HIDDEN * HIDDEN + 2 * HIDDEN * FEED_FORWARD
    assert count_of("bert") == FlopCount(
        per_batch=0,
        per_instance=3 * 2 * (HIDDEN * HIDDEN + HIDDEN * CLASSES),
        per_token=LAYERS * 3 * 2 * linear,
        per_pair=LAYERS * 3 * 2 * 2 * HIDDEN,
    )


def test_deberta_by_hand():
    # Keys and queries of 2 * BUCKETS relative positions once per batch; their scores for every token.
    bert = count_of("bert")
    assert count_of("deberta-v2") == FlopCount(
        per_batch=LAYERS * 3 * 2 * 2 * (2 * BUCKETS) * HIDDEN * HIDDEN,
        per_instance=bert.per_instance,
        per_token=bert.per_token + LAYERS * 3 * 2 * 2 * (2 * BUCKETS) * HIDDEN,
        per_pair=bert.per_pair,
    )


def test_a_forward_pass_is_a_third_of_a_step():
    forward, step = count_flops(configuration("deberta-v2"), LONGEST)
    assert step == FlopCount(*(3 * part for part in forward))


def test_the_count_does_not_depend_on_dropout():
    config = configuration("bert", hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.0)
    assert count_flops(config, LONGEST).step == count_of("bert")


def test_the_count_leaves_generators_and_configuration_alone():
    config = configuration("bert")
    before, state = config.to_dict(), torch.get_rng_state()
    implementation = config._attn_implementation
    count_flops(config, LONGEST)
    assert torch.equal(torch.get_rng_state(), state)
    assert (config.to_dict(), config._attn_implementation) == (before, implementation)


@pytest.mark.parametrize("larger", [{"hidden_size": 64}, {"intermediate_size": 64}, {"num_hidden_layers": 3}])
def test_a_larger_encoder_takes_more(larger):
    small, large = count_of("bert"), count_flops(configuration("bert", **larger), LONGEST).step
    assert large.per_token > small.per_token
    assert all(more >= less for more, less in zip(large, small, strict=True))


# Pools tokens between its blocks, so that the form does not hold.
FUNNEL = AutoConfig.for_model("funnel", d_model=32, d_inner=64, n_head=4, d_head=8, block_sizes=[1, 1])


@pytest.mark.parametrize(
    "config",
    [
        FUNNEL,
        # Projects as many relative positions as its inputs have tokens.
        configuration("deberta", relative_attention=True, pos_att_type=["p2c", "c2p"]),
        # Refuses embeddings in place of ids.
        AutoConfig.for_model("bart", d_model=32, encoder_layers=1, decoder_layers=1),
    ],
    ids=lambda config: config.model_type,
)
def test_what_cannot_be_measured_has_no_count(config):
    assert count_flops(config, LONGEST) is None


def test_instances_beyond_the_positions_have_no_count():
    assert count_flops(configuration("bert"), 65) is None


@given(st.lists(st.lists(st.integers(1, LONGEST), min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_workload_sums_its_batches(batches):
    count = FlopCount(7, 5, 3, 2)
    workload = Workload()
    for lengths in batches:
        workload.add(np.array(lengths))
    real = sum(7 + sum(5 + 3 * length + 2 * length**2 for length in lengths) for lengths in batches)
    assert count.of(workload.batches, workload.features, workload.tokens, workload.pairs) == real
    assert workload.longest == max(map(max, batches))


def test_flops_of_a_workload():
    config = configuration("deberta-v2")
    workload = Workload()
    workload.add(np.array([9, 13]))
    # The projections of relative positions are in both counts, and once in the batch's.
    count = count_of("deberta-v2")
    assert workload.flops(count) == counted(config, 1, 9) + counted(config, 1, 13) - count.per_batch
    assert workload.flops(None) is None


def test_work_of_several_passes():
    passes = Workload()
    for _ in range(3):
        passes.add(np.array([9, 13]))
        passes.add(np.array([4]))
    once = Workload()
    once.add(np.array([9, 13]))
    once.add(np.array([4]))
    assert once.times(3) == passes
    assert once.times(3).flops(count_of("bert")) == 3 * once.flops(count_of("bert"))
    assert Workload().flops(None) == 0


def test_a_tagger_pays_its_head_for_every_token_and_a_choice_is_a_class():
    config = configuration("bert")
    plain, tagger, choice = (
        count_flops(config, LONGEST, head).step for head in (HEAD, "TokenClassification", "MultipleChoice")
    )
    # Forward and the two products of the backward pass, two operations each.
    assert tagger.per_token - plain.per_token == 6 * HIDDEN * CLASSES
    assert tagger.per_instance == 0
    assert plain.per_instance - choice.per_instance == 6 * HIDDEN * (CLASSES - 1)


def test_answers_are_sought_by_two_numbers_for_every_token():
    config = configuration("bert")
    plain = count_flops(config, LONGEST, HEAD).step
    config.num_labels = 2
    answerer = count_flops(config, LONGEST, "QuestionAnswering").step
    assert answerer.per_token - plain.per_token == 6 * HIDDEN * 2
