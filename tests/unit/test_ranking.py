import subprocess
import sys
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ftft.cartography import ranking
from ftft.cartography.ranking import above, kth_largest, largest, order_key, quantile, row_hash, spooled
from ftft.data.dataset import uid_hash

TIED = st.sampled_from([0.0, -0.0, 0.25, 0.25 + 2**-54, -1.0, 0.5, 5e-324])
SCORES = st.lists(TIED | st.floats(-1, 1), min_size=1, max_size=60).map(np.array)
CUTS = st.lists(st.integers(0, 60), max_size=6)
MEMORY = st.sampled_from([0, 3, 1 << 20])


def blocks_of(values, cuts):
    return lambda: iter(np.split(values, sorted(cuts)))


def chosen(scores, cuts, count, memory, names=None):
    lookup = names and (lambda rows: [names[row] for row in rows])
    with patch.object(ranking, "IN_MEMORY", memory):
        return np.concatenate(list(largest(blocks_of(order_key(scores), cuts), count, lookup))).tolist()


@settings(max_examples=50)
@given(SCORES, CUTS, st.data(), MEMORY)
def test_the_largest_are_those_of_a_sort_by_score_and_hash(scores, cuts, data, memory):
    count = data.draw(st.integers(0, len(scores)))
    names = data.draw(st.permutations([f"u{row}" for row in range(len(scores))]))
    by_name = sorted(range(len(scores)), key=lambda row: (-scores[row], uid_hash(names[row]), names[row]))
    assert chosen(scores, cuts, count, memory, names) == sorted(by_name[:count])
    hashes = row_hash(np.arange(len(scores))).tolist()
    by_row = sorted(range(len(scores)), key=lambda row: (-scores[row], hashes[row]))
    assert chosen(scores, cuts, count, memory) == sorted(by_row[:count])


@settings(max_examples=50)
@given(SCORES, st.data())
def test_the_order_of_rows_changes_no_choice(scores, data):
    names = [f"u{row}" for row in range(len(scores))]
    order = np.array(data.draw(st.permutations(range(len(scores)))))
    count = data.draw(st.integers(0, len(scores)))
    shuffled = chosen(scores[order], [], count, 3, [names[row] for row in order])
    assert sorted(order[shuffled].tolist()) == chosen(scores, [], count, 3, names)


@settings(max_examples=50)
@given(st.integers(1, 40), CUTS, st.data(), MEMORY)
def test_names_of_one_hash_go_by_the_name(instances, cuts, data, memory):
    names = data.draw(st.permutations([f"u{row:02}" for row in range(instances)]))
    count = data.draw(st.integers(0, instances))
    with patch.object(ranking, "uid_hash", lambda name: b"8 bytes."):
        rows = chosen(np.zeros(instances), cuts, count, memory, names)
    assert sorted(names[row] for row in rows) == sorted(names)[:count]


def test_ties_by_row_go_to_the_smallest_hash():
    # SplitMix64 from the seeds 0 to 3 begins with e220a839..., 910a2dec..., 975835de..., 1d0b14e4...
    assert [f"{value:x}"[:8] for value in row_hash(np.arange(4)).tolist()] == [
        "e220a839",
        "910a2dec",
        "975835de",
        "1d0b14e4",
    ]
    assert chosen(np.zeros(4), [], 2, 1 << 20) == [1, 3]


@settings(max_examples=50)
@given(arrays.arrays(np.uint64, st.integers(1, 50)), CUTS, st.data(), MEMORY)
def test_the_kth_key_is_that_of_a_sort(keys, cuts, data, memory):
    count = data.draw(st.integers(1, len(keys)))
    with patch.object(ranking, "IN_MEMORY", memory):
        place = kth_largest(blocks_of(keys, cuts), count)
    expected = np.sort(keys)[::-1][count - 1]
    assert place.key == expected
    assert (place.wanted, place.tied) == (count - (keys > expected).sum(), (keys == expected).sum())


@settings(max_examples=50)
@given(SCORES, CUTS, st.floats(0, 1), MEMORY)
def test_the_quantile_is_numpys_to_the_last_bit(scores, cuts, fraction, memory):
    keys = blocks_of(order_key(scores), cuts)
    with patch.object(ranking, "IN_MEMORY", memory):
        threshold = quantile(keys, len(scores), fraction)
    assert threshold == np.quantile(scores, fraction)
    rows = np.concatenate(list(above(keys, order_key(np.float64(threshold)))))
    assert rows.tolist() == np.flatnonzero(scores > threshold).tolist()


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=False), min_size=1).map(np.array))
@example(np.array([-0.0, 0.0, -5e-324, 5e-324]))
def test_keys_are_in_the_order_of_the_scores(scores):
    keys = order_key(scores)
    assert ((keys[:, None] < keys) == (scores[:, None] < scores)).all()
    assert [ranking.score_of(key) for key in keys] == scores.tolist()


def test_a_stream_is_read_once_and_then_from_its_copy():
    source = iter([np.arange(3.0), np.empty(0), np.arange(2.0)])
    with spooled(source) as blocks:
        readings = [[block.tolist() for block in blocks()] for _ in range(3)]
    assert readings == [[[0, 1, 2], [], [0, 1]]] * 3


ALL_TIED, SPREAD = "np.zeros(1 << 18)", "random.random(1 << 18)"


@pytest.mark.parametrize("scores", [SPREAD, ALL_TIED], ids=["spread", "all tied"])
def test_eight_million_scores_are_ranked_in_the_memory_of_a_few_blocks(root, scores):
    code = f"""
import resource, sys, tracemalloc
sys.path[0] = "src"
import numpy as np
from ftft.cartography.ranking import largest, order_key, spooled

random = np.random.default_rng(0)
tracemalloc.start()
with spooled(order_key({scores}) for _ in range(32)) as keys:
    found = sum(len(rows) for rows in largest(keys, 2_700_000))
print(found, tracemalloc.get_traced_memory()[1] / 2**20)
"""
    out = subprocess.run([sys.executable, "-c", code], cwd=root, text=True, capture_output=True, check=True)
    found, peak_mb = out.stdout.split()
    # Scores and rows alone are 128 MB; the keys of one bin, a histogram and a block are not.
    assert int(found) == 2_700_000 and float(peak_mb) < 64
