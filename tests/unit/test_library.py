import ast
import io
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ftft
from ftft.cartography.datamap import COORDINATES, DataMap, write_map
from ftft.cartography.dynamics import load_dynamics
from ftft.cartography.recorder import DynamicsRecorder
from ftft.cartography.scores import given_by
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError, DataError

UIDS, LABELS = ["b", "a", "c"], np.array([1, 0, 1])
EPOCHS = np.random.default_rng(0).normal(size=(3, 3, 2)).astype(np.float32)
HEAVY = ("torch", "transformers", "pandas", "matplotlib")


def recorded(outputs="logits", convert=np.asarray, epochs=EPOCHS, orders=([0, 1, 2], [2, 0, 1], [1, 2, 0])):
    recorder = DynamicsRecorder(outputs)
    for epoch, order in zip(epochs, orders, strict=True):
        batches = [order[:2], order[2:]]
        recorder.record_epoch(
            ([UIDS[row] for row in rows], convert(epoch[rows]), convert(LABELS[rows])) for rows in batches
        )
    return recorder


def assert_same(ours, theirs):
    assert ours.uids == theirs.uids
    for name in ("labels", "p_true", "correct", "logits"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


def probabilities(logits):
    exponential = np.exp(logits.astype(np.float64))
    return exponential / exponential.sum(-1, keepdims=True)


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor, lambda values: values.tolist()])
def test_instances_are_sorted_by_uid_whatever_the_order_and_kind_of_batches(convert):
    found = recorded(convert=convert).dynamics()
    assert (found.uids, found.labels.tolist()) == (["a", "b", "c"], [0, 1, 1])
    np.testing.assert_array_equal(found.logits, EPOCHS[:, [1, 0, 2]])
    np.testing.assert_allclose(found.p_true, probabilities(found.logits)[:, range(3), [0, 1, 1]], rtol=1e-6)
    np.testing.assert_array_equal(found.correct, found.logits.argmax(-1) == [0, 1, 1])


def test_probabilities_give_the_map_of_their_logits():
    ours, theirs = recorded("probabilities", epochs=probabilities(EPOCHS)).data_map(), recorded().data_map()
    for name in ("confidence", "variability"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-6)
    for name, scores in theirs.further.items():
        np.testing.assert_allclose(ours.further[name], scores, atol=1e-6, err_msg=name)


def test_a_probability_of_nought_stays_finite():
    recorder = DynamicsRecorder("probabilities")
    recorder.record_epoch([(["a", "b"], np.array([[0, 1], [1, 0]]), [0, 0])])
    assert recorder.dynamics().p_true.tolist() == [[pytest.approx(0, abs=1e-30), 1.0]]


def test_batches_are_copied_and_half_precision_is_read():
    recorder, buffer = DynamicsRecorder(), np.ones((2, 2), np.float32)
    tensor = torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16, requires_grad=True)
    recorder.record(torch.tensor([7, 8]), buffer, torch.tensor([0, 1]))
    buffer[:] = np.nan
    recorder.record([9], tensor, [1])
    recorder.end_epoch()
    found = recorder.dynamics()
    assert (found.uids, found.logits.tolist()) == (["7", "8", "9"], [[[1, 1], [1, 1], [3, 4]]])
    assert found.logits.dtype == np.float32


def test_an_epoch_that_was_not_ended_is_left_out():
    recorder = recorded()
    recorder.record(["a"], [[1.0, 2.0]], [0])
    assert recorder.dynamics().logits.shape == (3, 3, 2)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((["a", "b"], [[1, 2]], [0, 1]), "2 uids, 1 logits, 2 labels"),
        ((["a"], [1.0], [0]), r"not logits of classes(.|\n)*got: shape \[1\]"),
        ((["a"], [[1.0]], [0]), r"got: shape \[1, 1\](.|\n)*at least two classes"),
        ((["a"], [[1, 2, 3]], [0]), r"got: shape \[1, 3\]\n  expected: \[batch, 2\]"),
    ],
)
def test_a_batch_of_other_shape_is_refused_at_once(batch, message):
    recorder = DynamicsRecorder() if "batch, 2" not in message else recorded()
    with pytest.raises(DataError, match=message):
        recorder.record(*batch)


