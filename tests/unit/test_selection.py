import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.artifacts import read_parquet
from ftft.cartography.datamap import COORDINATES, DataMap
from ftft.cartography.scores import SCORES
from ftft.cartography.selection import (
    ENDS,
    easy_share,
    regions,
    select,
    select_random,
    select_region,
)
from ftft.data.dataset import Dataset
from ftft.errors import ArtifactError, DataError

TEN = [f"u{row}" for row in range(10)]
FEW_VALUES = st.sampled_from([0.0, 0.1, 0.2, 0.3])
MAPS = st.lists(st.tuples(FEW_VALUES, FEW_VALUES), min_size=1, max_size=40)


def map_of(points, uids=None):
    """A map of (confidence, variability) points."""
    confidence, variability = np.array(points, float).T
    uids = uids or [f"u{row}" for row in range(len(points))]
    further = {name: confidence for name in SCORES if name not in COORDINATES}
    return DataMap(uids, confidence, variability, np.zeros(len(points)), further)


def tied(variability):
    return map_of([(0.5, value) for value in variability])


RISING = map_of([(row / 10, ((row * 7) % 10) / 20) for row in range(10)])


@pytest.mark.parametrize(
    ("region", "expected"),
    [("ambiguous", [4, 7, 1]), ("hard-to-learn", [0, 1, 2]), ("easy", [7, 8, 9])],
)
@pytest.mark.parametrize("rule", ["exact", "quantile"])
def test_a_region_holds_its_deepest_instances(region, expected, rule):
    assert select_region(RISING, region, 0.3, rule).tolist() == sorted(expected)


@pytest.mark.parametrize(
    ("fraction", "instances", "size"),
    [(0.33, 100, 33), (0.33, 10, 3), (0.33, 50, 17), (0.25, 10, 3), (1.0, 7, 7), (0.04, 25, 1), (0.33, 2, 1)],
)
@pytest.mark.parametrize("variability", [lambda n: np.linspace(0, 0.5, n), np.zeros])
def test_the_size_is_the_rounded_fraction_even_where_all_scores_tie(fraction, instances, size, variability):
    rows = select_region(tied(variability(instances)), "ambiguous", fraction)
    assert len(rows) == len(set(rows.tolist())) == size


@given(MAPS, st.floats(0.02, 1), st.sampled_from(list(ENDS)), st.randoms())
def test_the_choice_is_exact_and_does_not_depend_on_the_order_of_rows(points, fraction, region, random):
    size = int(np.floor(fraction * len(points) + 0.5))
    data_map = map_of(points)
    if size == 0:
        with pytest.raises(DataError, match="selection is empty"):
            select_region(data_map, region, fraction)
        return
    rows = select_region(data_map, region, fraction)
    assert len(rows) == size and (np.diff(rows) > 0).all()
    name, sign = ENDS[region]
    scores = sign * data_map[name]
    left_out = np.delete(scores, rows)
    assert left_out.size == 0 or scores[rows].min() >= left_out.max()

    order = random.sample(range(len(points)), len(points))
    shuffled = map_of([points[row] for row in order], [data_map.uids[row] for row in order])
    chosen = {shuffled.uids[row] for row in select_region(shuffled, region, fraction)}
    assert chosen == {data_map.uids[row] for row in rows}


def test_ties_go_by_a_hash_of_the_uid_and_not_by_the_row():
    # BLAKE2b with 8 bytes orders these uids, from the smallest hash: u3 u9 u2 u1 u6
    assert select_region(tied(np.zeros(10)), "ambiguous", 0.3).tolist() == [2, 3, 9]
    some = tied([0.2] + [0.1] * 8 + [0.0])
    assert select_region(some, "ambiguous", 0.3).tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("variability", "expected"),
    [
        (range(10), [7, 8, 9]),
        ([0, 1, 2, 3, 4, 5, 8, 8, 8, 9], [9]),
        ([0, 1, 2, 3, 4, 5, 6, 8, 8, 8], [7, 8, 9]),
    ],
    ids=["no ties", "ties at the quantile are left out", "ties above it are kept"],
)
def test_the_quantile_rule_takes_what_lies_strictly_above(variability, expected):
    assert select_region(tied(variability), "ambiguous", 0.33, "quantile").tolist() == expected


