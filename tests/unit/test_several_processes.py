"""One training in several processes: the numbers of one, nothing lost or doubled, ended together."""

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
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import psutil
import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from small import ARCHITECTURE, RECIPE, RUNTIME

from ftft.errors import DataError, TrainingError
from ftft.execution import launch, memory, processes
from ftft.execution.identity import resolve_execution
from ftft.execution.interruption import Interrupted
from ftft.execution.launch import start_processes
from ftft.execution.meter import total_energy, total_work
from ftft.execution.processes import ProcessGroup
from ftft.execution.progress import Progress
from ftft.execution.scratch import Scratch
from ftft.execution.sharding import is_sharded
from ftft.models.encoders import prepare_encoder
from ftft.models.flops import Workload
from ftft.training.loop import train
from ftft.training.step import TrainingStep
from ftft.training.stopping import monitored_score, read_early

SOURCE = str(Path(launch.__file__).parents[2])
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
        connection.send(function(ProcessGroup(rank, size), **arguments))
    except Exception as error:
        told = isinstance(error, TrainingError)
        connection.send(TrainingError(str(error)) if told else traceback.format_exc())


def together(size, function, **arguments):
    """What `function(group, **arguments)` returns, or the TrainingError that it raises, in every process."""
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
    group,
    encoder,
    data,
    seed=0,
    early_stopping=None,
    scratch=None,
    minutes=0.0,
    sigterm_at=None,
    end_at=None,
    adapter=None,
    again=False,
    sharding="none",
    micro=None,
    metrics=("accuracy", "macro_f1"),
    **recipe,
):
    """`train`, with what is to be compared; process 1 gets SIGTERM in a step, or all end without a word."""
    original = TrainingStep.__call__

    def call(self, *arguments):
        if (group.rank, self.number) == (1, sigterm_at):
            os.kill(os.getpid(), signal.SIGTERM)
        if self.number == end_at:
            raise TrainingError("ended")
        return original(self, *arguments)

    TrainingStep.__call__ = call
    AcceleratorState._reset_state(reset_partial_state=True)
    spec = {
        "recipe": {**RECIPE, **recipe},
        "metrics": [*metrics],
        "early_stopping": early_stopping,
        "adapter": adapter,
    }
    states, runtime = None, {**RUNTIME, "gradient_checkpointing": again, "micro_batch_size": micro}
    runtime["sharding"] = sharding
    if scratch:
        kept = {"scratch": str(scratch), "state_minutes": minutes, "keep_states": "none"}
        execution = resolve_execution("float32", runtime, group.size)
        states = Scratch({}, execution, "full", kept, group)
    try:
        result = train(spec, str(encoder), data, seed, runtime, Progress("test", []), states, None, group)
    finally:
        TrainingStep.__call__ = original
    # Sharded weights are gathered in process 0 alone.
    state = {} if is_sharded(result.model) else result.model.state_dict()
    weights = {name: tensor.numpy() for name, tensor in state.items()}
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
    for name in one["weights"].keys() & other["weights"].keys():
        np.testing.assert_array_equal(one["weights"][name], other["weights"][name])
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
    return training(ProcessGroup(), plain_encoder, training_data)


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
    for name in ("parameters", "flops"):
        assert first["cost"][name] == alone["cost"][name], name
    assert first["cost"]["peak_memory_mb"] > size * 100


def test_parts_of_few_tokens_give_the_outputs_of_the_batch_in_its_order(
    plain_encoder, training_data, alone, monkeypatch
):
    sizes = []
    original = TrainingStep._differentiate

    def differentiate(self, part, *arguments, **options):
        sizes.append(len(part))
        return original(self, part, *arguments, **options)

    monkeypatch.setattr(memory, "CPU_TRAINED_TOKENS", 60)
    monkeypatch.setattr(TrainingStep, "_differentiate", differentiate)
    parts = training(ProcessGroup(), plain_encoder, training_data)
    assert 1 <= min(sizes) < max(sizes) < 8
    np.testing.assert_allclose(parts["epochs"], alone["epochs"], rtol=0, atol=2e-6)
    assert parts["trajectory"] == alone["trajectory"]


