import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.errors import TrainingError
from ftft.training.stopping import EarlyStopping, read_early

RISE_AND_FALL = [0.3, 0.5, 0.4, 0.6, 0.55, 0.6, 0.58, 0.9]
SERIES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("scores", "patience", "stop", "best"),
    [
        (RISE_AND_FALL, 1, 3, 2),
        (RISE_AND_FALL, 2, 6, 4),
        (RISE_AND_FALL, 3, 7, 4),
        (RISE_AND_FALL, 4, 8, 8),
        ([0.5, 0.5, 0.5, 0.9], 2, 3, 1),
        ([0.9, 0.1], 1, 2, 1),
        ([0.1, 0.2, 0.3], 1, 3, 3),
        ([0.0, 0.0], 3, 2, 1),
        ([0.0, 0.0, 0.0, 0.2, 0.1, 0.1, 0.9], 2, 6, 4),
        ([-math.inf, -1.0], 2, 2, 2),
    ],
)
def test_a_series_stops_and_keeps_where_worked_out_by_hand(scores, patience, stop, best):
    result = read_early(scores, patience)
    assert (result.checkpoint, result.best_checkpoint, result.best_score) == (stop, best, scores[best - 1])
    assert result.stopped == (stop - best >= patience)


@given(SERIES, st.integers(1, 4))
def test_reading_a_full_run_afterwards_agrees_with_stopping_it(scores, patience):
    stopping = EarlyStopping(patience)
    improvements = []
    for score in scores:
        improvements.append(stopping.update(score))
        if stopping.stopped:
            break
    assert read_early(scores, patience) == stopping
    seen = scores[: stopping.checkpoint]
    assert stopping.best_checkpoint == seen.index(max(seen)) + 1
    last_improvement = max(index for index, improved in enumerate(improvements, 1) if improved)
    assert last_improvement == stopping.best_checkpoint
    assert not any(improvements[stopping.best_checkpoint :])


@given(SERIES, st.integers(1, 4))
def test_more_patience_never_stops_sooner_or_keeps_less(scores, patience):
    hasty, patient = read_early(scores, patience), read_early(scores, patience + 1)
    assert hasty.checkpoint <= patient.checkpoint
    assert hasty.best_score <= patient.best_score


@pytest.mark.parametrize("scores", [[math.nan], [0.5, math.nan]])
def test_a_score_that_is_not_a_number_is_refused(scores):
    with pytest.raises(TrainingError, match=f"at checkpoint {len(scores)}$"):
        read_early(scores, 3)
