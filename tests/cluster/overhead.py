"""What a scheduler adds to the tiny Table 1; `make cluster-overhead` runs it."""

import re
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pandas as pd
import yaml
from calls import Call, Workflow
from slurm import Slurm

ROOT = Path(__file__).parents[2]
TABLE = "results/tables/table1.csv"
PROFILE = ("--profile", "profiles/slurm")
SOON = ("--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "5")
COLD = "cold.yaml"
WAYS = {
    "local, 1 core": (0, ("--cores", "1")),
    "local, 1 core, every job started cold": (
        0,
        ("--cores", "1", "--configfile", "config/config.yaml", COLD),
    ),
    "local, 2 cores": (0, ("--cores", "2")),
    "SLURM, one node, the profile as it is": (1, PROFILE),
    "SLURM, one node, looked after every 5 s": (1, (*PROFILE, *SOON)),
    "SLURM, two nodes, looked after every 5 s": (2, (*PROFILE, *SOON)),
}
STAMP = "%a %b %d %H:%M:%S %Y"
SUBMITTED = re.compile(r"Job (\d+) has been submitted with SLURM jobid (\d+)")
FINISHED = re.compile(r"\[(.+?)\]\nFinished jobid: (\d+) ")


def main() -> None:
    """Print seconds and jobs of each way, and what the seconds of its SLURM jobs went into."""
    for name, (nodes, options) in WAYS.items():
        with tempfile.TemporaryDirectory(prefix="ftft-overhead-") as folder:
            print(f"{name}: {measure(Path(folder), nodes, options)}", flush=True)


def measure(folder: Path, nodes: int, options: tuple[str, ...]) -> str:
    """Run the table once and say how long it took."""
    config = yaml.safe_load((ROOT / "tests" / "config" / "tiny.yaml").read_text())
    config["runtime"]["device"] = "auto" if nodes else "cpu"
    workflow = Workflow(ROOT, folder, config)
    (folder / COLD).write_text("runtime: {warm_start: false}\n")
    if not nodes:
        return f"{seconds(Call(workflow, *options, '--', TABLE)):.0f} s"
    with Slurm(nodes) as slurm:
        taken = seconds(Call(workflow, *options, "--", TABLE, environment=slurm.environment))
        jobs = {fields["JobId"]: fields for fields in slurm.book()}
    return f"{taken:.0f} s; {parts(workflow, jobs)}"


def seconds(call: Call) -> float:
    """Wall seconds of a call that succeeds."""
    with call:
        started = time.monotonic()
        call.succeeds(seconds=900)
        return time.monotonic() - started


def parts(workflow, jobs: dict[str, dict[str, str]]) -> str:
    """Means over the jobs: until they start, their run less its script, the script, until it is noticed."""
    log = (workflow.folder / "call.log").read_text()
    finished = {job: datetime.strptime(stamp, STAMP) for stamp, job in FINISHED.findall(log)}
    scripts = [
        pd.read_csv(path, sep="\t")["s"].sum()
        for path in (workflow.folder / "results" / "benchmarks").rglob("*.tsv")
    ]
    rows = []
    for local, number in SUBMITTED.findall(log):
        submit, start, end = (
            datetime.fromisoformat(jobs[number][f"{name}Time"]) for name in ("Submit", "Start", "End")
        )
        rows.append((start - submit, end - start, finished[local] - end))
    queued, ran, noticed = (
        sum(part.total_seconds() for part in column) / len(rows) for column in zip(*rows, strict=True)
    )
    script = sum(scripts) / len(rows)
    return (
        f"{len(rows)} SLURM jobs, on average {queued:.1f} s queued, {ran:.1f} s run ({script:.1f} s of them "
        f"its script), {noticed:.1f} s until it was noticed"
    )


if __name__ == "__main__":
    sys.exit(main())
