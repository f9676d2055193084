"""The package as it is installed: wheel, sdist, and `ftft` in folders that hold a configuration alone."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml

import ftft

# Where `make .venv/.release` puts them, beside the environment's own packages.
TOOLS = Path(sys.prefix, "release")
TRAINING = "demo/small/all/full/seed0"
LEDGER = f"results/runs/{TRAINING}/ledger.json"
MAP = "results/maps/demo/small/seed0.parquet"
MADE_BY_TRAINING = [
    f"results/runs/{TRAINING}/{name}" for name in ("model/model.safetensors", "dynamics.parquet")
]
LONG, SHORT = {"epochs": 60, "checkpoints": 2}, {"epochs": 3}


def run(*command, **options):
    done = subprocess.run(
        list(map(str, command)),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def archives(root, tmp_path_factory):
    """The wheel from the repository, the wheel from the sdist, and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    hatchling = (sys.executable, "-m", "hatchling", "build")
    run(*hatchling, "-t", "wheel", "-d", folder, cwd=root)
    run(sys.executable, "-m", "build", "--no-isolation", "-o", folder / "again", root)
    patterns = ("*.whl", "again/*.whl", "again/*.tar.gz")
    return [archive for pattern in patterns for archive in folder.glob(pattern)]


class Installation:
    """The wheel, installed where nothing may be written, and nothing of the repository beside it."""

    def __init__(self, wheel: Path, site: Path):
        self.site = site
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel)
        for path in site.rglob("*"):
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
        self.whole = self.state()

    def state(self):
        return {path: path.stat().st_mtime_ns for path in self.site.rglob("*")}

    def command(self, *arguments):
        return [sys.executable, str(self.site / "bin" / "ftft"), *arguments]

    @property
    def environment(self):
        return {**os.environ, "PYTHONPATH": str(self.site)}

    def ftft(self, folder, *arguments):
        command, environment = self.command(*arguments), self.environment
        return subprocess.run(
            command, cwd=folder, env=environment, text=True, capture_output=True, check=False
        )


@pytest.fixture(scope="module")
def installation(archives, tmp_path_factory):
    return Installation(archives[0], tmp_path_factory.mktemp("site") / "packages")


