import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftft.cartography.datamap import build_map
from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.cartography.interchange import export_cartography, import_cartography, write_dynamics
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError, DataError
from ftft.tasks.base import ABSENT, kind_of

UIDS = ["b", "a", "ç 'quoted \"", "10", "9"]
DATA = Dataset(UIDS, (["text"] * 5,), np.array([1, 0, 1, 2, 0]), ["x", "y", "z"])
LOGITS = np.random.default_rng(0).normal(0, 5, (2, 5, 3)).astype(np.float32)
ORDER = np.argsort(UIDS)
EPOCH_0 = [
    {"guid": 7, "logits_epoch_0": [0.5, -1], "gold": 0},
    {"guid": 8, "logits_epoch_0": [2, 3], "gold": 1},
]
EPOCH_1 = [{"guid": 8, "logits_epoch_1": [4, 5], "gold": 1}, {"guid": 7, "logits_epoch_1": [6, 7], "gold": 0}]


def export(folder, logits=LOGITS, dataset=DATA):
    dataset.save(folder / "data.parquet")
    save_dynamics(folder / "dynamics.parquet", kind_of("classification"), list(logits), dataset, {})
    export_cartography(folder / "dynamics.parquet", folder / "data.parquet", folder / "training_dynamics")
    return folder / "training_dynamics"


def written(folder, *epochs):
    for number, lines in enumerate(epochs):
        text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
        (folder / f"dynamics_epoch_{number}.jsonl").write_bytes(text.encode("utf-8", "surrogateescape"))
    return folder


