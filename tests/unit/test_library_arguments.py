"""Every public function with arguments that it cannot use: an FtftError says what was given and expected."""

import inspect
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

import ftft
from ftft import FtftError
from ftft.cartography import arguments
from ftft.errors import DataError
from ftft.tasks.base import kind_of

N = 6
RANDOM = np.random.default_rng(0)
UIDS = [f"u{row}" for row in range(N)]
LABELS = np.arange(N) % 3
LOGITS = RANDOM.normal(size=(3, N, 3)).astype(np.float32)
EXPONENTIAL = np.exp(LOGITS)
P_TRUE = (EXPONENTIAL / EXPONENTIAL.sum(-1, keepdims=True))[:, np.arange(N), LABELS]
SCORES = RANDOM.random(N)
NAN = np.float64("nan")


def changed(values, place, value):
    values = np.array(values)
    values[place] = value
    return values


# For every kind of argument: values that are right, and values that no function can use.
FRACTIONS = (
    [0.5, 1, np.float32(0.3)],
    [0, -1, 1.5, 33, NAN, float("inf"), "0.3", None, True, [0.5], 10**400],
)
SHARES = ([0, 0.1, 1], [-0.1, 1.1, NAN, "0.1", None, [0.1]])
COUNTS = ([1, np.int64(2)], [0, -1, 1.5, NAN, "1", None, True, [1]])
SEEDS = ([0, 2**40, np.int32(3)], [-1, 0.5, NAN, "0", None, [1], 2**64])
UID_LISTS = (
    [UIDS, tuple(UIDS), np.array(UIDS)],
    [
        UIDS[:2],
        ["u"] * N,
        range(N),
        [*UIDS[:5], 5],
        [*UIDS[:5], None],
        [],
        "uvwxyz",
        None,
        set(UIDS),
        [*UIDS[:5], " "],
        [*UIDS[:5], "\ud800"],
        np.array(UIDS)[:, None],
        7,
    ],
)
LABEL_LISTS = (
    [LABELS, LABELS.tolist(), LABELS.astype(float), LABELS.astype(np.int8)],
    [
        LABELS[:2],
        changed(LABELS, 0, -1),
        LABELS + 0.5,
        changed(LABELS * 1.0, 2, NAN),
        LABELS[:, None],
        np.eye(3)[LABELS],
        list("abcabc"),
        [],
        None,
        0,
        [[0], [1, 2]],
    ],
)
CLASS_LISTS = (LABEL_LISTS[0], [*LABEL_LISTS[1], LABELS + 1, LABELS.astype(float) * 1e300])
SCORE_LISTS = (
    [SCORES, SCORES.tolist(), SCORES.astype(np.float32), LABELS],
    [
        SCORES[:2],
        changed(SCORES, 3, NAN),
        changed(SCORES, 3, np.inf),
        SCORES[:, None],
        [],
        None,
        0.5,
        list("abcdef"),
        SCORES + 1j,
        [None] * N,
        np.ma.masked_less(SCORES, 0.9),
    ],
)
P_TRUES = (
    [P_TRUE, P_TRUE.astype(np.float64), P_TRUE.tolist()],
    [P_TRUE[0], P_TRUE[:, :2], changed(P_TRUE, (0, 0), NAN), P_TRUE * 10, -P_TRUE, [], None, P_TRUE[:0], "p"],
)
LOGIT_LISTS = (
    [LOGITS, LOGITS.astype(np.float64), LOGITS.tolist()],
    [
        LOGITS[0],
        LOGITS[:, :2],
        LOGITS[:, :, :1],
        changed(LOGITS, (0, 0, 0), NAN),
        changed(LOGITS, 0, np.inf),
        [],
        None,
        LOGITS[:0],
        "logits",
        [[[1, 2]], [[1]]],
    ],
)
ROWS = (
    [[0, 1], np.array([5, 3]), [10**15, 2]],
    [[], [0, 0], [-1], [0.5], [True, False], np.ones(3, bool), "01", None, 3, [[0, 1]], [NAN], [2**64]],
)
ROWS_OF_ROWS = ([[[0, 1], [1]], [[3]], np.eye(3, dtype=int)[:, :1] + np.arange(3)[:, None]],
                [[], None, 7, "01", [[]], [[0], []], [[0, 0]], [[-1]], [None], [[0.5]]])  # fmt: skip
