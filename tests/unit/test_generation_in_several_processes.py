"""Generation in several processes: every response is recorded once an epoch, as by one."""

import random
from dataclasses import replace

import numpy as np
import pytest
from small import RECIPE
from test_encoder_decoder_generation import T5
from test_generation import GPT2, KIND, Packing, made, prepared
from test_several_processes import same, together, training

from ftft.artifacts import read_parquet
from ftft.cartography.dynamics import save_dynamics
from ftft.cartography.supervision import Supervision
from ftft.execution.processes import ProcessGroup
from ftft.tasks.prediction import encode
from ftft.training.feed import Development, TrainingData

# In batches of 8 the last batch of an epoch has 5, of which process 1 takes 2.
ROWS, EPOCHS = 21, 2


def start_of(architecture, folder):
    """What a training of rows of unlike lengths takes."""
    encoder = made(folder / "model", architecture)
    chance = random.Random(0)
    words = [" ".join(chance.choices(["one", "two"], k=chance.randint(1, 6))) for _ in range(ROWS)]
    dataset = prepared([f"say : {own}" for own in words], words)
    tokens = encode(KIND, dataset, encoder, RECIPE["max_length"], folder)
    development = {"validation": Development(tokens, dataset)}
    data = TrainingData(KIND, tokens, dataset, Supervision.of(np.arange(ROWS)), development)
    return {"encoder": encoder, "data": data, "epochs": float(EPOCHS), "metrics": KIND.metrics}


@pytest.mark.parametrize(
    ("architecture", "cases"),
    [(GPT2, [(KIND, None), (Packing(), None), (Packing(), 3)]), (T5, [(KIND, 3)])],
    ids=["gpt2", "t5"],
)
def test_two_processes_record_what_one_does(architecture, cases, tmp_path):
    start = start_of(architecture, tmp_path)
    alone = training(ProcessGroup(), **start)
    for kind, micro in cases:
        data = replace(start["data"], kind=kind)
        results = together(2, training, **{**start, "data": data}, micro=micro)
        assert same(*results)
        # Sums of up to 7 log-probabilities, after up to 5 steps of AdamW, which magnifies what is nearly 0.
        np.testing.assert_allclose(results[0]["epochs"], alone["epochs"], rtol=1e-3, atol=2e-3)
        for name in ("flops", "parameters"):
            assert results[0]["cost"][name] == alone["cost"][name]
        file = tmp_path / "dynamics.parquet"
        save_dynamics(file, KIND, list(results[0]["epochs"]), start["data"].dataset, {})
        table, _ = read_parquet(file)
        found = list(zip(table["epoch"].to_pylist(), table["row"].to_pylist(), strict=True))
        assert len(found) == len(set(found)) == EPOCHS * ROWS and {row for _, row in found} == {*range(ROWS)}
        assert table["p_true"].null_count == 0 and min(table["tokens"].to_pylist()) > 0


@pytest.mark.parametrize("architecture", [GPT2, T5], ids=["gpt2", "t5"])
def test_sharded_weights_that_modules_share_are_trained_alike_and_gone_on_from(architecture, tmp_path):
    """Embeddings and head of both models are one tensor."""
    start = start_of(architecture, tmp_path)
    alone = training(ProcessGroup(), **start)
    sharded = together(2, training, **start, sharding="fsdp2")
    assert same(*sharded)
    np.testing.assert_allclose(sharded[0]["epochs"], alone["epochs"], rtol=1e-3, atol=2e-3)
    for name, values in alone["weights"].items():
        np.testing.assert_allclose(sharded[0]["weights"][name], values, rtol=0, atol=2e-4, err_msg=name)
    ended = together(2, training, **start, sharding="fsdp2", scratch=tmp_path / "states", end_at=4)
    assert [str(error) for error in ended] == ["ended"] * 2
    resumed = together(2, training, **start, sharding="fsdp2", scratch=tmp_path / "states")
    assert all(same(result, sharded[0]) for result in resumed)
