"""Whatever is killed, and whenever: the next call ends with the very bytes of a run that was left alone."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ftft.artifacts import read_parquet

pytestmark = pytest.mark.long

TARGETS = ("results/tables/table1.csv", "results/figures/demo/true_class.csv")
DETERMINISTIC = (
    "data",
    "encoders",
    "runs",
    "maps",
    "supervisions",
    "evaluations",
    "scores",
    "comparisons",
    "figures",
)
# A state after every step, so that most kills leave one behind.
STATES = "runtime: {device: cpu, mem_mb: 1000, minutes: 10, state_minutes: 0, warm_start: %s}\n"


class Call:
    """A call of snakemake in a session of its own, to be killed."""

    def __init__(self, workflow, *options: str, targets=TARGETS):
        self.log = workflow.folder / "call.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--cores", "2", *options, "--", *targets],
                cwd=workflow.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def jobs(self) -> list[psutil.Process]:
        """The processes that it has started, directly or not."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def kill(self, victim: str, generator: random.Random) -> None:
        """Kill `victim`: one of its jobs, snakemake itself, or both with all that they started."""
        if victim == "job":
            for job in generator.sample(jobs := self.jobs(), min(1, len(jobs))):
                job.kill()
            self.process.wait(timeout=300)
        elif victim == "snakemake":
            self.process.kill()
            self.process.wait()
        else:
            started = self.jobs()
            os.killpg(self.process.pid, signal.SIGKILL)
            for job in started:
                job.kill() if job.is_running() else None
            self.process.wait()

    def wait(self) -> int:
        return self.process.wait(timeout=900)


def contents(workflow) -> dict[str, str]:
    """SHA-256 of every artifact that holds no measured time, by path."""
    results = workflow.folder / "results"
    files = [path for name in DETERMINISTIC for path in sorted((results / name).rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(results)): hashlib.sha256(unmeasured(path)).hexdigest()
        for path in files
        if path.suffix != ".json" or path.parent.name == "model"
    }


def unmeasured(path: Path) -> bytes:
    """A file's bytes; of one that is made from ledgers all but the stamp, which holds their hashes."""
    if path.suffix != ".parquet" or path.parent.name not in ("scores", "comparisons"):
        return path.read_bytes()
    table, metadata = read_parquet(path)
    return f"{table.schema} {table.to_pydict()} {metadata}".encode()


def leftovers(workflow) -> list[Path]:
    return [path for path in (workflow.folder / "results").rglob("*.tmp")]


