"""The processes of one training: what each takes of a batch, what they agree on, and their accelerator."""

import os
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import distributed

from ..errors import TrainingError
from .identity import Execution

# A process that is lost without a sign, with its machine, ends the training after this time.
TIMEOUT = timedelta(minutes=30)
FOREVER = timedelta(days=365)


@dataclass(frozen=True)
class ProcessGroup:
    """The `size` processes of one training, as process `rank` of them sees it.

    All of them call the same methods in the same order. One alone sends nothing and waits for nobody.
    """

    rank: int = 0
    size: int = 1

    def meet(self, backend: str) -> None:
        """Form torch's process group at the place that torchrun or srun names in the environment.

        Process 0 may arrive late: it first waits for the run's lock. The others wait as long as it takes.
        """
        timeout = TIMEOUT if self.rank == 0 else FOREVER
        store, *_ = next(distributed.rendezvous("env://", self.rank, self.size, timeout=timeout))
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
                fix="set runtime.processes, and start snakemake by itself: it calls torchrun or srun",
            )

    def seed(self, seed: int) -> int:
        """A seed of this process's own, for what must differ between them: dropout."""
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    def share(self, count: int) -> slice:
        """Which of `count` things are this process's; those of the last processes may be fewer, or none."""
        return self.shares(count)[self.rank]

    def shares(self, count: int) -> list[slice]:
        """What `share` is in every process, by rank."""
        each = self._each(count)
        return [slice(min(rank * each, count), min((rank + 1) * each, count)) for rank in range(self.size)]

    def gather(self, values: torch.Tensor, count: int) -> torch.Tensor:
        """All `count` rows, in order, where every process has the rows [share, ...] of its share."""
        if self.size == 1:
            return values
        each = self._each(count)
        # Collectives take blocks of one size: what pads them lies behind the last row, and is cut off.
        block = values.new_zeros((each, *values.shape[1:]))
        block[: len(values)] = values
        blocks = [torch.empty_like(block) for _ in range(self.size)]
        distributed.all_gather(blocks, block)
        return torch.cat(blocks)[:count]

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


ALONE = ProcessGroup()


def make_accelerator(
    execution: Execution, group: ProcessGroup = ALONE, tracking: dict | None = None
) -> Accelerator:
    """The accelerator of a training on `execution`; the processes of a `group` meet here.

    bfloat16 comes from autocast, also where weights are kept in it. `tracking` is what an Accelerator takes
    to know of experiment trackers. Raises TrainingError where there are other processes than the group's.
    """
    use_gpu = execution.device_type == "cuda"
    group.require(int(os.environ.get("WORLD_SIZE", 1)), "WORLD_SIZE")
    if use_gpu:
        torch.cuda.set_device(execution.torch_device)
    if group.size > 1:
        group.meet("cpu:gloo,cuda:nccl" if use_gpu else "gloo")
    accelerator = Accelerator(
        cpu=not use_gpu,
        mixed_precision="no" if execution.precision == "float32" else "bf16",
        # With unused parameters to find, gradients are never bucketed anew after a first step: the order of
        # the sums, and so their last bits, are the same where a training goes on from its state.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        **(tracking or {}),
    )
    group.require(accelerator.num_processes, "accelerate")
    return accelerator
