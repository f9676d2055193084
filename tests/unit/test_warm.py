"""Warm start: a script handed over behaves as if it ran by itself, and nothing outlives its caller."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src"
HAND_OVER = "import os, sys, time; from ftft.pipeline.warm import hand_over; hand_over(); "
# Stands for snakemake: starts the server, runs one script, and waits for its own input to end.
CALLER = """
import subprocess, sys
from ftft.pipeline import warm
warm.start(libraries=())
job = subprocess.Popen([sys.executable, *sys.argv[1:]])
print("pid", job.pid, warm.servers[0].pid, flush=True)
sys.exit(job.wait() & 0xFF)
"""


def call(script, tmp_path, *arguments, **options):
    path = tmp_path / "job.py"
    path.write_text(HAND_OVER + script)
    return subprocess.Popen(
        [sys.executable, "-c", CALLER, str(path), *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE), **options.pop("env", {})},
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def finish(caller):
    out, err = caller.communicate(timeout=60)
    header, _, rest = out.partition("\n")
    job, server = (int(word) for word in header.split()[1:])
    return caller.returncode, rest, err, job, server


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_script_runs_elsewhere_with_its_own_streams_arguments_folder_and_environment(tmp_path):
    script = (
        "print(os.getppid(), sys.argv[1], os.getcwd(), os.environ['MINE']); print('err', file=sys.stderr)"
    )
    code, out, err, _, server = finish(call(script, tmp_path, "one", env={"MINE": "yes"}))
    assert (code, err) == (0, "err\n")
    assert out.split() == [str(server), "one", str(tmp_path), "yes"]


@pytest.mark.parametrize(
    ("ending", "code"),
    [("sys.exit(7)", 7), ("sys.exit('why')", 1), ("1 / 0", 1), ("os.kill(os.getpid(), 9)", 1)],
)
def test_exit_code_travels_back(tmp_path, ending, code):
    returned, _, err, *_ = finish(call(ending, tmp_path))
    assert returned == code
    assert ("ZeroDivisionError" in err) == (ending == "1 / 0")


def test_terminating_signal_reaches_the_script(tmp_path):
    script = (
        "import signal; signal.signal(15, lambda *_: sys.exit(3)); open('ready', 'w').close(); time.sleep(60)"
    )
    caller = call(script, tmp_path)
    job = int(caller.stdout.readline().split()[1])
    assert wait_until((tmp_path / "ready").exists)
    os.kill(job, signal.SIGTERM)
    assert caller.wait(timeout=20) == 3


def test_script_dies_with_the_process_that_handed_over(tmp_path):
    caller = call("open('pid', 'w').write(str(os.getpid())); time.sleep(60)", tmp_path)
    job = int(caller.stdout.readline().split()[1])
    assert wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    worker = int((tmp_path / "pid").read_text())
    assert worker != job
    os.kill(job, signal.SIGKILL)
    assert wait_until(lambda: not alive(worker))
    caller.wait(timeout=20)


def test_server_ends_with_its_caller(tmp_path):
    *_, server = finish(call("pass", tmp_path))
    assert wait_until(lambda: not alive(server))


def test_script_of_another_session_runs_by_itself(tmp_path):
    path = tmp_path / "job.py"
    path.write_text(HAND_OVER + "print(os.getpid())")
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE),
        "FTFT_WARM_START": f"{os.getsid(0)}:{tmp_path}/none",
    }
    job = subprocess.Popen(
        [sys.executable, str(path)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert job.communicate(timeout=30)[0].strip() == str(job.pid)


def test_no_fork_has_to_make_what_a_library_makes_once():
    code = """
from ftft.pipeline import warm
warm._load(warm.LIBRARIES)
from transformers import conversion_mapping
assert len(conversion_mapping._checkpoint_conversion_mapping_cache) > 100
"""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_long_temporary_folder_is_no_matter(tmp_path):
    folder = tmp_path / ("long" * 30) / ("longer" * 30)
    folder.mkdir(parents=True)
    code, out, err, _, server = finish(call("print(os.getppid())", tmp_path, env={"TMPDIR": str(folder)}))
    assert (code, err, out.split()) == (0, "", [str(server)])


def test_without_a_place_for_the_socket_scripts_run_by_themselves(tmp_path):
    caller = CALLER.replace("warm.start", "warm.tempfile.mkdtemp = fail; warm.start").replace(
        "from ftft", "def fail(**_): raise PermissionError('no folder')\nfrom ftft"
    )
    path = tmp_path / "job.py"
    path.write_text(HAND_OVER + "print(os.getpid())")
    code = caller.replace(", warm.servers[0].pid", ", 0")
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0 and run.stderr == "no warm start: no folder\n"
    header, pid = run.stdout.splitlines()
    assert header.split()[1] == pid


def test_scripts_run_by_themselves_where_the_server_was_killed(tmp_path):
    ending = "import os; os.kill(warm.servers[0].pid, 9)"
    path = tmp_path / "job.py"
    path.write_text(
        "import os, sys; from ftft.pipeline import warm; warm.ANSWER_SECONDS = 1; "
        "warm.hand_over(); import signal; "
        "print(os.getpid(), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    )
    code = CALLER.replace("job = ", f"{ending}\njob = ")
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    job, _, pid, default = (
        word for line in run.stdout.splitlines() for word in line.split() if word != "pid"
    )
    assert (pid, default) == (job, "True")


def test_a_halted_server_that_goes_on_runs_nothing_twice(tmp_path):
    path = tmp_path / "job.py"
    path.write_text(
        "import os, sys; from ftft.pipeline import warm; warm.ANSWER_SECONDS = 1; warm.hand_over(); "
        f"open({str(tmp_path / 'runs')!r}, 'a').write('run ')"
    )
    code = CALLER.replace("job = ", "import os, time; os.kill(warm.servers[0].pid, 19)\njob = ").replace(
        "sys.exit(", "code = job.wait(); os.kill(warm.servers[0].pid, 18); time.sleep(2); sys.exit(code or "
    )
    subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        timeout=60,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "runs").read_text() == "run "
