"""How much of what a small model's losses select a large model's losses select too, score by score.

The losses are those of responses, a mean per token, of several models at several epochs of the same rows: no
training is needed to tell which score is the same for both.
"""

import re
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from . import arguments
from .overlap import overlap
from .scores import confidence, learning_percentage, mean_loss, mean_ranks, variability
from .selection import even_quotas, largest, random_places, selection_size
from .strata import CLUSTERS, DIFFICULTY_BINS, clusters_of, rank_within

S2L_SEEDS = 3
COLUMN = re.compile(r"(.+)\|(0|[1-9]\d{0,5})")
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {}


def _score(function: Callable) -> Callable:
    """Register a function of the losses [epochs, n], of which the first are those before training, and of
    p_true [epochs - 1, n] after it; the largest values are selected.
    """
    SCORES[function.__name__] = function
    return function


@_score
def ambiguous(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """Standard deviation of p_true, the paper's rule."""
    return variability(p_true)


@_score
def ambiguous_with_epoch_0(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """The same with the pass before training."""
    return variability(np.exp(-losses))


@_score
def loss_spread_with_epoch_0(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """Standard deviation of the loss, with the pass before training."""
    return losses.std(0)


@_score
def hard_to_learn(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """Smallest mean p_true."""
    return -confidence(p_true)


@_score
def slow_to_learn(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """Smallest learning percentage LP(1), from the pass before training on."""
    return -learning_percentage(np.exp(-losses))


@_score
def slow_to_learn_approximately(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """Smallest (P0 - P1) / P0, P being perplexities: Mekala et al.'s approximation."""
    return np.exp(losses[1] - losses[0]) - 1


@_score
def relative_loss_spread(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """Standard deviation of the logarithm of the loss."""
    return np.log(np.maximum(losses[1:], 1e-12)).std(0)


@_score
def ambiguous_within_difficulty(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """Rank of variability in 50 bins of mean loss."""
    return rank_within(variability(p_true), mean_loss(p_true), DIFFICULTY_BINS)


@_score
def loss_before_training(losses: np.ndarray, p_true: np.ndarray) -> np.ndarray:
    """Largest loss before training."""
    return losses[0]


def s2l_chances(losses: np.ndarray, uids: list[str], fraction: float) -> np.ndarray:
    """The chance of every row to be drawn by S2L: its cluster's quota over its size, the mean over k-means of
    three seeds.
    """
    chances = np.zeros(len(uids))
    for seed in range(S2L_SEEDS):
        cluster = clusters_of(losses[1:], random_places(uids, seed), CLUSTERS, seed)
        sizes = np.bincount(cluster)
        quotas = even_quotas(sizes.tolist(), selection_size(fraction, len(uids)))
        chances += (np.array(quotas) / sizes)[cluster] / S2L_SEEDS
    return chances


def read_losses(path: str | Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Uids [n] and by model its losses [epochs, n] from a Parquet file with the columns `uid` and
    `MODEL|EPOCH`, epoch 0 being before training. Models come in the order of the file's columns. Raises
    DataError.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read", got=str(error).splitlines()[0]) from error
    found: dict[str, dict[int, str]] = {}
    for name in table.column_names:
        if match := COLUMN.fullmatch(name):
            found.setdefault(match[1], {})[int(match[2])] = name
    epochs = {tuple(sorted(own)) for own in found.values()}
    whole = len(epochs) == 1 and min(epochs) == tuple(range(len(min(epochs))))
    if "uid" not in table.column_names or len(found) < 2 or not whole or len(min(epochs)) < 4:
        raise DataError(
            f"{path} does not hold losses of several models",
            got=f"columns {', '.join(table.column_names)}",
            expected="uid, and for two models or more MODEL|0, before training, MODEL|1, MODEL|2, MODEL|3",
            fix="write mean losses per response token, a column for each model and epoch",
        )
    if other := [name for own in found.values() for name in own.values() if not _holds_numbers(table, name)]:
        raise DataError(
            f"{path} holds losses that are no numbers",
            got=f"column '{other[0]}' of {table.schema.field(other[0]).type}",
            expected="floating point numbers",
        )
    losses = {
        model: np.stack([table[own[epoch]].to_numpy().astype(np.float64) for epoch in sorted(own)])
        for model, own in found.items()
    }
    for model, values in losses.items():
        if not np.isfinite(values).all() or (values < 0).any():
            raise DataError(
                f"the losses of '{model}' in {path} are not all finite and 0 or more",
                got=f"{int((~np.isfinite(values) | (values < 0)).sum())} values",
                expected="mean losses per token, in nats",
            )
    numbered = pa.types.is_integer(table.schema.field("uid").type)
    uids = (table["uid"].cast(pa.string()) if numbered else table["uid"]).to_pylist()
    return arguments.uids(uids, argument=f"uid in {path}"), losses


def _holds_numbers(table: pa.Table, name: str) -> bool:
    form = table.schema.field(name).type
    return pa.types.is_floating(form) or pa.types.is_integer(form) or pa.types.is_null(form)


def transfer(
    name: str,
    uids: list[str],
    losses: Mapping[str, np.ndarray],
    fraction: float,
    words: Mapping[str, int] | None = None,
) -> list[dict]:
    """A row per score and pair of models, the one that stands first being the reference.

    overlap: the share of the reference's selection that the main model's has too; chance: what two random
    ones share. correlation: Spearman's, of the scores of all rows. With the `words` of responses by uid, also
    the correlation of the reference's score with length, the mean words of its selection and of all rows, and
    its overlap with the longest.
    """
    size = selection_size(arguments.fraction(fraction), len(uids))
    scores: dict[str, dict[str, np.ndarray]] = {}
    for model, own in losses.items():
        p_true = np.exp(-own[1:])
        scores[model] = {score: function(own, p_true) for score, function in SCORES.items()}
        scores[model]["s2l"] = s2l_chances(own, uids, fraction)
    chosen = {
        model: {score: largest(values, uids, size) for score, values in own.items()}
        for model, own in scores.items()
    }
    known = bool(words) and not words.keys().isdisjoint(uids)
    rows = []
    for reference, main in combinations(losses, 2):
        for score in scores[reference]:
            pair = scores[reference][score], scores[main][score]
            about = _of_length(pair[0], chosen[reference][score], uids, words, size) if known else {}
            rows.append(
                {
                    "data": name,
                    "score": score,
                    "reference": reference,
                    "main": main,
                    "overlap": overlap(chosen[reference][score], chosen[main][score]),
                    "chance": fraction,
                    "correlation": spearman(*pair),
                    **about,
                }
            )
    return rows


def _of_length(
    values: np.ndarray, chosen: np.ndarray, uids: list[str], words: Mapping[str, int], size: int
) -> dict[str, float]:
    known = np.array([uid in words for uid in uids])
    lengths = np.array([words.get(uid, 0) for uid in uids], np.float64)
    own = chosen[known[chosen]]
    return {
        "length_correlation": spearman(values[known], lengths[known]),
        "words": float(lengths[own].mean()),
        "words_of_all": float(lengths[known].mean()),
        "overlap_with_longest": overlap(chosen, largest(lengths, uids, size)),
    }


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of ranks, equal values having their mean rank; nan where a side does not vary."""
    first, second = mean_ranks(one), mean_ranks(other)
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