@pytest.fixture
def folder(tiny_config, tmp_path):
    """A folder with a configuration of two data sets, whose training takes some seconds."""
    task = tiny_config["tasks"]["demo"]
    sets = {name: task["datasets"][name] for name in ("train", "validation")}
    task = {**task, "dev": [], "evaluate": ["validation"], "datasets": sets}
    models = {"small": tiny_config["models"]["small"]}
    runs = {"table1": {"task": "demo", "rows": [{"section": "Baselines", "method": "ERM", "main": "small"}]}}
    stop = {"early_stopping": {"monitors": ["id"]}}
    config = {**tiny_config, **stop, "tasks": {"demo": task}, "models": models, "tables": runs}
    config["training"] = tiny_config["training"] | LONG
    (tmp_path / "ftft.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return tmp_path


def content(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


def test_an_sdist_gives_the_same_wheel(archives):
    wheel, again = map(content, archives[:2])
    assert wheel == again
    assert {
        "ftft/py.typed",
        "ftft/_workflow/Snakefile",
        "ftft/_workflow/profiles/default/profile.yaml",
    } <= set(wheel)
    assert not [name for name in wheel if name.startswith(("src", "rules", "tests", "docs"))]


def test_the_wheel_holds_every_file_of_the_workflow(archives, root):
    listed = run("git", "-C", root, "ls-files", "rules", "workflow", "profiles", "config", "envs").split()
    assert {f"ftft/_workflow/{name}" for name in listed} <= set(content(archives[0]))


@pytest.mark.long
def test_a_training_is_stopped_by_one_ctrl_c_and_goes_on(installation, folder):
    command, environment = installation.command("run", LEDGER, "--cores", "1"), installation.environment
    with open(folder / "shown", "w") as shown:
        streams = {"stdout": shown, "stderr": shown}
        call = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams)
    progress, deadline = folder / "logs/train" / f"{TRAINING}.json", time.monotonic() + 120
    while not (progress.exists() and json.loads(progress.read_text())["step"]):
        assert call.poll() is None and time.monotonic() < deadline, (folder / "shown").read_text()
        time.sleep(0.05)
    # As a terminal does: to all processes in the foreground.
    os.killpg(call.pid, signal.SIGINT)
    assert call.wait(timeout=60) == 1
    told = (folder / "shown").read_text()
    assert "the training was interrupted" in told and "Traceback" not in told
    assert list(folder.glob("results/scratch/states/*/*/*.safetensors"))
    assert json.loads(progress.read_text())["state"] == "stopped"

    again = installation.ftft(folder, "run", LEDGER, "--cores", "1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (folder / LEDGER).exists()
    assert "found the training state" in progress.with_suffix(".log").read_text()
    # What was printed stands for the call: it finds everything done.
    line = next(line for line in again.stderr.splitlines() if line.startswith("snakemake "))
    shown = run(
        sys.executable,
        "-m",
        *shlex.split(line.replace(" -- ", " --dry-run -- ")),
        cwd=folder,
        env=environment,
    )
    assert "Nothing to be done" in shown
    assert {path.name for path in folder.iterdir()} == {"ftft.yaml", "results", "logs", ".snakemake", "shown"}
    assert installation.state() == installation.whole


@pytest.mark.long
def test_two_folders_train_at_once_as_each_does_alone(installation, folder):
    config = yaml.safe_load((folder / "ftft.yaml").read_text())
    config["training"] |= SHORT
    places = {}
    for name, rows in (("one", 200), ("other", 90)):
        config["tasks"]["demo"]["datasets"]["train"]["rows"] = rows
        for case in ("together", "alone"):
            places[name, case] = folder / case / name
            places[name, case].mkdir(parents=True)
            (places[name, case] / "ftft.yaml").write_text(yaml.safe_dump(config))
    command = installation.command("run", MAP, "--cores", "1")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    calls = [
        subprocess.Popen(command, cwd=places[name, "together"], env=installation.environment, **quiet)
        for name in ("one", "other")
    ]
    assert [call.wait(timeout=300) for call in calls] == [0, 0]
    for name in ("one", "other"):
        assert installation.ftft(places[name, "alone"], *command[2:]).returncode == 0
        together, alone = (
            [(places[name, case] / file).read_bytes() for file in (MAP, *MADE_BY_TRAINING)]
            for case in ("together", "alone")
        )
        assert together == alone
    ledgers = [json.loads((places[name, "together"] / LEDGER).read_text()) for name in ("one", "other")]
    assert [ledger["outcome"]["training_instances"] for ledger in ledgers] == [200, 90]
    assert installation.state() == installation.whole


def test_a_folder_without_a_configuration_is_told_how_to_get_one(installation, tmp_path):
    told = installation.ftft(tmp_path, "finetune")
    assert told.returncode == 1 and "ftft init" in told.stderr and "Traceback" not in told.stderr
    assert list(tmp_path.iterdir()) == []
    shipped = shlex.split(told.stderr.partition("ftft table1")[2])[1]
    planned = installation.ftft(tmp_path, "table1", "--configfile", shipped, "--dry-run", "--quiet", "all")
    assert planned.returncode == 0, planned.stderr


def test_an_exit_code_is_that_of_snakemake(installation, folder):
    wrong = installation.ftft(folder, "run", "nothing")
    assert wrong.returncode == 1 and "nothing" in wrong.stdout + wrong.stderr


def test_a_configuration_without_tasks_is_laid_over_the_shipped_default(installation, tmp_path):
    (tmp_path / "ftft.yaml").write_text("seeds: [7]\n")
    planned = installation.ftft(tmp_path, "table1", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "seed7/ledger.json" in planned.stdout and "seed0/ledger.json" not in planned.stdout


@pytest.mark.release
def test_what_is_published_says_of_itself_what_an_index_needs(archives):
    if not TOOLS.is_dir():
        pytest.skip("requirements-release.lock is not installed: make .venv/.release")
    environment = {**os.environ, "PYTHONPATH": str(TOOLS)}
    checked = run(sys.executable, "-m", "twine", "check", "--strict", *archives, env=environment)
    assert checked.count("PASSED") == len(archives) == 3


@pytest.mark.release
def test_a_wheel_runs_the_workflow_in_an_empty_environment(archives, empty_environment, folder, root):
    wanted = f"ftft[workflow] @ {archives[0].as_uri()}"
    empty_environment("pip", "install", "--quiet", "--constraint", root / "requirements.lock", wanted)
    (folder / "reviews.csv").write_text("text,label\n" + "a fine lamp,good\na dull chair,bad\n" * 60)
    assert "ftft finetune" in empty_environment(
        "ftft", "init", "--output", "own.yaml", "reviews.csv", cwd=folder
    )
    empty_environment("ftft", "run", MAP, "--cores", "1", cwd=folder)
    shown = "import ftft; print(len(ftft.open_run().data_map('demo', 'small').uids))"
    assert empty_environment("python", "-c", shown, cwd=folder) == "200\n"
    assert "1 finished" in empty_environment("ftft", "status", cwd=folder)


@pytest.mark.release
def test_an_sdist_gives_the_library_in_an_empty_environment(archives, empty_environment):
    empty_environment("pip", "install", "--quiet", archives[2])
    recorded = empty_environment(
        "python", "-c",
        "import numpy, ftft\n"
        "recorder = ftft.DynamicsRecorder()\n"
        "for epoch in range(2):\n"
        "    recorder.record(['a', 'b'], numpy.eye(2), [0, 1])\n"
        "    recorder.end_epoch()\n"
        "print(recorder.data_map().confidence.round(3).tolist(), ftft.__version__)",
    )  # fmt: skip
    assert recorded == f"[0.731, 0.731] {ftft.__version__}\n"  # e / (e + 1)
    assert "ftft run" in empty_environment("ftft", "--help")