def test_an_adapter_with_layers_computed_again_is_trained_alike(plain_encoder, training_data):
    start = {"encoder": plain_encoder, "data": training_data, "again": True}
    start["adapter"] = {"kind": "lora", "rank": 2, "alpha": 8.0, "dropout": 0.0}
    one, results = training(ProcessGroup(), **start), together(2, training, **start)
    assert same(*results)
    for name, values in one["weights"].items():
        np.testing.assert_allclose(results[0]["weights"][name], values, rtol=0, atol=5e-5, err_msg=name)
    np.testing.assert_allclose(results[0]["epochs"], one["epochs"], rtol=0, atol=2e-6)


LORA = {"kind": "lora", "rank": 2, "alpha": 8.0, "dropout": 0.0}


@pytest.mark.parametrize(
    "settings",
    [{}, {"micro": 1, "again": True}, {"adapter": LORA}, {"early_stopping": MONITOR}],
    ids=["whole batches", "micro-batches, layers computed again", "adapter", "stopped early"],
)
def test_sharded_weights_are_trained_alike(plain_encoder, training_data, settings):
    # 33 instances in batches of 8: the last batch of an epoch leaves process 1 without a share.
    start = {"encoder": plain_encoder, "data": training_data, **settings}
    one, results = training(ProcessGroup(), **start), together(2, training, **start, sharding="fsdp2")
    assert same(*results)
    first = results[0]
    assert not results[1]["weights"] and first["weights"].keys() == one["weights"].keys()
    for name, values in one["weights"].items():
        # Up to 6e-5, at the biases of keys, whose gradients are 0 but for rounding.
        np.testing.assert_allclose(first["weights"][name], values, rtol=0, atol=1e-4, err_msg=name)
    assert len(first["epochs"]) == len(one["epochs"])
    np.testing.assert_allclose(first["epochs"], one["epochs"], rtol=0, atol=2e-6)
    assert first["trajectory"] == one["trajectory"] and first["outcome"] == one["outcome"]
    for name in ("parameters", "flops"):
        assert first["cost"][name] == one["cost"][name], name


@pytest.mark.parametrize(
    "settings",
    [{}, pytest.param({"adapter": LORA, "early_stopping": MONITOR}, marks=pytest.mark.long)],
    ids=["all", "adapter"],
)
def test_sharded_states_are_gone_on_from(encoder, training_data, tmp_path, settings):
    start = {"encoder": encoder, "data": training_data, "sharding": "fsdp2", **settings}
    untouched = together(2, training, **start)
    ended = together(2, training, **start, scratch=tmp_path, end_at=7)
    assert [str(error) for error in ended] == ["ended"] * 2
    (state,) = tmp_path.rglob("*.shards")
    assert state.name.startswith("000000000007.cpu-float32-stock-2-fsdp2.")
    parts = sorted(state.iterdir())
    sizes = [sum(tensor.numel() for tensor in load_file(part).values()) for part in parts]
    assert len(parts) == 2 and max(sizes) < 0.6 * sum(sizes)
    resumed = together(2, training, **start, scratch=tmp_path)
    assert all(same(result, untouched[0]) for result in (*untouched, *resumed))
    assert len(list(tmp_path.rglob("*.shards"))) == 1


def test_a_damaged_shard_is_noticed_by_all(encoder, training_data, tmp_path):
    start = {"encoder": encoder, "data": training_data, "sharding": "fsdp2", "epochs": 1.0}
    together(2, training, **start, scratch=tmp_path, end_at=3)
    (part,) = tmp_path.rglob("shard-00002*")
    damaged = bytearray(part.read_bytes())
    damaged[-1] ^= 1
    part.write_bytes(damaged)
    resumed = together(2, training, **start, scratch=tmp_path)
    assert all(
        same(result, untouched)
        for result, untouched in zip(resumed, together(2, training, **start), strict=True)
    )


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
    assert seeds == {(rank, seed): ProcessGroup(rank, 2).seed(seed) for rank, seed in seeds}