EPOCH_LISTS = ([[0], [1, 2], np.array([0])], [[], [3], [-1], [0.5], [0, 0], None, 1, "0", [NAN]])
OUTPUTS = (["logits", "probabilities"], ["losses", None, 3, ["logits"]])
REGIONS = (["ambiguous", "easy", "hard-to-learn"], ["ambigous", "", None, 3, ["easy"]])
RULES = (["exact", "quantile"], ["bogus", None, 1, ""])


def data_maps():
    found = ftft.build_map(P_TRUE, LOGITS, LABELS, UIDS)
    return [found], [None, 3, "map.parquet", P_TRUE, UIDS]


def dynamics():
    found = ftft.Dynamics(UIDS, P_TRUE, LOGITS.argmax(-1) == LABELS, LABELS, LOGITS)
    return [found], [None, 3, "dynamics.parquet", P_TRUE, (UIDS, LABELS, P_TRUE, LOGITS)]


def datasets():
    found = ftft.Dataset(UIDS, (), LABELS, ["0", "1", "2"])
    return [found], [None, 3, "data.parquet", UIDS]


def of_a_training(value):
    """Whether a value may come from a training: one stopped in its first epoch, or one that diverged."""
    diverged = isinstance(value, np.ndarray) and value.shape == LOGITS.shape and not np.isfinite(value).all()
    return diverged or (isinstance(value, list | np.ndarray) and len(value) == 0)


def other_size(value):
    """Whether a value is wrong beside others only."""
    return isinstance(value, np.ndarray) and value.shape[1:2] == (2,)


