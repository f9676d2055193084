"""Whether reference models train for as many epochs as what selects by them needs."""

import math
from collections.abc import Iterator

from .. import registry
from .configuration import LENGTH_TABLE, Configuration
from .models import Recipe
from .tasks import Task

EPOCHS = "el2n_epochs"


def told_too_few(config: Configuration) -> Iterator[str]:
    """The faults of references that plan too few complete epochs, as far as the configuration shows it."""
    for place, task, model, selector in _references(config):
        if model not in config.models or task not in config.tasks:
            continue
        recipe = config.models[model].training
        epochs = complete_epochs(recipe, config.tasks[task])
        needed, listed = _needed(config, selector)
        if epochs is None or needed <= epochs:
            continue
        got = (
            f"got {recipe.steps} steps, complete epochs: {epochs},"
            if recipe.steps
            else f"got {recipe.epochs:g},"
        )
        length = "steps" if recipe.steps else "epochs"
        own = f"models.{model}.training.{length}"
        if listed and epochs >= registry.FEWEST_EPOCHS:
            yield (
                f"selection.{listed}: got {list(getattr(config.selection, listed))}, but the reference "
                f"'{model}' trains for {epochs} epochs, counted from 0"
            )
        else:
            yield (
                f"{own}: {got} but {place} selects by the training dynamics of '{model}', which must hold "
                f"{needed} complete epochs at least; raise it there or under training"
            )


def complete_epochs(recipe: Recipe, task: Task) -> int | None:
    """The complete epochs of a run to the end; None where only the data's size would tell."""
    if recipe.steps is None:
        return None if recipe.epochs is None else math.floor(recipe.epochs)
    train = task.datasets.get(task.train)
    if train is None or train.source != "demo" or train.share or train.where or train.rows is None:
        return None
    rows = min(train.rows, train.max_rows or train.rows)
    return recipe.steps // -(-rows // recipe.batch_size)


def _needed(config: Configuration, selector: str) -> tuple[int, str | None]:
    """How many epochs a selector needs, and the setting of `selection` that says so, if one does."""
    if _known(config, selector) and not config.needs_training(selector):
        return 0, None
    needed, listed = registry.FEWEST_EPOCHS, None
    if _known(config, selector):
        settings = config.selector_of(selector)[1]
        needed = max([needed, *(settings[name] + 1 for name in registry.EPOCH_SETTINGS if name in settings)])
    for name in _scores(config, selector):
        score = registry.SCORES[name]
        needed = max(needed, score.epochs)
        if "epochs" in score.settings and max(config.selection.el2n_epochs) + 1 > needed:
            needed, listed = max(config.selection.el2n_epochs) + 1, EPOCHS
    return needed, listed


def _scores(config: Configuration, selector: str) -> tuple[str, ...]:
    """The scores that a selector goes by; none where there is no such selector, which is another fault."""
    return config.scores_of(selector) if _known(config, selector) else ()


def _known(config: Configuration, selector: str) -> bool:
    return selector in registry.SELECTORS or selector in config.selections


def _references(config: Configuration) -> Iterator[tuple[str, str, str, str]]:
    """Who selects by a model's dynamics: the place, the task, the model and the selector, each model once."""
    seen = set()
    for place, task, model, selector in _all_references(config):
        reader = (task, model, _needed(config, selector))
        if reader not in seen:
            seen.add(reader)
            yield place, task, model, selector


def _all_references(config: Configuration) -> Iterator[tuple[str, str, str, str]]:
    for task, entry in config.finetune.items():
        if entry.model:
            yield f"finetune.{task}", task, entry.model, entry.selector or ""
    for name, table in config.tables.items():
        length = name.removeprefix(LENGTH_TABLE)
        place = f"tables.{name}" if length == name else f"figures.training_length.{length}"
        for index, row in enumerate(table.rows):
            if row.model:
                yield f"{place}.rows[{index}]", table.task, row.model, row.selector or ""
