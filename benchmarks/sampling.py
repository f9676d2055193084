"""A few batches that stand for a whole plan, and how well they do."""

from collections.abc import Sequence

import numpy as np


def representative(plan: Sequence[np.ndarray], lengths: np.ndarray, count: int) -> list[np.ndarray]:
    """`count` full batches whose padded tokens average to the plan's.

    The plan is ordered by width and cut into `count` strata; of each the batch nearest to the stratum's
    mean is taken. Evenly spaced batches would come out too cheap, for the tail of long ones is thin.
    """
    full = [batch for batch in plan if len(batch) == len(plan[0])]
    widths = np.array([lengths[batch].max() for batch in full])
    order = np.argsort(widths, kind="stable")
    strata = np.array_split(order, min(count, len(full)))
    return [full[stratum[np.abs(widths[stratum] - widths[stratum].mean()).argmin()]] for stratum in strata]


def padded_tokens(batches: Sequence[np.ndarray], lengths: np.ndarray) -> float:
    """Padded tokens per row."""
    return sum(len(b) * int(lengths[b].max()) for b in batches) / sum(map(len, batches))


def bias_note(
    name: str, sample: Sequence[np.ndarray], plan: Sequence[np.ndarray], lengths: np.ndarray
) -> str:
    """How far the sample's tokens, real and padded, are from the plan's."""
    real = lengths[np.concatenate(sample)].mean() / lengths[np.concatenate(plan)].mean() - 1
    ours, all_of_it = padded_tokens(sample, lengths), padded_tokens(plan, lengths)
    return (
        f"{name}: {len(sample)} of {len(plan)} batches timed; padded tokens per row {ours:.1f} in them and"
        f" {all_of_it:.1f} in the plan ({ours / all_of_it - 1:+.1%}), real tokens {real:+.1%}."
    )
