"""The processes of one training: their devices, what each takes of a batch, what they agree on."""

import os
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import distributed

from ..errors import TrainingError
from ..models.precision import supports_bfloat16

# A process that is lost without a sign, with its machine, ends the training after this time.
TIMEOUT = timedelta(minutes=30)
FOREVER = timedelta(days=365)


@dataclass(frozen=True)
class Team:
    """The `size` processes of one training, as process `rank` of them sees it.

    All of them call the same methods in the same order. One alone sends nothing and waits for nobody.
    """

    rank: int = 0
    size: int = 1

    def meet(self, backend: str) -> None:
        """Form the process group at MASTER_ADDR and MASTER_PORT.

        Process 0 may come late, for it waits until nobody else trains the run; the others let it.
        """
        store = distributed.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            self.size,
            is_master=self.rank == 0,
            timeout=TIMEOUT if self.rank == 0 else FOREVER,
        )
        distributed.init_process_group(
            backend, store=store, rank=self.rank, world_size=self.size, timeout=TIMEOUT
        )

    def leave(self) -> None:
        """Leave the process group."""
        if self.size > 1:
            distributed.destroy_process_group()

    def require(self, processes: int, source: str) -> None:
        """Raise TrainingError unless `source` knows of as many processes as this training was promised."""
        if processes != self.size:
            raise TrainingError(
                "this training does not run in the processes that it was promised",
                got=f"{processes}, by {source}",
                expected=self.size,
                fix="set runtime.processes; start nothing by accelerate launch or torchrun",
            )

    def seed(self, seed: int) -> int:
        """A seed of this process's own, for what must differ between them: dropout."""
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    def share(self, count: int) -> slice:
        """Which of `count` things are this process's; those of the last processes may be fewer, or none."""
        each = self._each(count)
        return slice(min(self.rank * each, count), min((self.rank + 1) * each, count))

    def gather(self, values: torch.Tensor, count: int) -> torch.Tensor:
        """All `count` rows, in order, where every process has the rows [share, ...] of its share."""
        if self.size == 1:
            return values
        each = self._each(count)
        # Collectives take blocks of one size: what pads them lies behind the last row, and is cut off.
        block = values.new_zeros((each, *values.shape[1:]))
        block[: len(values)] = values
        blocks = values.new_empty((self.size * each, *values.shape[1:]))
        distributed.all_gather_single(blocks, block)
        return blocks[:count]

    def collect(self, value: object) -> list:
        """Every process's `value`, by rank."""
        if self.size == 1:
            return [value]
        values: list = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in some process."""
        if self.size == 1:
            return list(flags)
        votes = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(votes, distributed.ReduceOp.MAX)
        return votes.bool().tolist()

    def wait(self) -> None:
        """Go on when all have come here."""
        self.any(False)

    def _each(self, count: int) -> int:
        return -(-count // self.size)


ALONE = Team()


def make_accelerator(
    precision: str, runtime: dict, team: Team = ALONE, tracking: dict | None = None
) -> Accelerator:
    """The device and its precision: a visible GPU unless `runtime` says cpu, another for each of a `team`,
    whose processes meet here. `tracking` is what an Accelerator takes to know of experiment trackers.

    bfloat16 comes from autocast where the device has it; weights stay float32.
    Raises TrainingError where a GPU is required and none is visible, where GPUs are too few, and where there
    are other processes than the team's.
    """
    use_gpu = runtime["device"] == "auto" and torch.cuda.is_available()
    if runtime["require_gpu"] and not use_gpu:
        raise TrainingError(
            "this run needs a GPU and finds none",
            got=f"runtime.device: {runtime['device']}, {torch.cuda.device_count()} CUDA device(s) visible",
            fix="run it where a GPU is visible, or set runtime.require_gpu: false",
        )
    team.require(int(os.environ.get("WORLD_SIZE", 1)), "WORLD_SIZE")
    device = _own_gpu() if use_gpu else torch.device("cpu")
    if team.size > 1:
        team.meet("cpu:gloo,cuda:nccl" if use_gpu else "gloo")
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(device) else "float32"
    accelerator = Accelerator(
        cpu=not use_gpu,
        mixed_precision="bf16" if precision == "bfloat16" else "no",
        # With unused parameters to find, gradients are never bucketed anew after a first step: the order of
        # the sums, and so their last bits, are the same where a training goes on from its state.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        **(tracking or {}),
    )
    team.require(accelerator.num_processes, "accelerate")
    return accelerator


def _own_gpu() -> torch.device:
    number, visible = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= visible:
        raise TrainingError(
            "this training has fewer GPUs than processes on a machine",
            got=f"{visible} CUDA device(s) visible to process {number}, counted from 0",
            fix="ask for as many GPUs as runtime.processes, or for fewer processes",
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
