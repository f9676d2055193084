"""Table 1 through a real SLURM: the same bytes as without one, whatever befalls its jobs."""

import csv
import json
from itertools import pairwise

import psutil
import pytest
from calls import Call, contents
from slurm import Slurm, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("has_slurm")]

TABLE = "results/tables/table1.csv"
RUN = "demo/small/all/full/seed0"
LEDGER = f"results/runs/{RUN}/ledger.json"
LOG = f"logs/train/{RUN}.log"
# `auto` asks SLURM for a GPU and, as CUDA finds none, trains on the CPU: the same bytes as `cpu`.
AUTO = {"device": "auto", "minutes": 1}
# A state after every step: any kill leaves one behind.
LONG = {"training": {"epochs": 40.0}, "runtime": {**AUTO, "state_minutes": 0}}
# The profile is for real runs: a test looks after its jobs sooner.
OPTIONS = (
    "--profile",
    "profiles/slurm",
    "--slurm-init-seconds-before-status-checks",
    "5",
    "--seconds-between-status-checks",
    "5",
)


def submit(workflow, slurm: Slurm, target: str) -> Call:
    return Call(workflow, *OPTIONS, "--", target, environment=slurm.environment)


@pytest.fixture(scope="module")
def local(another):
    """The table, made without a scheduler."""
    workflow = another()
    with Call(workflow, "--cores", "2", "--", TABLE) as call:
        call.succeeds(seconds=300)
    return workflow


@pytest.fixture(scope="module")
def long_run(another):
    """Artifacts of one longer training, made without a scheduler."""
    workflow = another(training=LONG["training"])
    with Call(workflow, "--cores", "1", "--", LEDGER) as call:
        call.succeeds(seconds=300)
    return contents(workflow)


def tables(workflow) -> list:
    """Table 1 in its three forms, less the one column that is measured: cost by seconds."""
    folder = workflow.folder / "results" / "tables"
    shown = [(folder / f"table1.{form}").read_bytes() for form in ("md", "tex")]
    rows = csv.DictReader((folder / "table1.csv").read_text().splitlines())
    return [*shown, *({**row, "cost_by_seconds": None} for row in rows)]


def test_table1_on_two_nodes_equals_the_local_one(another, local):
    workflow = another(runtime=AUTO)
    with Slurm(nodes=2) as slurm:
        with submit(workflow, slurm, TABLE) as call:
            call.succeeds(seconds=600)
        jobs = slurm.jobs()
    assert contents(workflow) == contents(local)
    assert tables(workflow) == tables(local)
    made = [
        *workflow.folder.glob("results/**/ledger.json"),
        *workflow.folder.glob("results/evaluations/**/*.parquet"),
    ]
    assert [job.state for job in jobs] == ["COMPLETED"] * len(made)
    assert {(job.gpus, job.memory_mb, job.minutes) for job in jobs} == {(1, 1000, 1)}
    # One job at a time on each node's GPU, yet two at once on both.
    for node in slurm.nodes:
        mine = sorted((job for job in jobs if job.node == node), key=lambda job: job.start)
        assert mine and all(before.end <= after.start for before, after in pairwise(mine))
    assert any(a.start < b.end and b.start < a.end for a, b in pairwise(jobs))


def test_the_recipe_for_sites_that_know_gres_only(another, long_run):
    workflow = another(**LONG)
    profile = workflow.folder / "profiles" / "slurm" / "profile.yaml"
    recipe = [line.removeprefix("# ") for line in profile.read_text().splitlines() if "gres: " in line]
    with open(profile, "a", encoding="utf-8") as file:
        file.write("\n".join(["set-resources:", *recipe, ""]))
    with Slurm(nodes=1) as slurm:
        with submit(workflow, slurm, LEDGER) as call:
            call.succeeds(seconds=300)
        (job,) = slurm.book()
    assert job["TresPerNode"] == "gres:gpu:1" and "TresPerJob" not in job
    assert contents(workflow) == long_run


def training(workflow) -> psutil.Process:
    """The process that trains, as soon as it has left a state."""
    states = workflow.folder / "results" / "scratch" / "states"

    def holder():
        for lock in states.glob("*/*/lock"):
            if any(lock.parent.glob("*.safetensors")):
                return json.loads(lock.read_text())["pid"]

    return psutil.Process(wait_for(holder, 120, "training state"))


def cancelled(workflow, slurm: Slurm) -> str:
    training(workflow)
    slurm.run("scancel", *slurm.running_jobs())
    return "CANCELLED"


def over_its_time(workflow, slurm: Slurm) -> str:
    training(workflow).suspend()
    return "TIMEOUT"


def on_a_dead_node(workflow, slurm: Slurm) -> str:
    training(workflow)
    slurm.crash("n1")
    return "NODE_FAIL"


@pytest.mark.parametrize("fault", [cancelled, over_its_time, on_a_dead_node])
def test_a_job_is_repeated_from_its_state(another, long_run, fault):
    workflow = another(**LONG)
    with Slurm(nodes=2) as slurm, submit(workflow, slurm, LEDGER) as call:
        state = fault(workflow, slurm)
        call.succeeds(seconds=400)
        jobs = slurm.jobs()
    assert [(job.state, job.memory_mb, job.minutes) for job in jobs] == [
        (state, 1000, 1),
        ("COMPLETED", 2000, 2),
    ]
    assert "found the training state" in (workflow.folder / LOG).read_text()
    assert contents(workflow) == long_run


def test_one_training_on_two_nodes_is_cancelled_and_repeated(another):
    local = another(training=LONG["training"], runtime={"processes": 2})
    with Call(local, "--cores", "2", "--", LEDGER) as call:
        call.succeeds(seconds=300)
    workflow = another(training=LONG["training"], runtime={**LONG["runtime"], "processes": 2})
    guide = (local.root / "docs" / "several-gpus.md").read_text()
    with open(workflow.folder / "profiles" / "slurm" / "profile.yaml", "a", encoding="utf-8") as file:
        file.write(guide.partition("```yaml\n")[2].partition("```")[0])
    with Slurm(nodes=2) as slurm:
        with submit(workflow, slurm, LEDGER) as call:
            state = cancelled(workflow, slurm)
            call.succeeds(seconds=400)
        jobs = slurm.book()
    assert [job["JobState"] for job in jobs] == [state, "COMPLETED"]
    for job in jobs:
        assert (job["NumNodes"], job["NodeList"], job["TresPerNode"]) == ("2", "n[1-2]", "gres:gpu:1")
    assert "found the training state" in (workflow.folder / LOG).read_text()
    assert contents(workflow) == contents(local)
    assert json.loads((workflow.folder / LEDGER).read_text())["execution"]["processes"] == 2
