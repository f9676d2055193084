import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.cartography.overlap import overlap, overlap_matrix
from ftft.cartography.selection import select_random
from ftft.errors import DataError

SELECTIONS = st.sets(st.integers(0, 30), min_size=1)


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ([0, 1, 2, 3], [2, 3, 4, 5], 0.5),  # the Jaccard index would be 2/6
        ([0, 1, 2, 3], [0, 1, 2, 3], 1.0),
        ([0, 1], [2, 3], 0.0),
        ([0, 1, 2, 3], [3, 9], 0.5),
        ([5], [0, 5, 9], 1.0),
    ],
)
def test_overlap_is_the_shared_part_of_the_smaller_selection(a, b, shared):
    assert overlap(a, b) == overlap(b, a) == shared


@given(st.lists(SELECTIONS, min_size=1, max_size=5))
def test_the_matrix_agrees_with_sets(selections):
    matrix = overlap_matrix(sorted(rows) for rows in selections)
    expected = [[len(a & b) / min(len(a), len(b)) for b in selections] for a in selections]
    np.testing.assert_array_equal(matrix, expected)


def test_independent_selections_share_the_selected_fraction():
    uids = [f"u{row}" for row in range(3000)]
    matrix = overlap_matrix(select_random(uids, 0.33, seed) for seed in range(12))
    # 66 pairs with a standard deviation of about (.67 x .67 / 3000) ** .5 = .012 each.
    assert matrix[np.triu_indices(12, 1)].mean() == pytest.approx(0.33, abs=0.01)


@pytest.mark.parametrize("selections", [([], [1]), ([1], [])])
def test_an_empty_selection_is_refused(selections):
    with pytest.raises(DataError, match="an empty selection"):
        overlap(*selections)