def orphans_end(workflow) -> None:
    """Wait until no process works in the workflow's folder any more."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and any(
        process.info["cwd"] == str(workflow.folder) for process in psutil.process_iter(["cwd"])
    ):
        time.sleep(0.1)


@pytest.fixture(scope="module")
def untouched(another):
    workflow = another()
    started = time.monotonic()
    call = Call(workflow)
    assert call.wait() == 0, call.log.read_text()
    return contents(workflow), time.monotonic() - started


def survive(workflow, kills: int, seconds: float, seed: int, warm: bool) -> list[str]:
    """Kill `kills` calls at random moments of their first `seconds`; then let one finish."""
    generator = random.Random(seed)
    overlay = workflow.folder / "states.yaml"
    overlay.write_text(STATES % str(warm).lower())
    options = ("--configfile", "config/config.yaml", "states.yaml")
    done = []
    for _ in range(kills):
        victim, moment = generator.choice(["job", "snakemake", "both"]), generator.uniform(0.5, seconds)
        call = Call(workflow, *options)
        time.sleep(moment)
        call.kill(victim, generator)
        workflow.snakemake("--unlock")
        done.append(f"{victim} after {moment:.1f} s")
    call = Call(workflow, *options)
    assert call.wait() == 0, f"seed {seed}, killed {done}:\n{call.log.read_text()}"
    orphans_end(workflow)
    return done


def test_killed_twice_and_the_same_bytes(fresh, untouched):
    expected, seconds = untouched
    done = survive(fresh, kills=2, seconds=0.6 * seconds, seed=20, warm=True)
    assert contents(fresh) == expected, done
    assert leftovers(fresh) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_killed_again_and_again_and_the_same_bytes(fresh, untouched, seed):
    expected, seconds = untouched
    done = survive(fresh, kills=3, seconds=0.8 * seconds, seed=seed, warm=seed % 2 == 0)
    print(f"seed {seed}: {done}")
    assert contents(fresh) == expected, done


REFERENCE = "results/runs/demo/small/all/full/seed0"
LEDGER = [f"{REFERENCE}/ledger.json"]
LOG = "logs/train/demo/small/all/full/seed0.log"
LONG = {"epochs": 40.0}


def training(call: Call) -> psutil.Process:
    """The process that trains, as soon as its log shows progress."""
    log = call.log.parent / LOG
    while call.process.poll() is None:
        if "step/s" in written(log):
            return next(job for job in call.jobs() if job.is_running() and holds_lock(job, call.log.parent))
        time.sleep(0.02)
    raise AssertionError(call.log.read_text())


def written(log: Path) -> str:
    """What stands in a log; Snakemake removes it before a job starts."""
    with suppress(FileNotFoundError):
        return log.read_text()
    return ""


def holds_lock(job: psutil.Process, folder: Path) -> bool:
    return any(path.parent.parent.parent.name == "states" for path in map(Path, files_of(job)))


def files_of(job: psutil.Process) -> list[str]:
    try:
        return [file.path for file in job.open_files()]
    except psutil.Error:
        return []


@pytest.fixture
def long_training(fresh):
    """A workflow whose reference run takes some seconds."""
    fresh.edit(lambda config: config["training"].update(LONG))
    return fresh


@pytest.fixture(scope="module")
def expected_dynamics(another):
    workflow = another()
    workflow.edit(lambda config: config["training"].update(LONG))
    run = workflow.snakemake("--", *LEDGER)
    assert run.returncode == 0, run.stdout
    return (workflow.folder / REFERENCE / "dynamics.parquet").read_bytes()


def test_a_training_that_outlives_its_snakemake_is_waited_for(long_training, expected_dynamics):
    call = Call(long_training, targets=LEDGER)
    orphan = training(call)
    orphan.suspend()
    call.kill("snakemake", random.Random(0))
    long_training.snakemake("--unlock")
    again = Call(long_training, targets=LEDGER)
    log = long_training.folder / LOG
    while again.process.poll() is None and "waiting for" not in written(log):
        time.sleep(0.1)
    orphan.resume()
    assert again.wait() == 0, again.log.read_text()
    assert f"waiting for process {orphan.pid} on" in log.read_text()
    assert "found the training state" in log.read_text()
    assert (long_training.folder / REFERENCE / "dynamics.parquet").read_bytes() == expected_dynamics


def test_a_terminated_training_keeps_its_state_and_goes_on(long_training, expected_dynamics):
    call = Call(long_training, targets=LEDGER)
    training(call).terminate()
    assert call.wait() == 1
    shown = call.log.read_text()
    assert "the training was interrupted" in shown and "Traceback" not in shown
    again = Call(long_training, targets=LEDGER)
    assert again.wait() == 0, again.log.read_text()
    assert "found the training state" in (long_training.folder / LOG).read_text()
    assert (long_training.folder / REFERENCE / "dynamics.parquet").read_bytes() == expected_dynamics


def can_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True)
        return mounted.returncode == 0 and subprocess.run(["umount", folder], check=False).returncode == 0


# Jobs that take under a second, with what they and all after them make.
SHORT_JOBS = {
    "build_data_map": ("maps", "supervisions", "scores", "tables"),
    "make_supervision": ("supervisions", "scores", "tables"),
    "collect_scores": ("scores", "tables"),
    "write_table": ("tables",),
}


def kill_job_of(rule: str, call: Call) -> bool:
    """Kill the first job of a rule as soon as it runs; False where the call ended before one was seen."""
    while call.process.poll() is None:
        for job in call.jobs():
            with suppress(psutil.NoSuchProcess):
                if any(word.endswith(f".{rule}.py") for word in job.cmdline()):
                    job.kill()
                    return True
    return False


def without_times(table: Path) -> str:
    """A table without the costs by seconds, to which a map that is made again contributes its own."""
    return pd.read_csv(table, dtype=str, keep_default_na=False).drop(columns="cost_by_seconds").to_csv()


@pytest.mark.slow
@pytest.mark.parametrize("rule", SHORT_JOBS)
def test_short_jobs_are_killed_and_the_same_bytes(copied, rule):
    expected = contents(copied)
    table = without_times(copied.folder / TARGETS[0])
    for name in SHORT_JOBS[rule]:
        shutil.rmtree(copied.folder / "results" / name)
    call = Call(copied, "--retries", "0", targets=TARGETS[:1])
    assert kill_job_of(rule, call), call.log.read_text()
    assert call.wait() != 0
    copied.snakemake("--unlock")
    run = copied.snakemake("--", "paper")
    assert run.returncode == 0, run.stdout
    assert contents(copied) == expected
    assert without_times(copied.folder / TARGETS[0]) == table
    assert leftovers(copied) == []


@pytest.fixture
def small_disk(fresh):
    """A workflow whose results lie on a small disk; call the fixture's value with other mount options."""
    results = fresh.folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", results], check=True)
    yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", results], check=True)
    subprocess.run(["umount", "--lazy", results], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="this user may not mount a disk")