LOSSES = (
    [-np.log(P_TRUE), (-np.log(P_TRUE)).tolist(), np.ones((3, N), int)],
    [P_TRUE[0], -P_TRUE, changed(P_TRUE, (0, 0), NAN), changed(P_TRUE, (0, 0), np.inf), [], None, "losses"],
)
PATHS = (["new"], [None, 3, "", "a\0b", b"new", ["new"]])
# What each function takes, by parameter; a parameter without bad values has its own test.
FUNCTIONS = {
    "DynamicsRecorder": {"outputs": OUTPUTS},
    "KindRecorder": {"dataset": datasets},
    "area_under_margin": {"logits": LOGIT_LISTS, "labels": CLASS_LISTS},
    "build_map": {"p_true": P_TRUES, "logits": LOGIT_LISTS, "labels": CLASS_LISTS, "uids": UID_LISTS},
    "class_balanced": {
        "scores": SCORE_LISTS,
        "labels": LABEL_LISTS,
        "uids": UID_LISTS,
        "fraction": FRACTIONS,
    },
    "coverage_centric": {
        "scores": SCORE_LISTS,
        "uids": UID_LISTS,
        "fraction": ([0.5, 0.9], FRACTIONS[1]),
        "pruned": ([0, 0.1], SHARES[1]),
        "seed": SEEDS,
        "strata": COUNTS,
    },
    "dynamics_of_losses": {
        "losses": LOSSES,
        "uids": (UID_LISTS[0], [v for v in UID_LISTS[1] if v is not None]),
    },
    "easy_share": {"data_map": data_maps, "fraction": FRACTIONS},
    "el2n": {"logits": LOGIT_LISTS, "labels": CLASS_LISTS, "epochs": EPOCH_LISTS},
    "forgetting_events": {"logits": LOGIT_LISTS, "labels": CLASS_LISTS},
    "import_cartography": {"folder": ([], [*PATHS[1], "nowhere"])},
    "import_s2l": {"folder": ([], [*PATHS[1], "nowhere"])},
    "import_small2large": {"folder": ([], [*PATHS[1], "nowhere"])},
    "overlap": {"rows_a": ROWS, "rows_b": ROWS},
    "overlap_matrix": {"selections": ROWS_OF_ROWS},
    "predictive_entropy": {
        "logits": (LOGIT_LISTS[0], [value for value in LOGIT_LISTS[1] if not other_size(value)])
    },
    "regions": {"data_map": data_maps, "fraction": FRACTIONS},
    "select_random": {"uids": (UID_LISTS[0], UID_LISTS[1][1:]), "fraction": FRACTIONS, "seed": SEEDS},
    "select_region": {"data_map": data_maps, "region": REGIONS, "fraction": FRACTIONS, "rule": RULES},
    "threshold_closeness": {"p_true": (P_TRUES[0], [value for value in P_TRUES[1] if not other_size(value)])},
    "with_copies": {
        "scores": SCORE_LISTS,
        "uids": UID_LISTS,
        "fraction": FRACTIONS,
        "copies": COUNTS,
        "seed": SEEDS,
        "base": FRACTIONS,
    },
    "with_easy": {
        "ambiguity": SCORE_LISTS,
        "confidence": SCORE_LISTS,
        "uids": UID_LISTS,
        "fraction": FRACTIONS,
        "easy": SHARES,
    },
    "write_dynamics": {"dynamics": dynamics, "dynamics_file": PATHS, "data_file": (["other"], PATHS[1])},
    "export_cartography": {
        "dynamics_file": (["dynamics.parquet"], [*PATHS[1], "nowhere", "data.parquet"]),
        "data_file": (["data.parquet"], [*PATHS[1], "nowhere", "dynamics.parquet"]),
        "folder": (["new"], [*PATHS[1], "data.parquet"]),
    },
    "load_dynamics": {
        "path": (["dynamics.parquet"], [*PATHS[1], "nowhere", "data.parquet"]),
        "dataset": datasets,
    },
    "save_dynamics": {
        "path": PATHS,
        "kind": ([kind_of("classification")], [None, 3, "classification"]),
        "epochs": ([list(LOGITS), LOGITS], [value for value in LOGIT_LISTS[1] if not of_a_training(value)]),
        "dataset": datasets,
        "metadata": ([{}], []),
    },
    "write_map": {
        "dynamics_file": (["dynamics.parquet"], [*PATHS[1], "nowhere", "data.parquet"]),
        "data_file": (["data.parquet"], [*PATHS[1], "nowhere", "dynamics.parquet"]),
        "output": PATHS,
    },
}
# `select` takes what the configuration was checked for. The others are no functions of data: containers,
# which are checked where they are taken, a mix-in, and the error itself.
# `open_run` takes a folder of results (test_opened.py); a recorder of responses what it is given by batches
# (test_response_recorder.py).
OTHERS = {"DataMap", "Dataset", "Dynamics", "FtftError", "open_run", "select"}
OTHERS |= {"RecordingMixin", "ResponseRecorder", "ResponseRecordingMixin"}
PARAMETERS = [
    pytest.param(name, parameter, id=f"{name}-{parameter}")
    for name, parameters in FUNCTIONS.items()
    for parameter in parameters
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with the files that some functions read."""
    monkeypatch.chdir(tmp_path)
    ftft.write_dynamics(dynamics()[0][0], "dynamics.parquet", "data.parquet")
    return tmp_path


def values_of(name, parameter):
    """Right and wrong values."""
    found = FUNCTIONS[name][parameter]
    return found() if callable(found) else found


def call(name, **given):
    """The function with these arguments and, for the others, right ones."""
    standard = {parameter: values_of(name, parameter)[0][:1] for parameter in FUNCTIONS[name]}
    taken = {parameter: values[0] for parameter, values in standard.items() if values}
    return getattr(ftft, name)(**{**taken, **given})


def require_sane(result):
    """Results have no gaps: rows are whole numbers from 0 on, scores are finite."""
    if isinstance(result, dict):
        assert all(mask.dtype == bool and mask.shape == (N,) for mask in result.values())
    elif isinstance(result, np.ndarray):
        assert result.size and np.isfinite(result).all()
        assert result.dtype.kind == "f" or (result.min() >= 0 and result.max() < N)
    elif isinstance(result, float):
        assert 0 <= result <= 1
    elif isinstance(result, ftft.DataMap):
        assert len(result) == N == len(set(result.uids))
        assert all(np.isfinite(values).all() for values in (result.confidence, result.variability))


def test_every_public_name_is_tested():
    assert FUNCTIONS.keys() | OTHERS == set(ftft.__all__) and not FUNCTIONS.keys() & OTHERS
    for name, parameters in FUNCTIONS.items():
        assert parameters.keys() <= inspect.signature(getattr(ftft, name)).parameters.keys(), name


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_an_argument_is_taken_or_refused_with_what_was_given_and_expected(name, parameter, folder):
    right, wrong = values_of(name, parameter)
    for value in right:
        require_sane(call(name, **{parameter: value}))
    for value in wrong:
        try:
            result = call(name, **{parameter: value})
        except FtftError as error:
            lines = str(error).splitlines()
            assert any(line.startswith("  got:") for line in lines), error
            assert any(line.startswith(("  expected:", "  what to do:")) for line in lines), error
            assert len(str(error)) < 1000
        else:
            raise AssertionError(f"{parameter}={value!r} gave {result!r}")


ARRAYS = hypothesis_numpy.arrays(
    st.sampled_from(["f4", "f8", "i1", "i8", "u8", "?", "c16", "U2", "M8[s]", "O"]),
    hypothesis_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=N),
)
SINGLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=5),
    st.binary(max_size=3),
    st.fractions(),
    st.complex_numbers(),
    st.sampled_from([object(), int, len, Path("new"), np.float32(1), np.str_("u"), 10**400]),
)
JUNK = st.one_of(
    SINGLE,
    ARRAYS,
    st.recursive(
        SINGLE,
        lambda inner: st.one_of(
            st.lists(inner, max_size=N),
            st.tuples(inner, inner),
            st.dictionaries(st.integers(0, N), inner, max_size=2),
            st.frozensets(st.integers(), max_size=3),
        ),
        max_leaves=8,
    ),
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", FUNCTIONS)
@QUICK
@given(data=st.data())
def test_no_call_ends_in_anything_but_a_result_or_an_ftft_error(name, folder, data):
    """Any mixture of right values, wrong ones and junk."""
    given_values = {}
    for parameter in FUNCTIONS[name]:
        right, wrong = values_of(name, parameter)
        choices = [st.sampled_from(values) for values in (right, right, wrong) if values]
        given_values[parameter] = data.draw(st.one_of(*choices, JUNK), label=parameter)
    try:
        result = call(name, **given_values)
    except FtftError:
        return
    if name in ("select_random", "overlap", "overlap_matrix", "threshold_closeness", "predictive_entropy"):
        return  # They take data of any size.
    require_sane(result)


CHECKS = {
    arguments.array: {},
    arguments.probabilities: {"instances": N},
    arguments.logits: {"epochs": 3, "instances": N},
    arguments.labels: {"instances": N, "classes": 3},
    arguments.uids: {"instances": N},
    arguments.scores: {"instances": N},
    arguments.fraction: {},
    arguments.path: {},
    arguments.rows: {"instances": N},
    arguments.share: {},
    arguments.whole: {"most": N},
    arguments.choice: {"allowed": ["one", "two"]},
    arguments.epochs: {"available": 3},
    arguments.correct: {"epochs": 3, "instances": N},
}
NAMED_FIRST = (
    arguments.array,
    arguments.share,
    arguments.whole,
    arguments.choice,
    arguments.epochs,
    arguments.path,
    arguments.rows,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@settings(max_examples=300, deadline=None)
@given(value=JUNK)
def test_a_check_passes_what_it_passed_and_refuses_the_rest(check, value):
    named = ("value",) if check in NAMED_FIRST else ()
    try:
        found = check(*named, value, **CHECKS[check])
    except DataError:
        return
    again = check(*named, found, **CHECKS[check])
    assert type(again) is type(found)
    np.testing.assert_array_equal(again, found)


def recorder_calls(data, recorder):
    batch = [data.draw(st.one_of(st.sampled_from(values), JUNK)) for values in BATCHES]
    match data.draw(st.sampled_from(["record", "record_epoch", "end_epoch", "state", "load", "dynamics"])):
        case "record":
            recorder.record(*batch)
        case "record_epoch":
            recorder.record_epoch(data.draw(st.one_of(st.just([batch]), JUNK)))
        case "end_epoch":
            recorder.end_epoch()
        case "state":
            recorder.load_state_dict(recorder.state_dict())
        case "load":
            recorder.load_state_dict(data.draw(JUNK))
        case "dynamics":
            recorder.data_map()


BATCHES = (
    [UIDS, range(N), UIDS[:1]],
    [LOGITS[0], LOGITS[1], LOGITS[0, :1], P_TRUE, LOGITS],
    [LABELS, LABELS[:1], LABELS.astype(float)],
)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_recorder_of_a_kind_records_or_refuses(data):
    """Classes, whose outputs are [batch, 3], and numbers, whose outputs are [batch]."""
    classes = data.draw(st.booleans())
    numbers = ftft.Dataset(UIDS, (), SCORES, [], {}, "regression")
    recorder = ftft.KindRecorder(datasets()[0][0] if classes else numbers)
    for _ in range(data.draw(st.integers(1, 6))):
        batch = [
            data.draw(st.one_of(st.sampled_from(values), JUNK))
            for values in ([UIDS, UIDS[:1]], [LOGITS[0], LOGITS[1], LOGITS[0, :1], SCORES])
        ]
        try:
            match data.draw(st.sampled_from(["record", "end_epoch", "state", "load", "map"])):
                case "record":
                    recorder.record(*batch, data.draw(st.one_of(st.none(), JUNK)))
                case "end_epoch":
                    recorder.end_epoch()
                case "state":
                    recorder.load_state_dict(recorder.state_dict())
                case "load":
                    recorder.load_state_dict(data.draw(JUNK))
                case "map":
                    recorder.data_map()
        except FtftError:
            continue
    if recorder.epochs:
        assert np.isfinite(recorder.dynamics().p_true).all()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_recorder_records_or_refuses(data):
    recorder = ftft.DynamicsRecorder(data.draw(st.sampled_from(OUTPUTS[0])))
    for _ in range(data.draw(st.integers(1, 6))):
        try:
            recorder_calls(data, recorder)
        except FtftError:
            continue
    if recorder.epochs:
        found = recorder.dynamics()
        assert np.isfinite(found.logits).all() and len(set(found.uids)) == len(found.uids)
        assert found.logits.shape[:2] == found.p_true.shape == found.correct.shape


OF_JSON = st.none() | st.text() | st.integers()
LINES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda guid, logits, gold: json.dumps(
            {"guid": guid, "logits_epoch_0": logits, "gold": gold}
        ).encode(),
        st.one_of(st.sampled_from(["a", "b", 1]), OF_JSON),
        st.lists(st.floats() | st.integers() | st.none(), max_size=3),
        st.integers(-1, 2) | OF_JSON,
    ),
    st.sampled_from([b"[" * 10**5, b'{"guid": "\\ud800", "logits_epoch_0": [1, 2], "gold": 0}', b"9" * 5000]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=4))
def test_any_file_of_cartography_is_read_or_refused(lines):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "dynamics_epoch_0.jsonl").write_bytes(b"\n".join(lines))
        try:
            found = ftft.import_cartography(folder)
        except FtftError as error:
            assert len(str(error)) < 1000
            return
        assert np.isfinite(found.logits).all()
        ftft.write_dynamics(found, Path(folder) / "dynamics.parquet", Path(folder) / "data.parquet")
