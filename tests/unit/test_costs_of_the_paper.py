"""The cost column reproduces every figure that the paper prints (Tables 1, 2, 3, 5 and 6)."""

import pytest

from ftft.results.costs import method_cost

# Table 3: millions of parameters, cost.
MODELS = {
    "DeBERTaV3-Small": (44, 14.47),
    "DeBERTaV3-Base": (86, 28.29),
    "DeBERTaV3-Large": (304, 100.00),
    "ELECTRA-Small": (14, 4.61),
    "ELECTRA-Base": (110, 36.18),
    "ELECTRA-Large": (335, 110.20),
    "BERT-Large": (345, 113.49),
    "RoBERTa-Large": (355, 116.78),
    "TinyBERT": (4.4, 1.45),
}
V3_LARGE, ELECTRA_LARGE, V3_BASE = "DeBERTaV3-Large", "ELECTRA-Large", "DeBERTaV3-Base"

# Tables 1 and 5: main model, reference model, cost.
TRANSFERS = [
    (V3_LARGE, "DeBERTaV3-Large", 200.00),
    (V3_LARGE, "DeBERTaV3-Small", 114.47),
    (V3_LARGE, "DeBERTaV3-Base", 128.29),
    (V3_LARGE, "ELECTRA-Small", 104.61),
    (V3_LARGE, "ELECTRA-Base", 136.18),
    (V3_LARGE, "RoBERTa-Large", 216.78),
    (V3_LARGE, "BERT-Large", 213.49),
    # Tables 2 and 6.
    (V3_LARGE, "TinyBERT", 101.45),
    (ELECTRA_LARGE, "TinyBERT", 111.64),
    (ELECTRA_LARGE, "ELECTRA-Small", 114.80),
    (ELECTRA_LARGE, "ELECTRA-Base", 146.38),
    (ELECTRA_LARGE, "DeBERTaV3-Small", 124.67),
    (ELECTRA_LARGE, "DeBERTaV3-Base", 138.49),
    (ELECTRA_LARGE, "BERT-Large", 223.68),
    (ELECTRA_LARGE, "RoBERTa-Large", 226.97),
    (V3_BASE, "TinyBERT", 29.74),
    (V3_BASE, "DeBERTaV3-Small", 42.76),
]
# Checkpoints consumed by each of four seeds, summed; planned checkpoints: 12 (Table 1), 9 (Table 5).
STOPPED = [
    (None, 32, 12, 66.67),
    ("DeBERTaV3-Small", 18, 12, 51.97),
    ("DeBERTaV3-Base", 22, 12, 74.12),
    ("ELECTRA-Base", 21, 12, 79.93),
    (None, 25, 9, 69.44),
    ("DeBERTaV3-Small", 23, 9, 78.36),
    ("DeBERTaV3-Base", 28, 9, 106.07),
    ("ELECTRA-Base", 26, 9, 108.40),
]


def millions(model):
    return MODELS[model][0] if model else 0.0


def printed(value):
    return f"{value:.2f}"


@pytest.mark.parametrize("model", MODELS)
def test_erm(model):
    parameters, cost = MODELS[model]
    assert printed(method_cost(parameters, millions(V3_LARGE))) == printed(cost)


@pytest.mark.parametrize(("main", "reference", "cost"), TRANSFERS)
def test_data_map_transfers(main, reference, cost):
    computed = method_cost(millions(main), millions(V3_LARGE), reference=millions(reference))
    assert printed(computed) == printed(cost)


@pytest.mark.parametrize(("reference", "consumed", "planned", "cost"), STOPPED)
def test_runs_stopped_early(reference, consumed, planned, cost):
    share = consumed / 4 / planned
    computed = method_cost(304, 304, share, reference=millions(reference))
    assert printed(computed) == printed(cost)