@pytest.mark.parametrize(
    ("uids", "logits", "labels", "message"),
    [
        (["b", "a"], EPOCHS[0, :2], [1, 0], r"1 missing \(first 'c'\), 0 unknown"),
        (["b", "a", "c", "d"], [[1, 2]] * 4, [1, 0, 1, 0], r"0 missing, 1 unknown \(first 'd'\)"),
        (["b", "a", "c", "b"], [[1, 2]] * 4, [1, 0, 1, 1], r"epoch 3 has(.|\n)*1 repeated \(first 'b'\)"),
        (UIDS, EPOCHS[0], [1, 0, 0], r"labels changed by epoch 3\n  got: 1 instance\(s\) \(first 'c'\)"),
        (UIDS, EPOCHS[0], [1, 0, 2], "labels are none of the classes(.|\n)*'c'(.|\n)*0 to 1"),
        (UIDS, EPOCHS[0], [1, 0.5, 1], "labels are none of the classes(.|\n)*'a'"),
        (UIDS, [[1, 2], [np.nan, 0], [1, 2]], LABELS, r"not finite(.|\n)*\(first 'a'\)"),
        ([], np.empty((0, 2)), [], "no batch was recorded in epoch 3"),
    ],
)
def test_an_incomplete_or_contradictory_epoch_is_refused_and_left_out(uids, logits, labels, message):
    recorder = recorded()
    with pytest.raises(DataError, match=message):
        recorder.record_epoch([(uids, logits, labels)])
    assert len(recorder.dynamics().logits) == 3
    recorder.record_epoch([(UIDS, EPOCHS[0], LABELS)])
    assert len(recorder.dynamics().logits) == 4


@pytest.mark.parametrize("wrong", [[[0.5, 0.6]], [[-0.1, 1.1]], [[2.0, 3.0]], [[np.nan, 1.0]]])
def test_what_does_not_sum_to_one_is_no_probability(wrong):
    with pytest.raises(DataError, match="some outputs are no probabilities"):
        DynamicsRecorder("probabilities").record_epoch([(["a"], wrong, [0])])


def test_nothing_recorded_is_said():
    with pytest.raises(DataError, match="no batch was recorded in epoch 0"):
        DynamicsRecorder().end_epoch()
    with pytest.raises(DataError, match="no epoch was recorded"):
        DynamicsRecorder().dynamics()
    with pytest.raises(DataError, match="one of logits, probabilities"):
        DynamicsRecorder("losses")
    with pytest.raises(ArtifactError, match="at least 2"):
        recorded(epochs=EPOCHS[:1], orders=[[0, 1, 2]]).data_map()