@pytest.mark.parametrize(
    ("data_map", "fraction", "rule"),
    [(RISING, 0.04, "exact"), (RISING, 1e-9, "exact"), (tied(np.ones(10)), 0.33, "quantile")],
)
def test_an_empty_selection_is_refused(data_map, fraction, rule):
    with pytest.raises(DataError, match=f"fraction {fraction:g} of 10 instances"):
        select_region(data_map, "ambiguous", fraction, rule)


def test_an_empty_random_selection_is_refused():
    with pytest.raises(DataError, match="the selection is empty"):
        select_random(TEN, 0.04, 0)


@given(st.permutations(TEN), st.integers(0, 5))
def test_a_random_selection_depends_on_uids_and_seed_alone(uids, seed):
    rows = select_random(uids, 0.33, seed)
    assert (np.diff(rows) > 0).all() and len(rows) == 3
    assert {uids[row] for row in rows} == {TEN[row] for row in select_random(TEN, 0.33, seed)}


def test_random_selections_of_several_seeds_differ_and_leave_nobody_out():
    chosen = [frozenset(select_random(TEN, 0.33, seed).tolist()) for seed in range(40)]
    assert len(set(chosen)) > 20
    assert frozenset().union(*chosen) == set(range(10))


def test_easy_is_neither_ambiguous_nor_hard():
    masks = regions(RISING, 0.3)
    assert {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()} == {
        "ambiguous": [1, 4, 7],
        "hard-to-learn": [0, 1, 2],
        "easy": [3, 5, 6, 8, 9],
    }
    assert easy_share(RISING, 0.3) == 0.5


@given(st.lists(st.tuples(FEW_VALUES, FEW_VALUES), min_size=10, max_size=10), st.integers(1, 10))
def test_the_easy_share_lies_between_its_bounds(points, tenths):
    share = easy_share(map_of(points), tenths / 10)
    assert max(0, 10 - 2 * tenths) / 10 <= share <= (10 - tenths) / 10


@pytest.mark.parametrize(
    ("confidence", "share"),
    [(lambda v: -v, 0.7), (lambda v: v, 0.4)],
    ids=["ambiguous is hard: 1 - q", "disjoint: 1 - 2q"],
)
def test_the_easy_share_reaches_its_bounds(confidence, share):
    values = np.arange(10.0)
    assert easy_share(map_of(list(zip(confidence(values), values, strict=True))), 0.3) == share


DATA = Dataset(TEN, (TEN,), np.arange(10) % 2, ["no", "yes"])


@pytest.fixture
def map_file(tmp_path):
    RISING.save(tmp_path / "map.parquet", {"data_hash": DATA.content_hash, "epochs": 4})
    return tmp_path / "map.parquet"


@pytest.mark.parametrize("region", ENDS)
@pytest.mark.parametrize("rule", ["exact", "quantile"])
def test_a_supervision_lists_rows_and_uids_with_their_origin(tmp_path, map_file, region, rule):
    spec = {"selector": region, "fraction": 0.3, "rule": rule}
    select(spec, 5, DATA, map_file, tmp_path / "selection.parquet")
    table, metadata = read_parquet(tmp_path / "selection.parquet")
    rows = select_region(RISING, region, 0.3, rule).tolist()
    assert table.to_pydict() == {
        "row": rows,
        "uid": [TEN[row] for row in rows],
        "weight": [1.0] * len(rows),
    }
    objective = {"objective": "cross_entropy", "settings": {}}
    assert metadata == {**spec, **objective, "seed": 5, "data_hash": DATA.content_hash}


def test_an_empty_selection_leaves_no_file(tmp_path, map_file):
    spec = {"selector": "easy", "fraction": 0.04, "rule": "exact"}
    with pytest.raises(DataError, match="selection is empty"):
        select(spec, 5, DATA, map_file, tmp_path / "selection.parquet")
    assert not (tmp_path / "selection.parquet").exists()


def test_without_a_map_the_selection_is_random(tmp_path):
    select({"fraction": 0.33}, 1, DATA, None, tmp_path / "selection.parquet")
    table, _ = read_parquet(tmp_path / "selection.parquet")
    assert table["row"].to_pylist() == select_random(TEN, 0.33, 1).tolist()


def test_a_map_of_other_data_is_refused(tmp_path, map_file):
    other = Dataset(TEN, (TEN[::-1],), DATA.labels, DATA.label_names)
    with pytest.raises(ArtifactError, match=r"was built on other data(.|\n)*snakemake .*map\.parquet"):
        select({"selector": "easy", "fraction": 0.3, "rule": "exact"}, 0, other, map_file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