def test_the_round_trip_is_exact(tmp_path):
    found = import_cartography(export(tmp_path))
    original = load_dynamics(tmp_path / "dynamics.parquet", DATA)
    assert found.uids == sorted(UIDS) and found.labels.tolist() == DATA.labels[ORDER].tolist()
    np.testing.assert_array_equal(found.logits, LOGITS[:, ORDER])
    np.testing.assert_array_equal(found.p_true, original.p_true[:, ORDER])
    np.testing.assert_array_equal(found.correct, original.correct[:, ORDER])
    assert found.logits.dtype == found.p_true.dtype == np.float32 and found.correct.dtype == bool


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=8)
@given(st.lists(FLOATS, min_size=2, max_size=60))
def test_every_finite_float32_survives(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("floats")
    logits = np.array([[values], [values]], np.float32)
    dataset = Dataset(["u"], (["t"],), np.array([0]), [str(index) for index in range(len(values))])
    again = import_cartography(export(folder, logits, dataset)).logits
    assert again.tobytes() == logits.tobytes()


def test_the_files_are_those_that_cartography_reads(tmp_path):
    folder = export(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "dynamics_epoch_0.jsonl",
        "dynamics_epoch_1.jsonl",
    ]
    lines = (folder / "dynamics_epoch_1.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(map(json.loads, lines)) == [
        {"guid": uid, "logits_epoch_1": values, "gold": label}
        for uid, values, label in zip(
            UIDS, LOGITS[1].astype(float).tolist(), DATA.labels.tolist(), strict=True
        )
    ]


def test_epochs_may_be_logged_in_any_order_and_guids_be_numbers(tmp_path):
    found = import_cartography(written(tmp_path, EPOCH_0, EPOCH_1))
    assert (found.uids, found.labels.tolist()) == (["7", "8"], [0, 1])
    assert found.logits.tolist() == [[[0.5, -1], [2, 3]], [[6, 7], [4, 5]]]


def test_a_line_holds_as_many_scores_as_its_question_has_choices(tmp_path):
    dataset = Dataset(
        ["two", "three"],
        (["q", "r"], [["a", "b"], ["a", "b", "c"]]),
        np.array([1, 2]),
        [],
        kind="multiple_choice",
    )
    kind = kind_of("multiple_choice")
    epochs = [np.array([[0.5, 1.5, ABSENT], [1, 2, 3]], np.float32)]
    dataset.save(tmp_path / "data.parquet")
    save_dynamics(tmp_path / "dynamics.parquet", kind, epochs, dataset, {})
    export_cartography(tmp_path / "dynamics.parquet", tmp_path / "data.parquet", tmp_path / "out")
    lines = (tmp_path / "out" / "dynamics_epoch_0.jsonl").read_text().splitlines()
    assert list(map(json.loads, lines)) == [
        {"guid": "two", "logits_epoch_0": [0.5, 1.5], "gold": 1},
        {"guid": "three", "logits_epoch_0": [1.0, 2.0, 3.0], "gold": 2},
    ]


def test_imported_dynamics_become_the_workflows_files_and_the_same_jsonl_again(tmp_path):
    imported = import_cartography(written(tmp_path, EPOCH_0, EPOCH_1))
    files = tmp_path / "dynamics.parquet", tmp_path / "data.parquet"
    write_dynamics(imported, *files)
    loaded = load_dynamics(files[0], Dataset.load(files[1]))
    assert loaded.uids == imported.uids
    for name in ("labels", "p_true", "correct", "logits"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(imported, name), err_msg=name)
    export_cartography(*files, tmp_path / "again")
    again = import_cartography(tmp_path / "again")
    assert again.logits.tobytes() == imported.logits.tobytes()
    maps = [build_map(one.p_true, one.logits, one.labels, one.uids) for one in (imported, again)]
    np.testing.assert_array_equal(maps[0].variability, maps[1].variability)


def line(**changes):
    return {**EPOCH_0[1], **changes}


@pytest.mark.parametrize(
    ("second", "got"),
    [
        ('{"guid": 8, "logits_ep', "JSONDecodeError"),
        ("\n", "JSONDecodeError"),
        ("[1, 2]\n", "TypeError"),
        ('{"guid": "\udcff"}\n', "UnicodeDecodeError"),
        ({"guid": 8, "logits_epoch_1": [1, 2], "gold": 0}, "KeyError: 'logits_epoch_0'"),
        (line(guid=None), "guid None"),
        (line(guid=True), "guid True"),
        (line(guid=7), r"guid '7' again, first in .*dynamics_epoch_0.jsonl, line 1"),
        (line(gold=2), "gold 2 of 2 classes"),
        (line(gold=-1), "gold -1"),
        (line(gold="1"), "gold '1'"),
        (line(gold=True), "gold True"),
        (line(logits_epoch_0=[1, 2, 3]), "3 logits, elsewhere 2"),
        (line(logits_epoch_0=[1]), r"logits_epoch_0 \[1\]"),
        (line(logits_epoch_0=3), "logits_epoch_0 3"),
        (line(logits_epoch_0=[1, float("nan")]), r"logits_epoch_0 \[1, nan\]"),
        (line(logits_epoch_0=[1, 1e39]), r"logits_epoch_0 \[1, 1e\+39\]"),
        (line(logits_epoch_0=[1, "2"]), r"logits_epoch_0 \[1, '2'\]"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path, second, got):
    written(tmp_path, [EPOCH_0[0], second], EPOCH_1)
    with pytest.raises(DataError, match=rf"dynamics_epoch_0.jsonl, line 2: no line(.|\n)*got: .*{got}"):
        import_cartography(tmp_path)


@pytest.mark.parametrize(
    ("epoch", "message"),
    [
        (EPOCH_1[:1], r"dynamics_epoch_1.jsonl lacks(.|\n)*1 missing, the first of them '7'"),
        ([EPOCH_1[0], {**EPOCH_1[1], "guid": 9}], "line 2(.|\n)*guid '9', which the first epoch lacks"),
        ([EPOCH_1[0], {**EPOCH_1[1], "gold": 1}], "line 2(.|\n)*gold 1, in the first epoch 0"),
        ([EPOCH_1[0], EPOCH_1[0]], "line 2(.|\n)*guid '8' again, first in .*line 1"),
    ],
)
def test_an_epoch_of_other_instances_is_refused(tmp_path, epoch, message):
    with pytest.raises(DataError, match=message):
        import_cartography(written(tmp_path, EPOCH_0, epoch))


@pytest.mark.parametrize(
    ("present", "missing"), [([], 0), ([1], 0), ([0, 2, 10], 1)], ids=["none", "no first", "a gap"]
)
def test_missing_epochs_are_named(tmp_path, present, missing):
    for number in present:
        (tmp_path / f"dynamics_epoch_{number}.jsonl").touch()
    with pytest.raises(DataError, match=f"are not whole\n  got: no dynamics_epoch_{missing}.jsonl"):
        import_cartography(tmp_path)
    with pytest.raises(DataError, match="are not whole"):
        import_cartography(tmp_path / "nowhere")


def test_an_empty_epoch_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"dynamics_epoch_0.jsonl is empty"):
        import_cartography(written(tmp_path, []))


def test_eleven_epochs_are_in_the_order_of_their_numbers(tmp_path):
    epochs = [[{"guid": "u", f"logits_epoch_{n}": [n, 0], "gold": 0}] for n in range(11)]
    assert import_cartography(written(tmp_path, *epochs)).logits[:, 0, 0].tolist() == list(range(11))


def test_an_export_of_other_data_leaves_no_file(tmp_path):
    export(tmp_path)
    DATA.__class__(UIDS, DATA.texts, DATA.labels[::-1].copy(), DATA.label_names).save(
        tmp_path / "other.parquet"
    )
    with pytest.raises(ArtifactError, match="recorded on other data"):
        export_cartography(tmp_path / "dynamics.parquet", tmp_path / "other.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()
