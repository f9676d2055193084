"""One training in several processes: the numbers of one, nothing lost or doubled, ended together."""

import json
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace
from itertools import chain
from multiprocessing import forkserver
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import psutil
import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from small import ARCHITECTURE, RECIPE, RUNTIME, demo_dataset

from ftft.data import demo
from ftft.errors import DataError, TrainingError
from ftft.execution import processes as team
from ftft.execution import workers
from ftft.execution.interruption import Interrupted
from ftft.execution.meter import total_energy, total_work
from ftft.execution.processes import Team
from ftft.execution.progress import Progress
from ftft.execution.scratch import Scratch
from ftft.execution.workers import fine_tune_together
from ftft.models.encoders import prepare_encoder
from ftft.models.flops import Workload
from ftft.training.loop import train
from ftft.training.runs import fine_tune
from ftft.training.step import TrainingStep
from ftft.training.stopping import monitored_score, read_early

MONITOR = {"patience": 2, "metric": "accuracy", "monitored": ["r1_dev", "r3_dev"]}
PLAIN = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2}
RELATIVE = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}

forks = multiprocessing.get_context("forkserver")
# Not this library: the server would take an installed one.
forks.set_forkserver_preload(
    ["accelerate", "transformers.models.bert.modeling_bert", "pyarrow.parquet", "hypothesis", "pytest"]
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Start the server as a job starts its workers: with what torch sets later, last bits may differ."""
    with patch.dict(os.environ, OMP_NUM_THREADS="1"):
        forkserver.ensure_running()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _member(function, rank, size, port, connection, arguments):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    try:
        connection.send(function(Team(rank, size), **arguments))
    except Exception as error:
        told = isinstance(error, TrainingError)
        connection.send(TrainingError(str(error)) if told else traceback.format_exc())


def together(size, function, **arguments):
    """What `function(team, **arguments)` returns, or the TrainingError that it raises, in every process."""
    port, receivers, processes = free_port(), [], []
    for rank in range(size):
        receiver, sender = forks.Pipe(duplex=False)
        process = forks.Process(target=_member, args=(function, rank, size, port, sender, arguments))
        process.start()
        sender.close()
        receivers.append(receiver)
        processes.append(process)
    try:
        assert all(receiver.poll(60) for receiver in receivers), "the processes wait for each other"
        answers = [receiver.recv() for receiver in receivers]
    finally:
        for process in processes:
            process.kill()
            process.join()
    for answer in answers:
        assert not isinstance(answer, str), answer
    return answers


def training(
    team,
    encoder,
    data,
    seed=0,
    early_stopping=None,
    scratch=None,
    minutes=0.0,
    sigterm_at=None,
    end_at=None,
    **recipe,
):
    """`train`, with what is to be compared; process 1 gets SIGTERM in a step, or all end without a word."""
    original = TrainingStep.__call__

    def call(self, *arguments):
        if (team.rank, self.number) == (1, sigterm_at):
            os.kill(os.getpid(), signal.SIGTERM)
        if self.number == end_at:
            raise TrainingError("ended")
        return original(self, *arguments)

    TrainingStep.__call__ = call
    AcceleratorState._reset_state(reset_partial_state=True)
    spec = {
        "recipe": {**RECIPE, **recipe},
        "labels": list(demo.LABELS),
        "development": list(data.development),
        "early_stopping": early_stopping,
    }
    states = None
    if scratch:
        runtime = {"scratch": str(scratch), "state_minutes": minutes, "keep_states": False}
        states = Scratch({"processes": team.size}, "full", runtime, writes=team.rank == 0)
    try:
        result = train(spec, str(encoder), data, seed, {**RUNTIME}, Progress("test", []), states, team)
    finally:
        TrainingStep.__call__ = original
    weights = {name: tensor.numpy() for name, tensor in result.model.state_dict().items()}
    return {
        "weights": weights,
        "epochs": np.array(result.epochs),
        "trajectory": result.trajectory,
        "outcome": result.outcome,
        "cost": result.cost,
        "seed": torch.initial_seed(),
    }


def same(one, other):
    """Whether two results have the same bits."""
    np.testing.assert_array_equal(one["epochs"], other["epochs"])
    for name, values in one["weights"].items():
        np.testing.assert_array_equal(values, other["weights"][name])
    assert one["trajectory"] == other["trajectory"] and one["outcome"] == other["outcome"]
    return True


def encoder_of(folder, dataset, **architecture):
    spec = {
        "source": "scratch",
        "max_length": RECIPE["max_length"],
        "architecture": {**ARCHITECTURE, **architecture},
        "tokenizer": {"kind": "wordpiece", "vocab_size": 300},
    }
    prepare_encoder(spec, dataset, folder)
    return folder


@pytest.fixture(scope="module")
def plain_encoder(tmp_path_factory, train_set):
    """An encoder without dropout, whose training draws no random numbers."""
    return encoder_of(tmp_path_factory.mktemp("encoder"), train_set, **PLAIN)


@pytest.fixture(scope="module")
def alone(plain_encoder, training_data):
    return training(Team(), plain_encoder, training_data)


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_compute_what_one_does(plain_encoder, training_data, alone, size):
    # Measured in float32: logits differ by 5e-7, weights by 2e-5, for AdamW magnifies what is nearly 0.
    # 33 instances in batches of 8: the last batch of an epoch leaves all processes but one without a share.
    results = together(size, training, encoder=plain_encoder, data=training_data)
    assert all(same(result, results[0]) for result in results)
    first = results[0]
    for name, values in alone["weights"].items():
        np.testing.assert_allclose(first["weights"][name], values, rtol=0, atol=5e-5, err_msg=name)
    assert first["epochs"].shape == (3, 33, 3)
    np.testing.assert_allclose(first["epochs"], alone["epochs"], rtol=0, atol=2e-6)
    assert first["trajectory"] == alone["trajectory"]
    assert first["outcome"] == alone["outcome"]
    assert (first["cost"]["processes"], alone["cost"]["processes"]) == (size, 1)
    for name in ("parameters", "real_tokens", "estimated_flops", "flops"):
        assert first["cost"][name] == alone["cost"][name], name
    assert first["cost"]["peak_memory_mb"] > size * 100


def test_all_goes_on_as_if_nothing_had_been(encoder, training_data, tmp_path):
    start = {"encoder": encoder, "data": training_data}
    untouched = together(3, training, **start)
    ended = together(3, training, **start, scratch=tmp_path, end_at=7)
    assert [str(error) for error in ended] == ["ended"] * 3
    resumed = together(3, training, **start, scratch=tmp_path)
    assert all(same(result, untouched[0]) for result in (*untouched, *resumed))


def test_dropout_is_drawn_for_every_process_and_every_seed(encoder, training_data):
    seeds = {
        (rank, seed): result["seed"]
        for seed in (0, 1)
        for rank, result in enumerate(
            together(2, training, encoder=encoder, data=training_data, seed=seed, epochs=0.5)
        )
    }
    assert len(set(seeds.values())) == 4
    assert seeds == {(rank, seed): Team(rank, 2).seed(seed) for rank, seed in seeds}


def test_one_that_is_asked_to_end_takes_all_along(encoder, training_data, tmp_path):
    start = {"encoder": encoder, "data": training_data}
    asked = together(2, training, **start, scratch=tmp_path, sigterm_at=6)
    assert all("run it again: it goes on" in str(error) for error in asked)
    assert [path.stem.lstrip("0") for path in tmp_path.rglob("*.safetensors")] == ["7"]
    resumed = together(2, training, **start, scratch=tmp_path)
    assert same(resumed[0], together(2, training, **start)[0])


def states_at_the_end(team, scratch, **arguments):
    original = Scratch.save

    def save(self, *state):
        if team.rank == 0:
            time.sleep(0.5)
        original(self, *state)

    Scratch.save = save
    with pytest.raises(Interrupted):
        training(team, **arguments, scratch=scratch, minutes=10.0, sigterm_at=2)
    return [path.stem.lstrip("0") for path in scratch.rglob("*.safetensors")]


def test_none_ends_before_the_state_is_saved(encoder, training_data, tmp_path):
    states = together(2, states_at_the_end, encoder=encoder, data=training_data, scratch=tmp_path)
    assert states == [["3"], ["3"]]


def test_early_stopping_is_decided_in_common(plain_encoder, training_data, alone):
    results = together(2, training, encoder=plain_encoder, data=training_data, early_stopping=MONITOR)
    assert same(*results)
    stopped = results[0]["outcome"]
    scores = {}
    for entry in alone["trajectory"]:
        scores.setdefault(entry["checkpoint"], []).append(entry)
    reading = read_early([monitored_score(scored, MONITOR) for scored in scores.values()], 2)
    assert stopped["consumed_checkpoints"] == reading.checkpoint < len(scores)
    assert stopped["kept_checkpoint"] == reading.best_checkpoint


@pytest.mark.parametrize(
    "architecture",
    [
        {"model_type": "roberta", "max_position_embeddings": 40},
        {"model_type": "electra", "embedding_size": 16},
        {"model_type": "deberta-v2", **RELATIVE},
    ],
    ids=lambda architecture: architecture["model_type"],
)  # fmt: skip
def test_every_architecture_has_its_gradients_averaged(architecture, training_data, train_set, tmp_path):
    start = {
        "encoder": encoder_of(tmp_path, train_set, **PLAIN, **architecture),
        "data": replace(training_data, development={"validation": training_data.development["validation"]}),
        "epochs": 1.0,
    }
    several, one = together(2, training, **start)[1], training(Team(), **start)
    np.testing.assert_allclose(several["epochs"], one["epochs"], rtol=0, atol=2e-6)


def test_development_sets_smaller_than_the_team_are_scored(plain_encoder, training_data):
    def few(name):
        tokens, labels = training_data.development[name]
        return replace(tokens, offsets=tokens.offsets[:2]), labels[:1]

    data = replace(training_data, development={"validation": few("validation")})
    results = together(3, training, encoder=plain_encoder, data=data, epochs=0.5)
    assert all(same(result, results[0]) for result in results)
    assert {entry["value"] for entry in results[0]["trajectory"] if entry["metric"] == "accuracy"} <= {0, 1}


@pytest.mark.parametrize(("size", "promised"), [(2, 3), (1, 2)])
def test_other_processes_than_promised_are_refused(plain_encoder, training_data, size, promised):
    answers = together(size, training_of, promised=promised, encoder=plain_encoder, data=training_data)
    for answer in answers:
        assert f"got: {size}, by WORLD_SIZE" in str(answer) and f"expected: {promised}" in str(answer)


def training_of(team, promised, **arguments):
    return training(Team(team.rank, promised), **arguments)


def test_processes_that_accelerate_does_not_see_are_refused(plain_encoder, training_data, monkeypatch):
    monkeypatch.setattr(Team, "meet", lambda team, backend: None)
    monkeypatch.setattr(team, "Accelerator", lambda **options: SimpleNamespace(num_processes=1))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"got: 1, by accelerate\n  expected: 2"):
        training(Team(0, 2), plain_encoder, training_data)


def test_states_that_one_process_does_not_see_are_refused(encoder, training_data, tmp_path):
    together(2, training, encoder=encoder, data=training_data, scratch=tmp_path, end_at=3)
    answers = together(2, apart, encoder=encoder, data=training_data, scratch=tmp_path)
    for answer in answers:
        assert "the states of steps 3, 0, 0 for none" in str(answer)


def apart(team, scratch, **arguments):
    return training(team, **arguments, scratch=scratch if team.rank == 0 else scratch / "elsewhere")


@given(st.integers(0, 40), st.integers(1, 9))
def test_shares_hold_everything_once_and_in_order(count, size):
    shares = [list(range(count))[Team(rank, size).share(count)] for rank in range(size)]
    assert list(chain(*shares)) == list(range(count))
    assert len(shares[0]) == max(map(len, shares)) <= -(-count // size)


def test_one_alone_sends_nothing():
    values = torch.arange(3)
    assert Team().gather(values, 3) is values
    assert Team().collect("x") == ["x"] and Team().any(True, False) == [True, False]


def test_energy_of_common_devices_counts_once():
    cpu = "CPU package, shared with other processes"
    assert total_energy([("a", cpu, 5.0), ("a", cpu, 5.0), ("b", cpu, 3.0)]) == (8.0, cpu)
    gpus = [("a", "GPU 0, whole board", 1.0), ("a", "GPU 1, whole board", 2.0)]
    assert total_energy(gpus) == (3.0, "GPU 0, whole board; GPU 1, whole board")
    assert total_energy([("a", cpu, 5.0), ("b", None, None)]) == (None, None)


def test_work_adds_up_but_for_the_widest_batch():
    one, other = Workload(), Workload()
    one.add(np.array([3, 5]), 5)
    other.add(np.array([7]), 7)
    assert total_work([one.state(), other.state()]) == Workload(2, 3, 15, 83, 17, 99, 7)


STUB = """
import json, os, signal, sys, time
signal.alarm(20)
request = json.loads(sys.stdin.readline())
rank = int(os.environ["RANK"])
def answer(**fields): print(json.dumps(fields), flush=True)
"""


@pytest.fixture
def stub(monkeypatch, tmp_path):
    """Run `fine_tune_together` with another program as its two workers."""

    def run(program):
        def calls(processes, nodes):
            for rank in range(processes):
                command = [sys.executable, "-c", STUB + program]
                yield f"process {rank} of {processes}", command, {"RANK": str(rank), "HERE": str(tmp_path)}

        monkeypatch.setattr(workers, "_calls", calls)
        with open(tmp_path / "log.txt", "w") as log:
            fine_tune_together(2, 1, {"seed": 7}, {}, [log])

    return run


def test_workers_are_told_what_to_do_and_all_are_waited_for(stub, tmp_path):
    stub("""
assert request["processes"] == 2 and request["arguments"] == {"seed": 7}
time.sleep(0.4 * rank)
open(os.environ["HERE"] + f"/{rank}.done", "w").close()
""")
    assert len(list(tmp_path.glob("*.done"))) == 2


def test_what_one_explains_is_the_error_of_all(stub):
    started = time.monotonic()
    with pytest.raises(DataError, match=r"^no data\n  got: nothing$"):
        stub("""
if rank == 1:
    answer(type="DataError", text="no data\\n  got: nothing")
    raise SystemExit(1)
sys.stdin.read()
""")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("ending", "got"), [("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"), ("os._exit(3)", "exit code 3")]
)
def test_the_death_of_one_is_named_and_ends_the_others(stub, ending, got):
    with pytest.raises(TrainingError, match=f"process 1 of 2 of this training died(.|\n)*got: {got}"):
        stub(f"{ending} if rank == 1 else sys.stdin.read()")


def test_srun_tells_signals_as_shells_do():
    assert "got: SIGKILL" in str(workers._death_of({"srun": 137}))
    assert "process 1" in str(workers._death_of({"process 0": 1, "process 1": -9, "process 2": 1}))


def test_sigterm_is_handed_on_to_all(stub, tmp_path):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(TrainingError, match="asked"):
        stub("""
sys.stdin.readline()
open(os.environ["HERE"] + f"/{rank}.asked", "w").close()
time.sleep(0.3)
answer(type="Interrupted", text="asked")
raise SystemExit(1)
""")
    assert len(list(tmp_path.glob("*.asked"))) == 2
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.fixture
def worker():
    """Start a worker that does something else than training; it has its request."""
    started = []

    def start(deed):
        program = (
            f"from ftft.training import workers\nworkers._fine_tune = lambda request: {deed}\nworkers.work()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(workers.SOURCE), "RANK": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        print(json.dumps({"processes": 2, "nodes": 1}), file=process.stdin, flush=True)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_worker_ends_with_the_job_that_started_it(worker):
    process = worker("[print('here', flush=True), __import__('time').sleep(60)]")
    assert process.stderr.readline() == "here\n" and process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=5) == -signal.SIGKILL


def test_a_worker_takes_another_line_as_sigterm(worker):
    process = worker("[print('here', flush=True), __import__('time').sleep(60)]")
    assert process.stderr.readline() == "here\n"
    workers._ask_to_end([process])
    assert process.wait(timeout=5) == -signal.SIGTERM


def test_a_worker_explains_what_can_be_explained(worker):
    process = worker("workers.errors.DataError('no data').missing")
    assert process.wait(timeout=20) == 1 and process.stdout.read() == ""
    assert "process 1 failed\nTraceback" in process.stderr.read()
    process = worker("(_ for _ in ()).throw(MemoryError('9 GiB'))")
    assert process.wait(timeout=20) == 1
    answer = json.loads(process.stdout.read())
    assert answer["type"] == "FtftError" and "runtime.mem_mb" in answer["text"]


def test_slurm_gives_a_worker_its_place(monkeypatch):
    tasks = {"PROCID": "3", "LOCALID": "1", "NTASKS": "4", "LAUNCH_NODE_IPADDR": "10.0.0.1"}
    for name, value in tasks.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    places = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "10.0.0.1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert workers._place_by_slurm() == places
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert workers._place_by_slurm() == {**places, "LOCAL_RANK": "0"}


def long_run(folder, encoder, epochs):
    """What `fine_tune` is asked for: its arguments, as JSON holds them."""
    for name, rows in (("train", 33), ("validation", 20)):
        demo_dataset(name, rows).save(folder / f"{name}.parquet")
    outputs = {"model": "model", "trajectory": "trajectory.parquet", "ledger": "ledger.json"}
    outputs["dynamics"] = "dynamics.parquet"
    runtime = {**RUNTIME, "scratch": str(folder / "scratch"), "state_minutes": 0, "keep_states": False}
    return {
        "spec": {
            "recipe": {**RECIPE, "epochs": epochs},
            "labels": list(demo.LABELS),
            "development": ["validation"],
            "early_stopping": None,
        },
        "code": "code",
        "run": {"task": "demo", "model": "small", "selection": "full", "budget": "full", "seed": 0},
        "encoder": str(encoder),
        "train_file": str(folder / "train.parquet"),
        "development_files": {"validation": str(folder / "validation.parquet")},
        "selection_file": None,
        "outputs": {name: str(folder / file) for name, file in outputs.items()},
        "runtime": runtime,
    }


def in_its_midst(folder, act):
    """Call `act` once the training in `folder` has left a state."""

    def watch():
        while not list(folder.rglob("*.safetensors")):
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()


def contents(folder):
    names = ("model/model.safetensors", "dynamics.parquet", "trajectory.parquet")
    return [(folder / name).read_bytes() for name in names]


def written(team, arguments):
    if team.rank != 0:
        others = {name: f"{path}.other" for name, path in arguments["outputs"].items()}
        arguments = {**arguments, "outputs": others}
    fine_tune(**arguments, progress=Progress("test", []), team=team)


def test_a_killed_process_ends_the_training_and_a_terminated_one_goes_on(tmp_path, encoder, caplog):
    folders = {name: tmp_path / name for name in ("whole", "broken")}
    for folder in folders.values():
        folder.mkdir()
    arguments = long_run(folders["broken"], encoder, 12.0)

    def train_broken():
        with open(tmp_path / "log.txt", "w") as log:
            fine_tune_together(2, 1, arguments, {"title": "test", "trackers": [], "run": "run"}, [log])

    def own(process):
        return "ftft.execution.workers" in process.cmdline()

    def kill_one():
        one = sorted(filter(own, psutil.Process().children()), key=lambda process: process.pid)[1]
        moments.append(time.monotonic())
        one.kill()

    moments = []
    in_its_midst(folders["broken"], kill_one)
    with pytest.raises(TrainingError, match=r"process 1 of 2 of this training died(.|\n)*got: SIGKILL"):
        train_broken()
    assert time.monotonic() - moments[0] < 5
    assert not list(filter(own, psutil.Process().children()))
    (state,) = folders["broken"].rglob("*.safetensors")

    state.unlink()
    in_its_midst(folders["broken"], lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingError, match=r"interrupted by SIGTERM(.|\n)*it goes on"):
        train_broken()
    (state,) = folders["broken"].rglob("*.safetensors")
    assert 1 <= int(state.stem) < 60

    AcceleratorState._reset_state(reset_partial_state=True)
    with caplog.at_level(logging.INFO):
        written(Team(), arguments)
    assert state.exists() and "found the training state" not in caplog.text

    together(2, written, arguments=arguments)
    assert not state.exists()
    together(2, written, arguments=long_run(folders["whole"], encoder, 12.0))
    assert contents(folders["broken"]) == contents(folders["whole"])
    assert not list(tmp_path.rglob("*.other"))
    assert json.loads((folders["broken"] / "ledger.json").read_text())["cost"]["processes"] == 2
