"""Settings of the whole workflow: stopping, selecting, statistics, figures, checks, and how jobs run."""

from typing import Annotated

from pydantic import Field

from .. import registry
from .base import AtLeastOne, Made, Maybe, Name, Number, OneOf, Part, Several, Text, Truth, Whole, key
from .tables import MONITORS, Fraction, TrainingLength

RULES = ("exact", "quantile")
FAILED_REFERENCES = ("refuse", "mark")
LEAKAGE = ("refuse", "warn", "ignore")
DEVICES = ("auto", "cpu")
TRACKERS = ("tensorboard", "wandb", "trackio")
SHARDINGS = ("none", "fsdp2")
KEPT = ("all", "finetuned", "none")
KEPT_STATES = ("planned", "all", "none")
Positive = Annotated[Whole, Field(ge=1)]


class EarlyStopping(Part):
    """The stop rule of the methods ERM(ES) and FTFT."""

    patience: Positive = key(
        2,
        meaning="checkpoints in a row without improvement before a run stops",
        reruns="runs stopped early",
    )
    monitors: AtLeastOne[Annotated[str, OneOf(lambda: MONITORS)]] = key(
        ("ood",),
        meaning="list of `ood` (mean score of `dev`) and `id` (score of `validation`, for users without "
        "OOD sets); every row that stops early is shown once per monitor",
        reruns="an added monitor: its own runs, tables",
        shown="`[ood]`",
    )


class Selection(Part):
    """Which training instances main models see."""

    fraction: Fraction = key(
        0.33,
        meaning="share of the training instances to select, above 0 to 1",
        reruns="selections, their runs",
    )
    rule: Annotated[str, OneOf(lambda: RULES)] = key(
        "exact",
        meaning="`exact`: round(fraction x n) instances, ties by a hash of the uid; `quantile`: strictly "
        "above the quantile, as the authors' code (ties shrink it)",
        reruns="selections, their runs",
    )
    el2n_epochs: AtLeastOne[Annotated[Whole, Field(ge=0)]] = key(
        (1,),
        meaning="epochs, counted from 0, whose mean EL2N the selector `el2n` goes by",
        reruns="selections by `el2n`",
        shown="`[1]`",
    )


class Issues(Part):
    """How labels that are probably wrong are found."""

    scores: Maybe[AtLeastOne[Annotated[str, OneOf(lambda: registry.ISSUE_SCORES)]]] = key(
        None,
        meaning="scores of the training dynamics by which a label looks wrong: {issue_scores}; of several "
        "the mean rank. Where none are named, they are those of the kind of task: {default_issue_scores}",
        reruns="the lists of issues",
        shown="by the kind of task",
    )
    folds: Maybe[Annotated[Whole, Field(ge=2, le=20)]] = key(
        None,
        meaning="number of parts of the rows: each reference is trained once more without each part, and the "
        "scores of a part are those of the training without it",
        reruns="the trainings of folds that it lacks, the lists of issues",
        shown="the reference run alone",
    )


class Statistics(Part):
    """The comparisons of methods."""

    resamples: Annotated[Whole, Field(ge=1000)] = key(
        10_000,
        meaning="bootstrap resamples of the evaluation examples",
        reruns="comparisons, tables, claims",
    )
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = key(
        0.95,
        meaning="of the intervals; what remains of 1 is the level of the tests",
        reruns="comparisons, tables, claims",
    )


class Figures(Part):
    """What the figures show."""

    overlap: Maybe[dict[Name, Several[Name]]] = key(
        None,
        meaning="models whose ambiguous instances are compared, by figure, e.g. `{sizes: [small, large]}`",
        reruns="the figure",
        shown="the paper's groups, else all models",
    )
    hard_fraction: Annotated[Number, Field(gt=0, lt=1)] = key(
        0.1,
        meaning="share of instances called hard-to-learn in the figure of the true class's probability",
        reruns="the figure",
    )
    training_length: dict[Name, TrainingLength] = key(
        dict,
        meaning="by task: `main` (a model), `references` (models, or `random`), `steps` (planned lengths "
        "beside the full one): the figure and table of score against training length",
        reruns="runs it lacks, figure",
        shown="none",
    )