def test_one_that_is_asked_to_end_takes_all_along(encoder, training_data, tmp_path):
    start = {"encoder": encoder, "data": training_data}
    asked = together(2, training, **start, scratch=tmp_path, sigterm_at=6)
    assert all("run it again: it goes on" in str(error) for error in asked)
    assert [path.name.partition(".")[0].lstrip("0") for path in tmp_path.rglob("*.safetensors")] == ["7"]
    resumed = together(2, training, **start, scratch=tmp_path)
    assert same(resumed[0], together(2, training, **start)[0])


def states_at_the_end(group, scratch, **arguments):
    original = Scratch.save

    def save(self, *state):
        if group.rank == 0:
            time.sleep(0.5)
        original(self, *state)

    Scratch.save = save
    with pytest.raises(Interrupted):
        training(group, **arguments, scratch=scratch, minutes=10.0, sigterm_at=2)
    return [path.name.partition(".")[0].lstrip("0") for path in scratch.rglob("*.safetensors")]


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
    several, one = together(2, training, **start)[1], training(ProcessGroup(), **start)
    np.testing.assert_allclose(several["epochs"], one["epochs"], rtol=0, atol=2e-6)


def test_development_sets_smaller_than_the_group_are_scored(plain_encoder, training_data):
    def few(name):
        part = training_data.development[name]
        dataset = replace(part.dataset, uids=part.dataset.uids[:1], labels=part.dataset.labels[:1])
        return replace(part, tokens=part.tokens.share(slice(0, 1)), dataset=dataset)

    data = replace(training_data, development={"validation": few("validation")})
    results = together(3, training, encoder=plain_encoder, data=data, epochs=0.5)
    assert all(same(result, results[0]) for result in results)
    assert {entry["value"] for entry in results[0]["trajectory"] if entry["metric"] == "accuracy"} <= {0, 1}


@pytest.mark.parametrize(("size", "promised"), [(2, 3), (1, 2)])
def test_other_processes_than_promised_are_refused(plain_encoder, training_data, size, promised):
    answers = together(size, training_of, promised=promised, encoder=plain_encoder, data=training_data)
    for answer in answers:
        assert f"got: {size}, by WORLD_SIZE" in str(answer) and f"expected: {promised}" in str(answer)


def training_of(group, promised, **arguments):
    return training(ProcessGroup(group.rank, promised), **arguments)


def test_processes_that_accelerate_does_not_see_are_refused(plain_encoder, training_data, monkeypatch):
    monkeypatch.setattr(ProcessGroup, "meet", lambda group, backend: None)
    monkeypatch.setattr(processes, "Accelerator", lambda **options: SimpleNamespace(num_processes=1))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"got: 1, by accelerate\n  expected: 2"):
        training(ProcessGroup(0, 2), plain_encoder, training_data)


def test_states_that_one_process_does_not_see_are_refused(encoder, training_data, tmp_path):
    together(2, training, encoder=encoder, data=training_data, scratch=tmp_path, end_at=3)
    answers = together(2, apart, encoder=encoder, data=training_data, scratch=tmp_path)
    for answer in answers:
        assert "the states of steps 3, 0, 0 for none" in str(answer)


def apart(group, scratch, **arguments):
    return training(group, **arguments, scratch=scratch if group.rank == 0 else scratch / "elsewhere")