def test_saved_dynamics_are_the_workflows(tmp_path):
    recorder = recorded()
    recorder.save(tmp_path / "dynamics.parquet", tmp_path / "data.parquet")
    dataset = Dataset.load(tmp_path / "data.parquet")
    assert (dataset.uids, dataset.label_names) == (["a", "b", "c"], ["0", "1"])
    loaded = load_dynamics(tmp_path / "dynamics.parquet", dataset)
    assert_same(loaded, recorder.dynamics())
    write_map(tmp_path / "dynamics.parquet", tmp_path / "data.parquet", tmp_path / "map.parquet")
    from_file, whole = DataMap.load(tmp_path / "map.parquet")[0], recorder.data_map()
    assert from_file.scores.keys() == set(COORDINATES) and whole.scores.keys() == {*given_by(loaded)}
    again = DataMap.of(loaded, list(whole.further))
    for name, scores in whole.scores.items():
        np.testing.assert_array_equal(again[name], scores)
        if name in COORDINATES:
            np.testing.assert_array_equal(from_file[name], scores)


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
@pytest.mark.parametrize("saved_after", range(7))
def test_a_recorder_goes_on_from_its_state(outputs, saved_after):
    epochs = probabilities(EPOCHS) if outputs == "probabilities" else EPOCHS
    recorder = DynamicsRecorder(outputs)
    for batch in range(6):
        if batch == saved_after:
            recorder = after_a_restart(recorder, outputs)
        epoch, rows = epochs[batch // 2], ([0, 1], [2])[batch % 2]
        recorder.record([UIDS[row] for row in rows], epoch[rows], LABELS[rows])
        if batch % 2:
            recorder.end_epoch()
    if saved_after == 6:
        recorder = after_a_restart(recorder, outputs)
    in_order = recorded(outputs, epochs=epochs, orders=[[0, 1, 2]] * 3)
    assert_same(recorder.dynamics(), in_order.dynamics())


def after_a_restart(recorder, outputs):
    file = io.BytesIO()
    torch.save({"recorder": recorder.state_dict()}, file)
    file.seek(0)
    restored = DynamicsRecorder(outputs)
    restored.record(["of another run"], [[0.5, 0.5]], [1])
    restored.load_state_dict(torch.load(file, weights_only=True)["recorder"])
    return restored


def test_what_is_no_state_of_the_recorder_is_refused():
    state = recorded().state_dict()
    for other in (None, {}, {**state, "format": "ftft.DynamicsRecorder/0"}, {**state, "model": 1}):
        with pytest.raises(DataError, match="no state of a DynamicsRecorder"):
            DynamicsRecorder().load_state_dict(other)
    with pytest.raises(DataError, match=r'of other outputs(.|\n)*by DynamicsRecorder\("logits"\)'):
        DynamicsRecorder("probabilities").load_state_dict(state)
    flipped = bytearray(state["recorded"])
    for place in range(0, len(flipped), 97):
        flipped[place] ^= 1
        with pytest.raises(DataError, match="was damaged"):
            DynamicsRecorder().load_state_dict({**state, "recorded": bytes(flipped)})
        flipped[place] ^= 1
    with pytest.raises(DataError, match="was damaged"):
        DynamicsRecorder().load_state_dict({**state, "epochs": 2})


def test_the_first_batch_of_an_epoch_is_checked_at_once():
    recorder = recorded()
    for batch, message in (
        ((["d"], [[1, 2]], [0]), "0 missing, 1 unknown"),
        ((["a"], [[1, 2]], [1]), "labels changed by epoch 3"),
        ((["a"], [[np.inf, 2]], [0]), "not finite"),
        ((["a"], [[1, 2]], [2]), "none of the classes"),
        ((["a"], [[1, 2]], [[0]]), r"shape \[1, 1\](.|\n)*squeeze"),
        ((["a"], [[1, 2]], [[1, 0]]), r"shape \[1, 2\](.|\n)*argmax"),
    ):
        with pytest.raises(DataError, match=message):
            recorder.record(*batch)
    recorder.record_epoch([(UIDS, EPOCHS[0], LABELS)])
    assert recorder.epochs == 4


@pytest.mark.parametrize(
    "uids", [[1.0], [None], [True], [b"a"], [" "], ["\ud800"], "a", {"a"}, {"a": 1}, 7, np.array([0.5])]
)
def test_uids_are_texts_or_whole_numbers(uids):
    with pytest.raises(DataError, match="'uids' cannot be used"):
        DynamicsRecorder().record(uids, [[1, 2]], [0])


@given(st.lists(st.permutations(range(3)), min_size=3, max_size=3))
def test_the_order_in_which_a_loop_draws_changes_nothing(orders):
    ours, theirs = recorded(orders=orders).dynamics(), recorded().dynamics()
    assert ours.uids == theirs.uids
    np.testing.assert_array_equal(ours.logits, theirs.logits)


def run(root, code, folder=None):
    code = f"import sys; sys.path[0] = {str(root / 'src')!r}; {code}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_library_imports_nothing_heavy(root):
    for_torch = {*ftft.MODULES["cartography.trainer"], *ftft.MODULES["cartography.response_recorder"]}
    light = ", ".join(sorted(set(ftft.__all__) - for_torch))
    loaded = f"print([name for name in {HEAVY} if name in sys.modules])"
    assert run(root, f"import ftft; dir(ftft); from ftft import {light}; {loaded}") == "[]"


def test_the_library_runs_on_its_dependencies_alone(root, tmp_path):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    assert needed == {"numpy", "pyarrow"}
    blocked = f"""
import importlib.abc
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        known = name.startswith("_sysconfigdata") or name in {{*sys.stdlib_module_names, "ftft", *{needed}}}
        if path is None and not known:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""
    blocks = [block for block in examples(root) if "transformers" not in block and "figures" not in block]
    assert len(blocks) == 5
    (tmp_path / "example.py").write_text(blocked + "\n".join(blocks))
    assert "easy:" in run(root, "exec(open('example.py').read())", tmp_path)


def test_every_public_name_is_there():
    assert all(callable(getattr(ftft, name)) for name in ftft.__all__) and dir(ftft) == ftft.__all__
    assert all(find_spec(f"ftft.{module}") for module in ftft.MODULES)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ftft.nothing


def test_type_checkers_see_every_public_name(root):
    tree = ast.parse((root / "src" / "ftft" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {node.module: [name.asname for name in node.names] for node in block.body}
    assert seen == {None: ["plot"], **ftft.MODULES}


def examples(root, page="library"):
    return re.findall(r"```python\n(.*?)```", (root / f"docs/{page}.md").read_text(), re.DOTALL)


def test_the_examples_of_the_documentation_run_one_after_the_other(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in examples(root):
        exec(block, names)
    assert re.search(r"easy: 0\.\d\d, in common with chance: 0\.\d\d", capsys.readouterr().out)
    assert (tmp_path / "map.png").stat().st_size > 10_000
    sizes = {
        name: len(names[name])
        for name in ("balanced", "a_tenth_easy", "covering", "everything_and_two_copies")
    }
    assert sizes == {"balanced": 60, "a_tenth_easy": 60, "covering": 60, "everything_and_two_copies": 320}


def test_the_table_about_data_maps_holds_what_its_example_gives(root, capsys):
    (example,) = examples(root, "data-maps")
    exec(example, {})
    printed = [line.rsplit(maxsplit=2) for line in capsys.readouterr().out.splitlines()[2:]]
    page = (root / "docs/data-maps.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "| 0." in line]
    assert [[row[0], *row[-2:]] for row in rows] == printed and len(rows) == 3
