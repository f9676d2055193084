"""What only a GPU can show: bfloat16 learns, a training goes on from its state, jobs get GPUs of their own.

Run with `pytest -m gpu tests/gpu`.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from small import ARCHITECTURE, RECIPE, RUNTIME, demo_dataset
from test_several_processes import together

from ftft.cartography.supervision import Supervision
from ftft.execution import devices
from ftft.execution.devices import VISIBLE
from ftft.execution.identity import resolve_execution
from ftft.execution.meter import Meter, find_counters
from ftft.execution.progress import Progress
from ftft.execution.scratch import Scratch
from ftft.models.encoders import prepare_encoder
from ftft.models.inputs import model_inputs
from ftft.tasks.base import kind_of
from ftft.training.feed import Development, TrainingData
from ftft.training.loop import train
from ftft.training.step import TrainingStep

pytestmark = pytest.mark.gpu

LORA = {"kind": "lora", "rank": 4, "alpha": 16.0, "dropout": 0.0}
GPU = {**RUNTIME, "device": "auto", "require_gpu": True}
SOURCE = Path(devices.__file__).parents[2]


class Killed(BaseException):
    """The end of a training in the midst of a step."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    spec = {
        "source": "scratch",
        "max_length": RECIPE["max_length"],
        "architecture": {**ARCHITECTURE, "hidden_size": 64, "intermediate_size": 128},
        "tokenizer": {"kind": "wordpiece", "vocab_size": 300},
    }
    prepare_encoder(spec, demo_dataset("train", 64), folder)
    return folder


@pytest.fixture(scope="module")
def data(encoder):
    kind = kind_of("classification")

    def examples(name, rows):
        dataset = demo_dataset(name, rows)
        return kind.tokenize(dataset, encoder / "tokenizer.json", RECIPE["max_length"]), dataset

    development = {"validation": Development(*examples("validation", 60))}
    return TrainingData(kind, *examples("train", 64), Supervision.of(np.arange(64)), development)


@pytest.fixture
def fine_tune(encoder, data):
    def run(scratch=None, runtime=GPU, adapter=None, **recipe):
        AcceleratorState._reset_state(reset_partial_state=True)
        spec = {
            "recipe": {**RECIPE, "learning_rate": 2.0e-3, **recipe},
            "metrics": ["accuracy", "macro_f1"],
            "early_stopping": None,
            "adapter": adapter,
        }
        return train(spec, str(encoder), data, 0, runtime, Progress("test", []), scratch)

    return run


def losses(result, labels):
    """The mean loss of every epoch, [epochs]."""
    logits = torch.from_numpy(np.array(result.epochs)).float()
    return [torch.nn.functional.cross_entropy(epoch, torch.from_numpy(labels)).item() for epoch in logits]


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_learns(fine_tune, data, fast):
    result = fine_tune(epochs=30.0, precision="bfloat16", runtime={**GPU, "fast_models": fast})
    course = losses(result, data.dataset.labels)
    assert course[-1] < 0.7 * course[0]
    assert all(parameter.dtype == torch.float32 for parameter in result.model.parameters())
    assert all(parameter.device.type == "cuda" for parameter in result.model.parameters())


@pytest.mark.parametrize("fast", [True, False])
def test_float32_on_a_gpu_is_that_of_a_cpu_to_rounding(fine_tune, encoder, fast):
    runtime = {"fast_models": fast}
    plain = {"epochs": 1.0, "precision": "float32", "learning_rate": 0.0}
    # Dropout draws other numbers there.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Dropout, "forward", lambda self, inputs: inputs)
        on_gpu = fine_tune(**plain, runtime={**GPU, **runtime})
        on_cpu = fine_tune(**plain, runtime={**RUNTIME, **runtime})
    gpu, cpu = on_gpu.trajectory[-1]["value"], on_cpu.trajectory[-1]["value"]
    assert abs(gpu - cpu) <= 0.05


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_training_goes_on_to_the_same_bits(fine_tune, tmp_path, monkeypatch, precision):
    def scratch():
        runtime = {"scratch": str(tmp_path), "state_minutes": 0.0, "keep_states": "none"}
        return Scratch({"run": 0}, resolve_execution(precision, GPU), "full", runtime)

    untouched = fine_tune(precision=precision)
    original = TrainingStep.__call__

    def call(self, *arguments):
        if self.number == 9:
            raise Killed
        return original(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(TrainingStep, "__call__", call)
        fine_tune(precision=precision, scratch=scratch())
    assert [path.name.split(".")[1] for path in tmp_path.rglob("*.safetensors")] == [
        f"cuda-{precision}-own-1"
    ]
    resumed = fine_tune(precision=precision, scratch=scratch())
    np.testing.assert_array_equal(np.array(resumed.epochs), np.array(untouched.epochs))
    weights = resumed.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in untouched.model.state_dict().items())