@given(st.integers(0, 40), st.integers(1, 9))
def test_shares_hold_everything_once_and_in_order(count, size):
    shares = [list(range(count))[ProcessGroup(rank, size).share(count)] for rank in range(size)]
    assert list(chain(*shares)) == list(range(count))
    assert len(shares[0]) == max(map(len, shares)) <= -(-count // size)


def test_one_alone_sends_nothing():
    values = torch.arange(3)
    assert ProcessGroup().gather(values, 3) is values
    assert ProcessGroup().collect("x") == ["x"] and ProcessGroup().any(True, False) == [True, False]


def test_energy_of_common_devices_counts_once():
    assert total_energy([("a", "package-0", 5.0), ("a", "package-0", 5.0), ("b", "package-0", 3.0)]) == 8.0
    assert total_energy([("a", "GPU-1", 1.0), ("a", "GPU-2", 2.0)]) == 3.0
    assert total_energy([("a", "package-0", 5.0), ("b", "", None)]) is None


def test_work_adds_up_but_for_the_widest_batch():
    one, other = Workload(), Workload()
    one.add(np.array([3, 5]))
    other.add(np.array([7]))
    assert total_work([one.state(), other.state()]) == Workload(2, 3, 15, 83, 7)


# What one of several processes runs in place of a training.
STUB = """
import os, signal, sys, time
sys.path.insert(0, {source!r})
from pathlib import Path
from ftft.errors import DataError
from ftft.execution import launch
from ftft.execution.interruption import Interrupted
launch.take_place()
signal.alarm(60)
rank, here = launch.rank(), Path(__file__).parent
(here / f"{{rank}}.pid").write_text(str(os.getpid()))
def meet():
    while sum(path.stat().st_size > 0 for path in here.glob("*.pid")) < 2:
        time.sleep(0.05)
"""


@pytest.fixture
def script(tmp_path):
    """A script with a stub's beginning, in a folder of its own."""

    def write(program):
        path = tmp_path / "stub.py"
        path.write_text(STUB.format(source=SOURCE) + program)
        return str(path)

    return write


def pids(folder, count=2):
    """The processes of a stub, as soon as all are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        texts = [path.read_text() for path in sorted(folder.glob("*.pid"))]
        if len(texts) == count and all(texts):
            return [int(text) for text in texts]
        time.sleep(0.05)
    raise AssertionError("the processes did not start")


def test_all_are_told_their_place_and_waited_for(script, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    start_processes(
        script("""
time.sleep(0.5 * rank)
names = ("WORLD_SIZE", "LOCAL_RANK", "OMP_NUM_THREADS")
(here / f"{rank}.done").write_text(" ".join(os.environ[name] for name in names))
"""),
        2,
    )
    assert [path.read_text() for path in sorted(tmp_path.glob("*.done"))] == ["2 0 2", "2 1 2"]
    assert launch.rank() is None and os.environ["OMP_NUM_THREADS"] == "5"
    assert not list(tmp_path.glob("ftft-*"))


def test_what_one_explains_is_the_error_of_all(script):
    started = time.monotonic()
    with pytest.raises(DataError, match=r"^no data\n  got: nothing$"):
        start_processes(
            script("""
if rank == 1:
    launch.explain(DataError("no data", got="nothing"))
    os._exit(1)
time.sleep(50)
"""),
            2,
        )
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("ending", "got"), [("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"), ("os._exit(3)", "exit code 3")]
)
def test_the_death_of_one_is_named_and_ends_the_others(script, tmp_path, ending, got):
    with pytest.raises(TrainingError, match=f"process 1 of 2 of this training died(.|\n)*got: {got}"):
        start_processes(script(f"meet()\n{ending} if rank == 1 else time.sleep(50)"), 2)
    assert not any(map(psutil.pid_exists, pids(tmp_path)))


def test_sigterm_is_handed_on_and_the_end_is_waited_for(script, tmp_path):
    threading.Thread(
        target=lambda: (pids(tmp_path), time.sleep(1), os.kill(os.getpid(), signal.SIGTERM)), daemon=True
    ).start()
    with pytest.raises(Interrupted):
        start_processes(
            script("""
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
while not asked:
    time.sleep(0.05)
time.sleep(1)
(here / f"{rank}.saved").touch()
launch.explain(Interrupted())
os._exit(1)
"""),
            2,
        )
    assert len(list(tmp_path.glob("*.saved"))) == 2
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_one_that_was_asked_to_end_alone_ends_all_as_interrupted(script):
    with pytest.raises(Interrupted):
        start_processes(script("launch.explain(Interrupted()); os._exit(1)"), 2)


def test_processes_end_with_the_job_that_started_them(script, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {SOURCE!r}); "
        "from ftft.execution.launch import start_processes; start_processes(sys.argv[1], 2)"
    )
    job = subprocess.Popen([sys.executable, "-c", code, script("time.sleep(50)")])
    workers = pids(tmp_path)
    time.sleep(0.5)
    job.kill()
    job.wait()
    deadline = time.monotonic() + 10
    while any(map(psutil.pid_exists, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, workers))


@pytest.mark.slow
def test_a_job_that_was_halted_for_a_while_goes_on(script, tmp_path):
    program = script("time.sleep(35)\n(here / f'{rank}.done').touch()")
    code = (
        f"import sys; sys.path.insert(0, {SOURCE!r}); "
        "from ftft.execution.launch import start_processes; start_processes(sys.argv[1], 2)"
    )
    job = subprocess.Popen([sys.executable, "-c", code, program])
    workers = pids(tmp_path)
    for process in (job.pid, *workers):
        os.kill(process, signal.SIGSTOP)
    time.sleep(25)
    for process in (*workers, job.pid):
        os.kill(process, signal.SIGCONT)
    assert job.wait(timeout=60) == 0
    assert len(list(tmp_path.glob("*.done"))) == 2


def test_srun_tells_signals_as_shells_do():
    assert "got: SIGKILL" in str(launch._death_of({"srun": 137}))
    assert "process 1" in str(launch._death_of({"process 0": 1, "process 1": -9, "process 2": 1}))


def test_srun_starts_the_script_and_hands_sigterm_on(script, tmp_path, monkeypatch):
    """A program in the place of srun: it starts one task after the other, and hands SIGUSR1 on."""
    srun = tmp_path / "srun"
    srun.write_text(f"""#!{sys.executable}
import os, signal, subprocess, sys
program = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
count = next(argument for argument in sys.argv if argument.startswith("--ntasks=")).partition("=")[2]
tasks = []
signal.signal(signal.SIGUSR1, lambda *_: [task.send_signal(signal.SIGUSR1) for task in tasks])
for number in range(int(count)):
    place = dict(PROCID=str(number), LOCALID="0", NTASKS=count, LAUNCH_NODE_IPADDR="127.0.0.1")
    names = {{f"SLURM_{{name}}": value for name, value in place.items()}}
    tasks.append(subprocess.Popen(program, env={{**os.environ, **names}}))
sys.exit(max(task.wait() for task in tasks))
""")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    threading.Thread(
        target=lambda: (pids(tmp_path), time.sleep(1), os.kill(os.getpid(), signal.SIGTERM)), daemon=True
    ).start()
    with pytest.raises(Interrupted):
        start_processes(
            script("""
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
while not asked:
    time.sleep(0.05)
names = ("RANK", "WORLD_SIZE", "MASTER_ADDR")
(here / f"{rank}.saved").write_text(" ".join(os.environ[name] for name in names))
launch.explain(Interrupted())
os._exit(1)
"""),
            2,
            nodes=2,
        )
    assert [path.read_text() for path in sorted(tmp_path.glob("*.saved"))] == [
        "0 2 127.0.0.1",
        "1 2 127.0.0.1",
    ]


def test_slurm_gives_a_worker_its_place(monkeypatch):
    tasks = {"PROCID": "3", "LOCALID": "1", "NTASKS": "4", "LAUNCH_NODE_IPADDR": "10.0.0.1"}
    for name, value in tasks.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    places = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "10.0.0.1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert launch._place_by_slurm() == places
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert launch._place_by_slurm() == {**places, "LOCAL_RANK": "0"}
