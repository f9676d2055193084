"""The whole configuration."""

from typing import Annotated, Any

from pydantic import Field

from .. import registry
from .base import AtLeastOne, Name, Part, Whole, Word, key
from .models import Model, Recipe
from .settings import Checks, EarlyStopping, Figures, Issues, Runtime, Selection, Statistics
from .tables import DEFAULT_SELECTOR, Finetune, Mixture, Table
from .tasks import Task

LENGTH_TABLE = "training-length-"


class Configuration(Part):
    """Configuration of the FTFT workflow; config/README.md says what an edit of each key reruns."""

    seeds: AtLeastOne[Annotated[Whole, Field(ge=0)]] = key(
        (0, 1, 2, 3),
        meaning="list of seeds; reference and main model share each",
        reruns="an added seed: its own runs, tables",
        shown="`[0, 1, 2, 3]`",
    )
    tasks: Annotated[dict[Name, Task], Field(min_length=1)] = key(
        meaning="data and metric by task name, see below"
    )
    models: Annotated[dict[Name, Model], Field(min_length=1)] = key(meaning="encoders by name, see below")
    training: Recipe = key(
        Recipe, meaning="the recipe of all models, see below", reruns="all training", shown="the paper's"
    )
    early_stopping: EarlyStopping = key(
        EarlyStopping,
        meaning="stop rule of ERM(ES) and FTFT, see below",
        reruns="runs stopped early",
        shown="",
    )
    selection: Selection = key(
        Selection, meaning="which instances main models see, see below", reruns="selections", shown=""
    )
    tables: dict[Name, Table] = key(
        dict,
        meaning="rows of tables beside the paper's, by table name, see below",
        reruns="the table; runs it lacks",
        shown="`{}`",
    )
    selections: dict[Word, Mixture] = key(
        dict,
        meaning="selections that mix, by name, see below",
        reruns="the selection, its runs",
        shown="`{}`",
    )
    finetune: dict[Name, Finetune] = key(
        dict,
        meaning="the model to take home, by task, see below",
        reruns="the folder; runs it lacks",
        shown="`{}`",
    )
    issues: Issues = key(
        Issues, meaning="how wrong labels are found, see below", reruns="lists of issues", shown=""
    )
    statistics: Statistics = key(
        Statistics, meaning="the comparisons of methods, see below", reruns="comparisons, tables", shown=""
    )
    figures: Figures = key(
        Figures, meaning="what the figures show, see below", reruns="the figure; runs it lacks", shown=""
    )
    checks: Checks = key(Checks, meaning="checks of the data, see below", reruns="the check", shown="")
    runtime: Runtime = key(Runtime, meaning="how jobs run, see below", reruns="nothing", shown="")

    def issue_scores(self, task: str) -> tuple[str, ...]:
        """The scores by which the labels of a task look wrong."""
        return self.issues.scores or registry.KINDS[self.tasks[task].kind].issue_scores

    def selector_of(self, name: str) -> tuple[str, dict[str, Any]]:
        """The registered selector behind the name of one or of one of `selections`, and its settings."""
        own = self.selections.get(name)
        registered = own.mixture if own else name
        settings = own.settings if own else dict(registry.SELECTORS[name].settings)
        if registry.SELECTORS[registered].of_another:
            settings["selector"] = own.selector if own else DEFAULT_SELECTOR
        return registered, settings

    def signals_of(self, name: str) -> tuple[str, ...]:
        """What a selector, or one of `selections`, reads of the training dynamics themselves."""
        registered, settings = self.selector_of(name)
        other = registry.SELECTORS[settings["selector"]].signals if "selector" in settings else ()
        return tuple(dict.fromkeys([*registry.SELECTORS[registered].signals, *other]))

    def objective_of(self, name: str) -> str:
        """The objective that a selector, or one of `selections`, trains by."""
        return registry.SELECTORS[self.selector_of(name)[0]].objective

    def takes_all_rows(self, name: str) -> bool:
        """Whether a selector, or one of `selections`, takes every row."""
        return registry.SELECTORS[self.selector_of(name)[0]].all_rows

    def needs_training(self, name: str) -> bool:
        """Whether a selector, or one of `selections`, goes by the training of its reference."""
        return registry.needs_training(*self.selector_of(name))

    def scores_of(self, name: str) -> tuple[str, ...]:
        """The scores of a reference that a selector, or one of `selections`, goes by."""
        return registry.scores_read(*self.selector_of(name))
