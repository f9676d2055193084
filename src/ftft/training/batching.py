"""Batch plans: which instances share a batch, as pure functions of (seed, epoch)."""

from collections.abc import Iterator

import numpy as np

POOL_BATCHES = 50


def steps_per_epoch(instances: int, batch_size: int) -> int:
    """Batches in one pass; the last one may be smaller."""
    return -(-instances // batch_size)


def random_plan(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """A shuffled pass over all instances, as in the paper: batches of positions into `lengths`."""
    order = _generator(seed, epoch).permutation(len(lengths))
    return _cut(order, batch_size)


def length_grouped_plan(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """A shuffled pass in which instances of like length share a batch.

    The shuffled instances are cut into pools of `POOL_BATCHES` batches, each pool is sorted by
    length and cut into batches, and the batches are shuffled.
    """
    generator = _generator(seed, epoch)
    order = generator.permutation(len(lengths))
    batches = []
    for pool in _cut(order, POOL_BATCHES * batch_size):
        batches += _cut(pool[np.argsort(lengths[pool], kind="stable")], batch_size)
    return [batches[position] for position in generator.permutation(len(batches))]


PLANS = {"random": random_plan, "length_grouped": length_grouped_plan}


def training_batches(
    plan: str, lengths: np.ndarray, batch_size: int, seed: int, start: int = 0
) -> Iterator[np.ndarray]:
    """Endless batches of positions, epoch after epoch, behind the first `start` of them."""
    epoch, done = divmod(start, steps_per_epoch(len(lengths), batch_size))
    while True:
        yield from PLANS[plan](lengths, batch_size, seed, epoch)[done:]
        epoch, done = epoch + 1, 0


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, epoch]))


def _cut(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[start : start + size] for start in range(0, len(order), size)]
