"""How long a run is, when it is scored, and its learning rate at every step (paper, Appendix A.1)."""

from .batching import steps_per_epoch


def planned_steps(recipe: dict, instances: int) -> int:
    """Steps of a run to its end: as configured, else epochs over all `instances` of the task.

    A run on a selection takes as many steps as one on all data (paper, section 3).
    """
    if "steps" in recipe:
        return recipe["steps"]
    return max(1, round(recipe["epochs"] * steps_per_epoch(instances, recipe["batch_size"])))


def checkpoint_interval(recipe: dict, steps: int) -> int:
    """Steps between checkpoints: as configured, else the run's length over their number."""
    return recipe.get("checkpoint_every") or max(1, -(-steps // recipe["checkpoints"]))


def learning_rate_factor(step: int, steps: int, warmup_fraction: float) -> float:
    """Linear warm-up over the first share of the planned steps, then linear decay to 0."""
    warmup = round(warmup_fraction * steps)
    if step < warmup:
        return step / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))