@pytest.mark.parametrize("adapter", [None, LORA])
def test_layers_that_are_computed_again_give_the_same_training(fine_tune, adapter):
    plain = {"precision": "float32", "epochs": 1.0, "adapter": adapter}
    kept, again = (
        fine_tune(**plain, runtime={**GPU, "gradient_checkpointing": choice}) for choice in (False, True)
    )
    np.testing.assert_allclose(again.epochs, kept.epochs, rtol=1e-3, atol=1e-3)


def test_an_adapter_learns_in_bfloat16(fine_tune, data):
    result = fine_tune(epochs=30.0, precision="bfloat16", adapter=LORA, learning_rate=1.0e-2)
    course = losses(result, data.dataset.labels)
    assert course[-1] < 0.85 * course[0]
    trained = [parameter for parameter in result.model.parameters() if parameter.requires_grad]
    assert all(parameter.dtype == torch.float32 and parameter.is_cuda for parameter in trained)


def of_one_of_several(group, encoder, data, sharding="none"):
    """The outputs of every epoch of a training without dropout, in one of its processes."""
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.nn.Dropout.forward = lambda self, inputs: inputs
    spec = {
        "recipe": {**RECIPE, "epochs": 1.0, "precision": "float32", "learning_rate": 1.0e-4},
        "metrics": ["accuracy"],
        "early_stopping": None,
    }
    runtime = {**GPU, "fast_models": False, "sharding": sharding}
    result = train(spec, str(encoder), data, 0, runtime, Progress("test", []), None, None, group)
    return np.array(result.epochs)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_two_gpus_record_what_one_does(encoder, data, sharding):
    (one,) = together(1, of_one_of_several, encoder=encoder, data=data)
    two = together(2, of_one_of_several, encoder=encoder, data=data, sharding=sharding)
    np.testing.assert_array_equal(two[0], two[1])
    np.testing.assert_allclose(two[0], one, rtol=0, atol=1e-3)


def test_what_a_training_runs_on_is_stated(monkeypatch):
    execution = resolve_execution("auto", GPU)
    assert execution.device_type == "cuda" and execution.device == torch.cuda.get_device_name()
    assert execution.precision == ("bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float32")
    assert resolve_execution("auto", {**GPU, "device": "cpu", "require_gpu": False}).device_type == "cpu"
    monkeypatch.setenv("LOCAL_RANK", str(torch.cuda.device_count()))
    with pytest.raises(Exception, match="fewer GPUs than processes"):
        resolve_execution("auto", GPU)


def test_inputs_come_by_pinned_copies(data, fine_tune, monkeypatch):
    pinned = []
    original = torch.Tensor.pin_memory

    def pin_memory(self, *arguments):
        result = original(self, *arguments)
        pinned.append(result.is_pinned())
        return result

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    config = fine_tune(epochs=0.5).model.config
    pinned.clear()
    inputs = model_inputs(data.tokens, np.arange(8), config, torch.device("cuda"))
    assert pinned and all(pinned)
    torch.cuda.synchronize()
    expected = model_inputs(data.tokens, np.arange(8), config, torch.device("cpu"))
    ids = expected["input_ids"]
    assert torch.equal(inputs["input_ids"][:, : ids.shape[1]].cpu(), ids)


HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ftft.execution import devices
devices.LOCKS = Path(sys.argv[2])
held = devices.lease(1)
import torch
print(held, torch.cuda.device_count(), torch.cuda.get_device_properties(0).uuid, flush=True)
sys.stdin.read()
"""


def test_the_machine_shows_as_many_devices_as_torch_finds(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    code = "import torch; print(torch.cuda.device_count())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(devices.visible_devices()) == int(found.stdout)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_jobs_get_different_gpus(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != VISIBLE}
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, SOURCE, tmp_path],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    try:
        answers = [job.stdout.readline().split() for job in jobs]
    finally:
        for job in jobs:
            job.communicate()
    assert [answer[1] for answer in answers] == ["1", "1"]
    assert answers[0][2] != answers[1][2]


def test_two_jobs_share_the_only_gpu(tmp_path):
    name = os.environ.get(VISIBLE, "0").split(",")[0]
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, SOURCE, tmp_path],
            env={**os.environ, VISIBLE: name},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    try:
        answers = [job.stdout.readline().split()[1] for job in jobs]
    finally:
        for job in jobs:
            job.communicate()
    assert answers == ["1", "1"]


def test_energy_grows_with_work():
    pytest.importorskip("pynvml")
    device = torch.device("cuda")
    if not find_counters(device):
        pytest.skip("this GPU reports no energy")
    meter = Meter(device)
    matrix = torch.randn(4096, 4096, device=device)
    for _ in range(200):
        matrix = matrix @ matrix / 64
    torch.cuda.synchronize()
    meter.stop()
    assert 0 < meter.joules < 2000 * meter.seconds + 100
