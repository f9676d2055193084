"""Fixtures of small trainings and configurations."""

import numpy as np
import pytest
import yaml
from accelerate.state import AcceleratorState
from small import ARCHITECTURE, RECIPE, RUNTIME, demo_dataset

from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset
from ftft.execution.progress import Progress
from ftft.models.encoders import prepare_encoder
from ftft.tasks.base import kind_of
from ftft.training.feed import Development, TrainingData
from ftft.training.loop import train


@pytest.fixture(autouse=True)
def no_accelerator_before():
    """A process has one state of accelerate, whose precision a test before may have set."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def tiny(root) -> dict:
    """The configuration of tests/config/tiny.yaml, to be edited."""
    return yaml.safe_load((root / "tests/config/tiny.yaml").read_text())


@pytest.fixture(scope="session")
def train_set() -> Dataset:
    # 33 rows in batches of 8: the last batch of an epoch holds one instance.
    return demo_dataset("train", 33)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory, train_set):
    folder = tmp_path_factory.mktemp("encoder")
    spec = {
        "source": "scratch",
        "max_length": RECIPE["max_length"],
        "architecture": ARCHITECTURE,
        "tokenizer": {"kind": "wordpiece", "vocab_size": 300},
    }
    prepare_encoder(spec, train_set, folder)
    return folder


@pytest.fixture(scope="session")
def training_data(encoder, train_set) -> TrainingData:
    kind = kind_of("classification")

    def tokens(dataset):
        return kind.tokenize(dataset, encoder / "tokenizer.json", RECIPE["max_length"])

    held_out = {name: demo_dataset(name, 30) for name in ("validation", "r1_dev", "r3_dev")}
    return TrainingData(
        kind,
        tokens(train_set),
        train_set,
        Supervision.of(np.arange(len(train_set))),
        {name: Development(tokens(dataset), dataset) for name, dataset in held_out.items()},
    )


@pytest.fixture(scope="session")
def fine_tune(encoder, training_data):
    """Train the small encoder; keyword arguments change the recipe, the rest as `training.train`."""

    def run(data=training_data, seed=0, early_stopping=None, runtime=RUNTIME, scratch=None, **recipe):
        spec = {
            "recipe": {**RECIPE, **recipe},
            "metrics": ["accuracy", "macro_f1"],
            "early_stopping": early_stopping,
        }
        # A process of the workflow trains one model; accelerate keeps its precision for the process.
        AcceleratorState._reset_state(reset_partial_state=True)
        return train(spec, str(encoder), data, seed, runtime, Progress("test", []), scratch)

    return run