class Checks(Part):
    """Checks of the prepared data."""

    leakage: Annotated[str, OneOf(lambda: LEAKAGE)] = key(
        "warn",
        meaning="training instances found in evaluation sets: `refuse`, `warn` (in "
        "`results/checks/<task>.json` and the log) or `ignore`",
        reruns="the check",
    )
    near_duplicates: Annotated[Number, Field(gt=0, le=1)] = key(
        0.8,
        meaning="least similarity of near duplicates, the share of runs of five characters that two texts "
        "have in common; 1: equal texts alone",
        reruns="the check, lists of issues",
    )
    failed_reference: Annotated[str, OneOf(lambda: FAILED_REFERENCES)] = key(
        "refuse",
        meaning="a reference run that does no better than the trivial answer: `refuse` stops before a main "
        "model is trained on its map, `mark` trains on and marks and leaves out what rests on it",
        reruns="nothing",
    )


class Runtime(Part):
    """How jobs run; never what they compute."""

    device: Annotated[str, OneOf(lambda: DEVICES)] = key(
        "auto", meaning="`auto`: a visible GPU; `cpu`: jobs ask for no GPU and may share a machine"
    )
    require_gpu: Truth = key(False, meaning="fail where no GPU is visible instead of training on a CPU")
    processes: Positive = key(
        1,
        meaning="processes of one training, each with a GPU of its own, that share out every batch: the "
        "dynamics and data order of one, weights to rounding (dropout draws other masks). See "
        "[docs/several-gpus.md](../docs/several-gpus.md)",
    )
    sharding: Annotated[str, OneOf(lambda: SHARDINGS)] = key(
        "none",
        meaning="what the processes of one training share out beside the batches: `none`, or `fsdp2`: "
        "weights, gradients and the optimiser's moments too, for models whose training no one GPU holds, "
        "with transformers' code; the same to rounding (dropout draws other masks). An evaluation is one "
        "process with the whole model",
    )
    micro_batch_size: Maybe[Positive] = key(
        None,
        meaning="instances that a process trains on at once: a batch is worked off in parts of this size "
        "and gives the same step to rounding, in less memory",
        shown="on a GPU the whole batch, on a CPU 2,048 padded tokens, of long rows fewer",
    )
    gradient_checkpointing: Truth = key(
        False,
        meaning="keep only the input of each layer for the backward pass, and compute the rest again: the "
        "same step to rounding in less memory, slower by a third or more",
    )
    threads: Positive = key(
        1,
        meaning="CPU threads per training job, over all its processes (results on a CPU differ in the "
        "last bits between thread counts)",
    )
    mem_mb: Positive = key(
        16_000,
        meaning="memory (MB) that training and evaluation jobs ask a cluster for; doubled on a second "
        "attempt",
    )
    minutes: Positive = key(720, meaning="time limit (minutes) of these jobs; doubled on a second attempt")
    evaluation_batch_tokens: Maybe[Positive] = key(
        None,
        meaning="padded tokens per batch when development and evaluation sets are scored; rows of more "
        "than 128 tokens come in batches of fewer",
        shown="`16384` on a GPU, `3072` on a CPU",
    )
    fast_models: Truth = key(
        True,
        meaning="train and evaluate with this workflow's own code for BERT, RoBERTa, ELECTRA and "
        "DeBERTa: the same results to rounding (dropout draws other masks); `false`: transformers' code",
    )
    keep_models: Annotated[str, OneOf(lambda: KEPT)] = key(
        "all",
        meaning="which trained models are kept: `all` (an evaluation set added later retrains nothing), "
        "`finetuned` (those under `results/finetuned/`) or `none`",
    )
    scratch: Text = key(
        "results/scratch",
        meaning="folder for tokens (each data set once per tokenizer) and for the states of running "
        "trainings; a fast disk that all jobs see",
    )
    state_minutes: Annotated[Number, Field(ge=0)] = key(
        15.0,
        meaning="a training saves its state this often, and at SIGTERM or Ctrl-C; three times the size of "
        "its model",
        shown="`15`",
    )
    keep_states: Annotated[str, OneOf(lambda: KEPT_STATES)] = key(
        "planned",
        meaning="which last states of runs that stopped early are kept: `planned` (until the run to the end "
        "that the configuration has beside it went on from there), `all` (also for those that may be wanted "
        "with more patience later) or `none`",
    )
    trackers: Several[Annotated[str, OneOf(lambda: TRACKERS)]] = key(
        (),
        meaning="experiment trackers that get losses, learning rates and development scores: list of "
        "`tensorboard` (files under `results/tracking/`), `wandb`, `trackio`; pip install "
        "`tensorboardX`, `wandb`, `trackio`",
        shown="`[]`",
    )
    warm_start: Truth = key(
        True, meaning="with `device: cpu`: jobs fork from one process that has torch loaded"
    )
    configfiles: Made[tuple[str, ...]] = key((), meaning="the files that the configuration was read from")
