"""Tasks and their data sets."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ...tasks.metrics import metric, metric_names
from .. import registry
from .base import (
    AtLeastOne,
    Commit,
    Line,
    Maybe,
    Name,
    Number,
    OneOf,
    Part,
    PlainText,
    Repository,
    Several,
    Text,
    Truth,
    Whole,
    key,
    spelled,
)

_KINDS = ", ".join(f"`{name}` ({kind.learns})" for name, kind in registry.KINDS.items())
_METRICS = "; ".join(
    f"`{name}`: {', '.join(f'`{found}`' for found in metric_names(name) if metric(found).monitored)}"
    for name in registry.KINDS
)
POOLS = ("entities", "all_words", "min")
PREPARATIONS = ("ramponi-tonelli", "official")
ROLES = ("nli", "hsd")


def _raw_labels(value: Any) -> Any:
    """Raw labels as the rows spell them."""
    if not isinstance(value, dict):
        return value
    spellings = [spelled(name) for name in value]
    for spelling in spellings:
        if (count := spellings.count(spelling)) > 1:
            raise PydanticCustomError(
                "fault",
                "{text}",
                {"text": f"{count} keys are spelled {spelling} in the rows; keep one of them"},
            )
    return dict(zip(spellings, value.values(), strict=True))


def _scalar(value: Any) -> Any:
    if isinstance(value, str | bool | int | float):
        return value
    raise PydanticCustomError("expected", "{expected}", {"expected": "text or a number or true or false"})


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Texts = Annotated[AtLeastOne[Text], Field(max_length=2)]
Scalar = Annotated[
    Any,
    BeforeValidator(_scalar, json_schema_input_type=str | float | bool),
]
Choices = Annotated[
    tuple[Scalar, ...],
    Field(min_length=1),
    BeforeValidator(_listed, json_schema_input_type=str | float | bool | list[str | float | bool]),
]
Share = Annotated[Number, Field(ge=0, le=1)]


class Dataset(Part):
    """A data set: where its rows come from, which of them are kept, what their columns mean."""

    source: Annotated[str, OneOf(lambda: registry.DATA_SOURCES)] = key(
        meaning="`file`, `cad` (the Contextual Abuse Dataset's file), `hub` or `demo` (the generated task)"
    )
    path: Maybe[Text] = key(
        None, meaning="`file`, `cad`: path from the working directory", shown="required there"
    )
    format: Maybe[Annotated[str, OneOf(lambda: registry.FORMATS)]] = key(
        None,
        meaning="`file`: `csv`, `tsv`, `jsonl` (JSON arrays too), `parquet`, `arrow`, or `saved` "
        "(a folder of the datasets library)",
        shown="by the suffix",
    )
    delimiter: Maybe[Annotated[Text, Field(max_length=1)]] = key(
        None,
        meaning="`file`: the one character between two cells of a CSV or TSV file",
        shown="comma, or tab in TSV",
    )
    encoding: Maybe[Text] = key(
        None, meaning="`file`: the encoding of the text, by Python's name, e.g. `cp1252`", shown="UTF-8"
    )
    quoting: Maybe[Truth] = key(
        None,
        meaning="`file`: whether a double quote encloses cells of a TSV file, as it always does in CSV",
        shown="false",
    )
    columns: Maybe[AtLeastOne[Text]] = key(
        None, meaning="`file`: names of the columns, for a file without a header", shown="the first line"
    )
    id: Maybe[Repository] = key(None, meaning="`hub`: the data set, as owner/name", shown="required there")
    name: Maybe[Text] = key(None, meaning="`hub`: the configuration of the data set", shown="none")
    revision: Maybe[Commit] = key(
        None,
        meaning="`hub`: pinned commit, all 40 digits. What was fetched once serves offline "
        "(`HF_HUB_OFFLINE=1`)",
        shown="required there",
    )
    split: Maybe[Text] = key(
        None,
        meaning="`hub`: a split; `cad`: `train`, `validation` or `test`; `demo`: `train`, `validation`, "
        "`r1_dev` ... `r3_test`",
        shown="required there",
    )
    preparation: Maybe[Annotated[str, OneOf(lambda: PREPARATIONS)]] = key(
        None,
        meaning="`cad`: `ramponi-tonelli` (the paper's: splits pooled, cleaned, drawn anew 80/10/10) or "
        "`official` (the file's own split and texts). Its columns are `uid`, `text` and `label` "
        "(`hateful`, `not_hateful`)",
        shown="`ramponi-tonelli`",
    )
    rows: Maybe[Annotated[Whole, Field(ge=1)]] = key(
        None, meaning="`demo`: number of rows", shown="required there"
    )
    seed: Annotated[Whole, Field(ge=0)] = key(0, meaning="`demo`: seed of the generator")
    text: Maybe[Texts] = key(
        None, meaning="text columns, where they differ from the task's", shown="the task's"
    )
    label: Maybe[Text] = key(None, meaning="label column, where it differs", shown="the task's")
    uid: Text | None = key(None, meaning="column of unique ids, where it differs", shown="the task's")
    group: Text | None = key(None, meaning="column of groups, where it differs", shown="the task's")
    label_names: Maybe[Annotated[dict[str, PlainText], BeforeValidator(_raw_labels)]] = key(
        None,
        meaning='mapping from values of the label column to the task\'s labels, e.g. `{"0": entailment}`',
        shown="none",
    )
    where: Maybe[Annotated[dict[PlainText, Choices], Field(min_length=1)]] = key(
        None,
        meaning="keep only the rows with these values, as text, in these columns: one value or a list by "
        "column, e.g. `{split: dev, label: [0, 1, 2]}`",
        shown="all rows",
    )
    share: Maybe[Annotated[tuple[Share, ...], Field(min_length=2, max_length=2)]] = key(
        None,
        meaning="keep the rows that a hash of their texts puts from the first of two numbers on to below "
        "the second, e.g. `[0, 0.8]`: one file named three times is split in three, and equal texts stay "
        "together",
        shown="all rows",
    )
    drop_empty: Truth = key(
        False, meaning="leave out rows whose text or label is empty or missing, instead of refusing them"
    )
    corrections: Maybe[Text] = key(
        None,
        meaning="path of a file of corrections, with columns `uid` and `label` (empty: the row is left out), "
        "as the page of a data map exports it",
        shown="none",
    )
    max_rows: Maybe[Annotated[Whole, Field(ge=1)]] = key(
        None, meaning="keep this many rows, chosen by a hash of the uid", shown="all"
    )


class Task(Part):
    """A task: training data, evaluation data and metric."""

    kind: Annotated[str, OneOf(lambda: registry.KINDS)] = key(
        "classification",
        meaning=f"what is learnt: {_KINDS}; see [docs/kinds.md](../docs/kinds.md)",
        reruns="everything",
    )
    labels: Maybe[AtLeastOne[Line]] = key(
        None,
        meaning="label names in the order of the class indices; `token_classification`: the entity types, "
        "e.g. `[PER, LOC]`",
        reruns="everything",
        shown="required for kinds with classes",
    )
    stands_for: Maybe[Annotated[str, OneOf(lambda: ROLES)]] = key(
        None,
        meaning="the paper's task whose part this one plays, `nli` or `hsd`; see \"The paper's tables\"",
        reruns="tables",
        shown="its own name",
    )
    metric: Annotated[str, OneOf(lambda: registry.METRICS)] = key(
        "accuracy",
        meaning=f"what early stopping monitors and tables show; {_METRICS}",
        reruns="stopped runs, scores",
    )
    text: Texts = key(
        ("text",),
        meaning="one or two text columns, e.g. `[premise, hypothesis]`",
        reruns="its data sets and on",
        shown="`[text]`",
    )
    choices: Maybe[AtLeastOne[Text]] = key(
        None,
        meaning="`multiple_choice`: the columns that hold the choices",
        reruns="its data sets and on",
        shown="required there",
    )
    answer_starts: Maybe[Text] = key(
        None,
        meaning="`question_answering`: the column of the characters, from 0, at which the answers begin",
        reruns="its data sets and on",
        shown="those in SQuAD's objects {text, answer_start}",
    )
    pool: Maybe[Annotated[str, OneOf(lambda: POOLS)]] = key(
        None,
        meaning="`token_classification`: what p_true of a sentence is made from, `entities` (the mean over "
        "words that are, or were taken for, a part of an entity), `all_words` (the mean over all) or `min` "
        "(the least of all)",
        reruns="its data sets and on",
        shown="`entities`",
    )
    max_new_tokens: Maybe[Annotated[Whole, Field(ge=1)]] = key(
        None,
        meaning="`generation`: evaluations generate responses of so many tokens at most, which "
        "`response_match`, `answer_match` and `rouge_l` compare",
        reruns="evaluation, tables",
        shown="none are generated",
    )
    label_columns: Maybe[AtLeastOne[Text]] = key(
        None,
        meaning="`multilabel`: columns of 0 and 1, one for each of the labels in their order",
        reruns="its data sets and on",
        shown="the label column holds lists",
    )
    label: Text = key("label", meaning="label column", reruns="its data sets and on")
    uid: Text | None = key(
        None, meaning="column of unique ids; `null`: rows are numbered", reruns="its data sets and on"
    )
    group: Text | None = key(
        None,
        meaning="column that says which rows belong together, such as those of one premise or document: "
        "`share` keeps them together, and the check for leakage counts them",
        reruns="its data sets and on",
        shown="none",
    )
    train: Name = key(meaning="the data set to train on", reruns="everything")
    validation: Name = key(
        meaning="the in-distribution (ID) set, scored at every checkpoint; a run no better there than "
        "the trivial answer has failed",
        reruns="all training",
    )
    dev: Several[Name] = key(
        (),
        meaning="out-of-distribution (OOD) development sets, scored at every checkpoint",
        reruns="all training",
        shown="`[]`",
    )
    evaluate: AtLeastOne[Name] = key(
        meaning="evaluation sets: the columns of the tables", reruns="evaluation, tables"
    )
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)] = key(
        meaning="data sets by name, see below"
    )

    def columns_of(self, dataset: str) -> dict:
        """The text, label and uid columns of one of the task's data sets, and that of its groups."""
        own = self.datasets[dataset].given()
        shared = {"text": list(self.text), "label": self.label, "uid": self.uid}
        if self.group or own.get("group"):
            shared["group"] = self.group
        return {name: own.get(name, column) for name, column in shared.items()}

    @property
    def development_sets(self) -> list[str]:
        """The data sets scored at every checkpoint: the in-distribution one first."""
        return [self.validation, *(name for name in self.dev if name != self.validation)]

    @property
    def used_datasets(self) -> list[str]:
        """The data sets that the task reads: training, development, evaluation, each once."""
        return list(dict.fromkeys([self.train, *self.development_sets, *self.evaluate]))
