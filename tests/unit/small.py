"""Small things to train on: a data set, an architecture, a specification."""

import numpy as np

from ftft.data import demo
from ftft.data.dataset import Dataset

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