@pytest.mark.parametrize(
    ("broken", "cured", "words"),
    [("size=300k", "size=500m", "No space left"), ("ro,size=500m", "rw,size=500m", "Read-only file system")],
    ids=["full", "read-only"],
)
def test_a_bad_disk_is_named_and_nothing_is_lost(fresh, untouched, small_disk, broken, cured, words):
    small_disk(broken)
    run = fresh.snakemake("--keep-going", "--", *TARGETS)
    assert run.returncode != 0 and words in run.stdout
    small_disk(cured)
    fresh.snakemake("--unlock")
    run = fresh.snakemake("--", *TARGETS)
    assert run.returncode == 0, run.stdout
    assert contents(fresh) == untouched[0]
    assert leftovers(fresh) == []


@pytest.mark.slow
def test_too_little_memory_is_named_and_nothing_is_lost(fresh, untouched):
    fresh.edit(lambda config: config["runtime"].update(warm_start=False))
    command = f'ulimit -v 1600000; exec "{sys.executable}" -m snakemake --cores 1 -- {TARGETS[0]}'
    limited = subprocess.run(
        ["bash", "-c", command], cwd=fresh.folder, check=False, text=True, capture_output=True
    )
    assert limited.returncode != 0
    assert "out of memory" in limited.stdout + limited.stderr
    run = fresh.snakemake("--", *TARGETS)
    assert run.returncode == 0, run.stdout
    assert contents(fresh) == untouched[0]


@pytest.mark.slow
def test_two_calls_at_once_do_the_work_once(fresh, untouched):
    calls = [Call(fresh, "--nolock") for _ in range(2)]
    ended = [call.wait() for call in calls]
    run = fresh.snakemake("--", *TARGETS)
    assert run.returncode == 0, (ended, run.stdout)
    assert contents(fresh) == untouched[0]


def test_a_second_call_is_refused_while_the_first_runs(long_training):
    call = Call(long_training, targets=LEDGER)
    training(call)
    second = long_training.snakemake("--", *LEDGER)
    assert second.returncode != 0 and "cannot be locked" in second.stdout
    assert call.wait() == 0, call.log.read_text()


def test_a_clock_that_went_back_makes_nothing_again(workflow):
    day = 24 * 60 * 60
    for age, name in enumerate(
        ("downloads", "data", "encoders", "runs", "maps", "supervisions", "evaluations")
    ):
        for path in (workflow.folder / "results" / name).rglob("*"):
            written_at = path.stat().st_mtime - age * day
            os.utime(path, (written_at, written_at))
    assert workflow.planned() == {}
