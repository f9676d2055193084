"""What a training runs on: its ledger states it, and a saved state is named by what sets the bits."""

import os
from dataclasses import asdict, dataclass

import torch

from ..errors import TrainingError
from ..models.precision import LOW_WEIGHTS, supports_bfloat16


@dataclass(frozen=True)
class Execution:
    """How a training is run: `precision` is float32, bfloat16 or bfloat16_weights, `kernels` are `own` (this
    library's code for an architecture) or `stock` (that of transformers), `threads` are those of one process,
    `sharding` is `none` (every process has all weights) or `fsdp2`."""

    device_type: str
    device: str
    precision: str
    kernels: str
    processes: int
    threads: int
    sharding: str = "none"

    def ledger(self) -> dict:
        """All of it, for a run's ledger."""
        return asdict(self)

    def identity(self) -> dict:
        """What may change the result's last bits or more."""
        names = ("device_type", "precision", "kernels", "processes")
        identity = {name: getattr(self, name) for name in names}
        return identity if self.sharding == "none" else {**identity, "sharding": self.sharding}

    @property
    def name(self) -> str:
        """The identity as part of a file's name, for example cuda-bfloat16-own-2."""
        return "-".join(map(str, self.identity().values()))

    @property
    def low_weights(self) -> bool:
        """Whether the pretrained matrices are kept in bfloat16."""
        return self.precision == LOW_WEIGHTS

    @property
    def torch_device(self) -> torch.device:
        """The device of this process: with several GPUs the one of its local rank."""
        if self.device_type != "cuda":
            return torch.device(self.device_type)
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def resolve_execution(precision: str, runtime: dict, processes: int = 1) -> Execution:
    """What a training of a recipe's `precision` (auto, float32, bfloat16, bfloat16_weights) runs on in this
    process.

    It is a visible GPU unless `runtime` says cpu. Raises TrainingError where a GPU is required and none is
    visible, where a machine shows fewer GPUs than it has processes of this training, and for weights in
    bfloat16 in several processes.
    """
    if precision == LOW_WEIGHTS and processes > 1:
        raise TrainingError(
            "weights in bfloat16 with float32 masters are for trainings in one process",
            got=f"training.precision: {LOW_WEIGHTS}, and {processes} processes",
            expected="one process, or weights that all processes keep in float32",
            fix="set training.precision: bfloat16, with runtime.sharding: fsdp2 to save memory",
        )
    use_gpu = runtime["device"] == "auto" and torch.cuda.is_available()
    if runtime["require_gpu"] and not use_gpu:
        raise TrainingError(
            "this run needs a GPU and finds none",
            got=f"runtime.device: {runtime['device']}, {torch.cuda.device_count()} CUDA device(s) visible",
            fix="run it where a GPU is visible, or set runtime.require_gpu: false",
        )
    device = _own_gpu() if use_gpu else torch.device("cpu")
    sharding = runtime.get("sharding", "none") if processes > 1 else "none"
    # Our own code reads a layer's weights without calling the layer: they would not be gathered.
    # It takes weights of one precision.
    own = runtime["fast_models"] and sharding == "none" and precision != LOW_WEIGHTS
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(device) else "float32"
    return Execution(
        device_type=device.type,
        device=torch.cuda.get_device_name(device) if use_gpu else "cpu",
        precision=precision,
        kernels="own" if own else "stock",
        processes=processes,
        threads=torch.get_num_threads(),
        sharding=sharding,
    )


def _own_gpu() -> torch.device:
    number, visible = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= visible:
        raise TrainingError(
            "this training has fewer GPUs than processes on a machine",
            got=f"{visible} CUDA device(s) visible to process {number}, counted from 0",
            fix="ask for as many GPUs as runtime.processes, or for fewer processes",
        )
    return torch.device("cuda", number)
