"""What is shown and kept: tables with their rows, selections that mix, models to take home."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .. import registry
from .base import AtLeastOne, Line, Made, Maybe, Name, Number, OneOf, Part, Several, Whole, key

METHODS = {
    # method: (trains on a supervision of its own, stops early)
    "ERM": (False, False),
    "ERM(ES)": (False, True),
    "DM": (True, False),
    "FTFT": (True, True),
}
MONITORS = ("ood", "id")
DEFAULT_SELECTOR = "ambiguous"
# In place of a reference model: the selection asks none.
RANDOM = "random"
# The selector of random rows with the label make-up and lengths of another selection.
MATCHED = registry.MATCHED_SELECTORS[-1]

Fraction = Annotated[Number, Field(gt=0, le=1)]


class Row(Part):
    """A row of a table: a method, its main model, and what that trains on."""

    section: Maybe[Line] = key(None, meaning="a heading in the table", shown="none")
    method: Annotated[str, OneOf(lambda: METHODS)] = key(meaning="`ERM`, `ERM(ES)`, `DM` or `FTFT`")
    main: Name = key(meaning="the model that is trained")
    reference: Maybe[Name] = key(
        None,
        meaning="DM and FTFT: the model whose training dynamics select, or `random`",
        shown="required there",
    )
    selector: Maybe[Name] = key(
        None,
        meaning="which end of which score is selected: {selectors}; or one of `selections` by name. With "
        "`reference: random` only what needs no model",
        shown="`ambiguous`; with `random`, chance",
    )
    fraction: Maybe[Fraction] = key(
        None, meaning="share of the training instances to select", shown="`selection.fraction`"
    )
    steps: Maybe[Annotated[Whole, Field(ge=1)]] = key(
        None,
        meaning="ERM and DM: a run planned for that many steps, with a schedule of its own",
        shown="the recipe's",
    )
    monitor: Made[Maybe[Annotated[str, OneOf(lambda: MONITORS)]]] = key(
        None, meaning="what stops the row's runs"
    )

    @property
    def selects(self) -> bool:
        """Whether the row's runs train on a supervision of their own."""
        return METHODS[self.method][0]

    @property
    def stops(self) -> bool:
        """Whether the row's runs stop early."""
        return METHODS[self.method][1]

    @property
    def model(self) -> str | None:
        """The model whose dynamics the row selects by; None for all data and for `random`."""
        return None if self.reference == RANDOM else self.reference


class Table(Part):
    """A table of results."""

    task: Name = key(meaning="the task that it shows")
    title: Maybe[Line] = key(None, meaning="first words of its caption", shown="the table's name")
    metric: Maybe[Annotated[str, OneOf(lambda: registry.METRICS)]] = key(
        None,
        meaning="score shown: one that fits the kind of task, for `generation` also `response_match`, "
        "`answer_match` or `rouge_l`",
        shown="the task's",
    )
    cost_of: Maybe[Name] = key(
        None, meaning="the model whose ERM run costs 100", shown="main model of the last row"
    )
    rows: Annotated[tuple[Row, ...], Field(min_length=1)] = key(meaning="list of rows, below")
    baselines: bool = key(
        True,
        meaning="`generation`: rows of random, `longest` and `ifd` selections are added where absent",
    )
    left_out: Made[tuple[str, ...]] = key((), meaning="the paper's rows whose models are absent")

    @property
    def cost_unit(self) -> str:
        """The model whose ERM run costs 100: as configured, else the main model of the last row."""
        return self.cost_of or self.rows[-1].main

    def with_baselines(self, names: Iterable[str]) -> "Table":
        """The table with a row for each of these selectors beside every selection of a reference, where it
        has none; costs stay those of the same model.
        """
        rows = {(row.main, row.model, row.selector, row.fraction, row.steps) for row in self.rows}
        added = []
        for row in self.rows if self.baselines else ():
            for name in names if row.model else ():
                bound = name in registry.selectors(reference=True)
                wanted = {
                    "method": "DM",
                    "main": row.main,
                    "reference": row.model if bound else "random",
                    **({} if name == "random" else {"selector": name}),
                    **row.dump("fraction", "steps"),
                }
                made = Row.model_validate(wanted)
                known = (made.main, made.model, made.selector, made.fraction, made.steps)
                if known not in rows:
                    rows.add(known)
                    added.append(made.model_copy(update={} if added else {"section": "Baselines"}))
        changes = {"rows": (*self.rows, *added), "cost_of": self.cost_unit} if added else {}
        return self.model_copy(update=changes)


class Finetune(Part):
    """The model to take home."""

    main: Name = key(meaning="the model that is fine-tuned", reruns="the runs it lacks, the folder")
    reference: Name = key(
        meaning="the model whose training dynamics select, or `random`",
        reruns="the runs it lacks, the folder",
    )
    selector: Maybe[Name] = key(
        None,
        meaning="as in rows",
        reruns="the runs it lacks, the folder",
        shown="`ambiguous`; with `random`, chance",
    )
    fraction: Maybe[Fraction] = key(
        None, meaning="as in rows", reruns="the runs it lacks, the folder", shown="`selection.fraction`"
    )
    seeds: Maybe[AtLeastOne[Annotated[Whole, Field(ge=0)]]] = key(
        None,
        meaning="one run each; the best by the score that stops them is kept",
        reruns="the runs it lacks, the folder",
        shown="the first of all seeds",
    )
    license: Line = key(
        "unknown", meaning="licence named by the card, by the hub's identifiers", reruns="the folder"
    )

    @property
    def model(self) -> str | None:
        """The model whose dynamics select; None for `random`."""
        return None if self.reference == RANDOM else self.reference


class Mixture(Part):
    """A selection that mixes; the settings that it takes beside are those of its mixture."""

    model_config = ConfigDict(extra="allow")

    mixture: Annotated[str, OneOf(registry.mixtures)] = key(
        meaning="{mixtures}", reruns="the selection, its runs"
    )
    selector: Annotated[str, OneOf(lambda: registry.selectors(reference=True))] = key(
        DEFAULT_SELECTOR,
        meaning="which end of which score is selected, as in rows",
        reruns="the selection, its runs",
    )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the mixture, complete."""
        return {**registry.SELECTORS[self.mixture].settings, **(self.model_extra or {})}


def matched_name(selections: Mapping[str, Mixture], selector: str) -> str | None:
    """The name of the control that has the labels and lengths of what `selector` selects.

    None where a control cannot start from it: it takes every row, or is one of `selections` itself.
    """
    if selector in selections or registry.SELECTORS[selector].all_rows:
        return None
    if selector == DEFAULT_SELECTOR:
        return MATCHED
    named = (
        name
        for name, own in selections.items()
        if (own.mixture, own.selector, own.settings) == (MATCHED, selector, {})
    )
    return next(named, f"{MATCHED}_{selector.replace('-', '_')}")


class TrainingLength(Part):
    """The runs of shorter planned length behind a figure."""

    main: Name = key(meaning="the model that is trained")
    references: Several[Name] = key(meaning="models whose training dynamics select, or `random`")
    steps: AtLeastOne[Annotated[Whole, Field(ge=1)]] = key(meaning="planned lengths beside the full one")
