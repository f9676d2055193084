"""The call of snakemake that a job belongs to: what its environment says, and whether it still lives."""

import os
import platform

from ..processes import has_ended

# The machine and the process of the call of snakemake.
ORCHESTRATOR = "FTFT_ORCHESTRATOR"
# Set where the caller of snakemake draws the bars of all trainings.
BARS = "FTFT_BARS"


def this_process() -> str:
    """The value of `ORCHESTRATOR` that names this process."""
    return f"{platform.node()} {os.getpid()}"


def orphaned() -> bool:
    """Whether the snakemake that started this job ran on this machine and is gone."""
    host, _, process = os.environ.get(ORCHESTRATOR, "").partition(" ")
    return host == platform.node() and has_ended(process)
