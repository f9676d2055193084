"""Amendments of Snakemake's graph of jobs that the contract needs; Snakemake has no hooks for them.

Files that are stale are made again where a target needs them; --forcerun would make them targets. A job
behind an ancient input is still run for reasons of its own. A failure that another try would not change is
not retried. Trainings that are repeated because their models were not kept are told of before they start.
"""

import os
from base64 import urlsafe_b64encode
from pathlib import Path

import snakemake.workflow
from snakemake.dag import DAG
from snakemake.jobs import Job
from snakemake.logging import logger

from .contract import Inventory
from .job import explained

SHOWN = 3
RECORDS = Path(".snakemake") / "metadata"


def hold_to(inventory: Inventory) -> None:
    """Let this call of Snakemake make again what is stale, and say what other code has made."""
    _amend(frozenset(inventory.stale))
    unknown = {path: reason for path, reason in inventory.stale.items() if _record(path) is None}
    if unknown:
        some = [f"{path} ({reason})" for path, reason in list(unknown.items())[:SHOWN]]
        logger.warning(
            f"{len(unknown)} file(s) of results are not what this configuration asks for, and are made again"
            f" where they are wanted: {', '.join(some)}{', ...' if len(unknown) > SHOWN else ''}"
        )
    accepted = [path for path, code in inventory.other_code.items() if _accepts(path, code)]
    if accepted:
        logger.warning(
            f"{len(accepted)} file(s) of results were made by other code at the same settings, and"
            f" Snakemake's records accept them: {accepted[0]} for one. To make them again, delete them."
        )


def prefix_of(workflow) -> str:
    """What a Snakemake module puts before the paths of the workflow's files."""
    modifier = getattr(workflow.modifier.path_modifier, "prefix", None)
    return modifier or ""


def _accepts(path: str, code: str) -> bool:
    """Whether Snakemake's records know nothing of a file, or take it as made by `code`."""
    record = _record(path)
    return record is None or code in record


def _record(path: str) -> str | None:
    """What Snakemake has noted when it made a file."""
    try:
        return (RECORDS / urlsafe_b64encode(path.encode()).decode()).read_text(encoding="utf-8")
    except OSError:
        return None


def _amend(stale: frozenset[str]) -> None:
    class AmendedDAG(DAG):
        """Snakemake's graph, which also forces stale files and looks behind ancient ones."""

        _masks = False

        def __init__(self, *arguments, forcefiles=None, **options):
            super().__init__(*arguments, forcefiles={*(forcefiles or ()), *stale}, **options)

        async def init(self, *arguments, **options):
            await super().init(*arguments, **options)
            _tell_of_models_not_kept(self)

        async def update_needrun(self, *arguments, **options):
            self._masks = True
            try:
                return await super().update_needrun(*arguments, **options)
            finally:
                self._masks = False

        def bfs(self, direction, *jobs, **options):
            # Snakemake asks in this way which jobs will run because another does; it forgets that ancient
            # files hold them back, and then never asks whether they should run for other reasons.
            if self._masks and direction is self.depending:
                direction = _Roused(direction)
            return super().bfs(direction, *jobs, **options)

    snakemake.workflow.DAG = AmendedDAG
    Job.restart_times = property(_restart_times)


def _tell_of_models_not_kept(dag: DAG) -> None:
    again = [job for job in dag.needrun_jobs() if _lacks_what_was_not_kept(dag.reason(job), job)]
    if again:
        logger.warning(
            f"{len(again)} training(s) are repeated: their models are needed again, and runtime.keep_models "
            f"did not keep them. One of them is {again[0].output.ledger}."
        )


def _lacks_what_was_not_kept(reason, job: Job) -> bool:
    lacking = set(reason.missing_output)
    return bool(lacking) and all(file.is_temp for file in lacking) and any(map(os.path.exists, job.output))


class _Roused:
    """By job, the jobs that must run when it does."""

    def __init__(self, depending):
        self._depending = depending

    def __getitem__(self, job):
        found = self._depending[job].items()
        return {other: files for other, files in found if not all(file.is_ancient for file in files)}


def _restart_times(job: Job) -> int:
    return 0 if any(explained(log) for log in job.log) else job.rule.restart_times
