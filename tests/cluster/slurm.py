"""A real SLURM on this machine: loopback only, no systemd, no database, every file in one folder.

Debian's packages suffice. Nodes are slurmd processes that claim CPUs and memory, and one GPU each: a link to
/dev/null, so that the scheduler counts it and sets CUDA_VISIBLE_DEVICES, while CUDA finds none.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sshare")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POLICY = Path("/usr/sbin/policy-rc.d")

# NoInAddrAny: daemons would listen on all interfaces. CgroupPlugin: slurmd starts none that it need not use.
# SlurmdTimeout: a dead node is noticed in a test's time. MinJobAge: ended jobs are remembered for an hour.
CONFIGURATION = """\
ClusterName=ftft
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=30
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/%n
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
KillWait=5
MinJobAge=3600
SlurmdTimeout=20
ReturnToService=2
GresTypes=gpu
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=8000 Gres=gpu:1\n"
)
PARTITION = "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"


def install() -> str | None:
    """Have SLURM's programs on this machine; returns why they cannot be had, or None."""
    if os.geteuid() != 0:
        return "its daemons run as root in these tests"
    if all(shutil.which(program, path=SYSTEM_PATH) for program in PROGRAMS):
        return None
    if shutil.which("apt-get") is None:
        return f"not installed, and no apt-get to install {' '.join(PACKAGES)}"
    # A packaged service would start by itself, on all interfaces.
    forbid = not POLICY.exists()
    if forbid:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    apt_get = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    try:
        subprocess.run([*apt_get, "update"], check=True, timeout=120)
        command = [*apt_get, "install", "-y", "--no-install-recommends", *PACKAGES]
        subprocess.run(command, check=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        return str(error)
    finally:
        if forbid:
            POLICY.unlink()
    return None


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """The first true value of `condition`; TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise TimeoutError(f"no {what} in {seconds} s")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass(frozen=True)
class Job:
    """A job as SLURM's own book has it; `end` lies in the future while it runs."""

    state: str
    node: str
    start: datetime
    end: datetime
    gpus: int
    memory_mb: int
    minutes: int

    @classmethod
    def of(cls, fields: dict[str, str]) -> "Job":
        """From what `scontrol show job` says."""
        hours, minutes, _ = fields["TimeLimit"].split(":")
        # --gpus is the job's, --gres each node's.
        asked = fields.get("TresPerJob") or fields.get("TresPerNode") or "gres:gpu:0"
        return cls(
            state=fields["JobState"],
            node=fields["NodeList"],
            start=datetime.fromisoformat(fields["StartTime"]),
            end=datetime.fromisoformat(fields["EndTime"]),
            gpus=int(asked.removeprefix("gres:gpu:")),
            memory_mb=int(fields["MinMemoryNode"].removesuffix("M")),
            minutes=60 * int(hours) + int(minutes),
        )


class Slurm:
    """A cluster of `nodes` nodes with one GPU each; as a context manager it is stopped with all its jobs."""

    def __init__(self, nodes: int):
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        # The path of a unix socket holds 107 characters: pytest's folders are too deep.
        self.folder = Path(tempfile.mkdtemp(prefix="ftft-slurm-"))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM")},
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}:{SYSTEM_PATH}",
            "SLURM_CONF": f"{self.folder}/slurm.conf",
        }

    def __enter__(self) -> "Slurm":
        self._configure()
        try:
            munge = ("key-file", "munge.key"), ("socket", "munge.socket"), ("seed-file", "munge.seed")
            logs = ("pid-file", "munged.pid"), ("log-file", "munged.log")
            self._start(
                "munged", "--force", *(f"--{name}={self.folder}/{file}" for name, file in munge + logs)
            )
            self._start("slurmctld")
            for node in self.nodes:
                self.start_node(node)
            wait_for(lambda: self.states() == {node: "idle" for node in self.nodes}, 60, "idle nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.run("scancel", "--user=root")
        try:
            wait_for(lambda: not self.step_managers(), 20, "end of all jobs")
        except TimeoutError:
            for manager in self.step_managers():
                self.kill(manager)
        for name in (*self.nodes, "slurmctld", "munged"):
            self.end_daemon(name)
        shutil.rmtree(self.folder)

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._start("slurmd", "-N", node)

    def end_daemon(self, name: str) -> None:
        """Kill the daemon of a node, or `slurmctld` or `munged`."""
        file = self.folder / f"{name}.pid"
        if file.exists() and psutil.pid_exists(number := int(file.read_text())):
            daemon = psutil.Process(number)
            daemon.kill()
            # Nobody may be there to reap it: then it stays as a zombie.
            wait_for(lambda: not running(daemon), 20, f"end of {name}")
        file.unlink(missing_ok=True)

    def crash(self, node: str) -> None:
        """Let a node die, and every step that runs."""
        self.end_daemon(node)
        for manager in self.step_managers():
            self.kill(manager)

    def step_managers(self) -> list[psutil.Process]:
        """The slurmstepd processes: each holds one step of a job."""
        return [
            process
            for process in psutil.process_iter(["name", "cwd"])
            if process.info["name"] == "slurmstepd" and running(process)
            if Path(process.info["cwd"] or "/").is_relative_to(self.folder)
        ]

    @staticmethod
    def kill(manager: psutil.Process) -> None:
        """Kill a step manager and its step, the manager first: it would tell the controller of the rest."""
        for process in [manager, *manager.children(recursive=True)]:
            if process.is_running():
                process.kill()

    def run(self, *command: str) -> str:
        """Standard output of a SLURM command."""
        done = subprocess.run(
            command, env=self.environment, text=True, capture_output=True, timeout=30, check=False
        )
        return done.stdout

    def states(self) -> dict[str, str]:
        """State of each node by name."""
        return dict(line.split() for line in self.run("sinfo", "-h", "-N", "-o", "%N %T").splitlines())

    def running_jobs(self) -> list[str]:
        """Numbers of the jobs that run."""
        return self.run("squeue", "-h", "-t", "RUNNING", "-o", "%i").split()

    def book(self) -> list[dict[str, str]]:
        """What SLURM knows of all jobs that have started, in the order of submission."""
        lines = self.run("scontrol", "-o", "show", "job").splitlines()
        jobs = [dict(field.partition("=")[::2] for field in line.split()) for line in lines]
        return [fields for fields in jobs if fields["StartTime"] != "Unknown"]

    def jobs(self) -> list[Job]:
        """All jobs that have started, in the order of submission."""
        return [Job.of(fields) for fields in self.book()]

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        port, *ports = free_ports(1 + len(self.nodes))
        nodes = [
            NODE.format(name=name, host=host, port=port) for name, port in zip(self.nodes, ports, strict=True)
        ]
        general = CONFIGURATION.format(host=host, port=port, folder=self.folder)
        self._write("slurm.conf", "".join([general, *nodes, PARTITION]))
        self._write("cgroup.conf", "CgroupPlugin=cgroup/v1\n")
        # A file that is no device is refused, and CUDA_VISIBLE_DEVICES then not set.
        (self.folder / "gpu0").symlink_to("/dev/null")
        self._write("gres.conf", f"Name=gpu File={self.folder}/gpu0\n")
        self._write("munge.key", os.urandom(512).hex(), mode=0o400)
        for name in ("state", "bin", *self.nodes):
            (self.folder / name).mkdir()
        # The plugin's job step drops SLURM_CONF from the environment of the srun that it calls.
        for client in CLIENTS:
            program = shutil.which(client, path=SYSTEM_PATH)
            call = f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {program} "$@"\n'
            self._write(f"bin/{client}", call, mode=0o755)

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(mode)

    def _start(self, program: str, *arguments: str) -> None:
        with open(self.folder / "start.log", "a", encoding="utf-8") as log:
            subprocess.run(
                [program, *arguments],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=30,
                check=True,
            )


def running(process: psutil.Process) -> bool:
    """Whether a process lives, as more than a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
