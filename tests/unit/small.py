"""Small things to train on: a data set, an architecture, a specification."""

from dataclasses import replace

import numpy as np

from ftft.cartography.datamap import COORDINATES, DataMap
from ftft.cartography.dynamics import Dynamics
from ftft.cartography.scores import SCORES, UNTRAINED
from ftft.cartography.selection import SELECTORS, Pool, choose, scores_read
from ftft.data import demo
from ftft.data.dataset import Dataset
from ftft.tasks.base import kind_of

RUNTIME = {"device": "cpu", "require_gpu": False, "evaluation_batch_tokens": 512, "fast_models": True}
RECIPE = {
    "epochs": 3.0,
    "learning_rate": 5.0e-3,
    "batch_size": 8,
    "warmup_fraction": 0.1,
    "weight_decay": 0.0,
    "adam_epsilon": 1.0e-6,
    "max_grad_norm": 1.0,
    "max_length": 32,
    "precision": "float32",
    "batch_plan": "random",
    "checkpoints": 6,
}
ARCHITECTURE = {
    "model_type": "bert",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "max_position_embeddings": 32,
}


def demo_dataset(split: str, rows: int) -> Dataset:
    records = demo.generate(split, rows)
    texts = tuple([record[column] for record in records] for column in ("premise", "hypothesis"))
    labels = np.array([demo.LABELS.index(record["label"]) for record in records])
    return Dataset([record["uid"] for record in records], texts, labels, list(demo.LABELS))


def require_all_selectors(dynamics: Dynamics, dataset: Dataset) -> None:
    """Every selector that needs no logits, worst words or pass before training takes half of the instances,
    or what its mixture makes of these.
    """
    beyond = {"logits", "worst", *UNTRAINED}
    without = [name for name, score in SCORES.items() if not beyond & {*score.needs}]
    data_map = DataMap.of(dynamics, [name for name in without if name not in COORDINATES])
    assert data_map.confidence.min() >= 0 and data_map.variability.max() <= 0.5
    pool = replace(Pool.of(dataset, kind_of(dataset.kind), data_map, 0.5, 0, "exact"), dynamics=dynamics)
    fitting = [
        name
        for name, entry in SELECTORS.items()
        if {*scores_read(name, {})} <= {*without} and "logits" not in entry.signals
    ]
    assert {"ambiguous", "forgetting", "matched_random", "within_labels", "class_balanced"} <= {*fitting}
    for name in fitting:
        assert len(choose(name, pool, {})) >= len(dataset) // 2, name
