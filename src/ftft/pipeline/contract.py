"""What every artifact is made by: rule, script and slice of the configuration, told from its path.

Rules take their tracked parameter from here, jobs what they expect of the files that they read, and the plan
which files on disk the configuration has left behind.
"""

import inspect
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ..artifacts import RESULTS, canonical_json, read_stamp, value_hash
from ..cartography.supervision import CROSS_ENTROPY
from ..errors import ConfigError
from ..places import SCRIPTS
from ..tasks.metrics import metric
from . import figure_parameters as figures
from . import parameters as slices
from . import registry, verdicts
from .compare import table_of
from .config import Configuration
from .contents import Remembered, hashes
from .fingerprint import fingerprint
from .names import ALL_DATA, BUDGET, Supervision

RUN = "results/runs/{task}/{model}/{supervision}/{budget}/seed{seed}"
REFERENCE = "results/runs/{task}/{model}/all/full/seed{seed}"
WITHOUT_A_FOLD = "results/runs/{task}/{model}/without-{fold}/full/seed{seed}"
WILDCARDS = {
    "fold": r"\d+of\d+",
    "folds": r"\d+",
    "seed": r"\d+",
    "score": r"[a-z0-9_]+",
    "budget": BUDGET,
    "dataset": r"[^/]+?",
    "table": r"[^/]+?",
}
# Each objective is a function of its name there; the module imports torch, and is not imported here.
OBJECTIVES = "ftft.training.objectives"
LEFT_BY_A_RUN = ("model/config.json", "trajectory.parquet", "development.parquet", "ledger.json")


@dataclass(frozen=True)
class Rule:
    """A rule's script, the slice of the configuration that it reads, and the artifacts with a stamp that it
    writes.

    roots: by configuration and wildcards, what its script reaches through registries.
    """

    script: str
    slice_of: Callable[..., dict]
    artifacts: tuple[str, ...] = ()
    roots: Callable[..., tuple[str, ...]] | None = None


def _definition(thing: object) -> str:
    kind = thing if hasattr(thing, "__name__") else type(thing)
    return f"{kind.__module__}:{kind.__name__}"


def _task_roots(config: Configuration, task: str, **_: str) -> tuple[str, ...]:
    """A task's kind, and the metrics that its trainings record."""
    entry = config.tasks[task]
    metrics = [metric(name) for name in slices.recorded_metrics(entry)]
    return tuple(map(_definition, (registry.KINDS[entry.kind], *metrics)))


def _training_roots(
    config: Configuration, task: str, supervision: str = ALL_DATA, **_: str
) -> tuple[str, ...]:
    """Those of a task, and the objective that a supervision trains by."""
    selector = None if supervision == ALL_DATA else Supervision.parse(supervision).selector
    objective = config.objective_of(selector) if selector else CROSS_ENTROPY
    return (*_task_roots(config, task), f"{OBJECTIVES}:{objective}")


def _kind_roots(config: Configuration, task: str, **_: str) -> tuple[str, ...]:
    return (_definition(registry.KINDS[config.tasks[task].kind]),)


def _table_roots(config: Configuration, table: str, **_: str) -> tuple[str, ...]:
    return _kind_roots(config, table_of(config, table).task)


def _score_roots(config: Configuration, score: str, **_: str) -> tuple[str, ...]:
    return (_definition(registry.SCORES[score].function),)


def _map_roots(config: Configuration, **_: str) -> tuple[str, ...]:
    return tuple(_definition(registry.SCORES[name].function) for name in registry.MAP_SCORES)


def _supervision_roots(config: Configuration, task: str, supervision: str, **_: str) -> tuple[str, ...]:
    """The selector behind a supervision, the one that it starts from, and the kind of task."""
    spec = slices.supervision_slice(config, supervision)
    names = [spec["selector"], *([spec["settings"]["selector"]] if "selector" in spec["settings"] else [])]
    chosen = (registry.SELECTORS[name].definition for name in names)
    return (*chosen, *_kind_roots(config, task))


def _issue_roots(config: Configuration, task: str, **_: str) -> tuple[str, ...]:
    """The scores by which a label looks wrong, and the kind of task."""
    scores = (_definition(registry.SCORES[name].function) for name in config.issue_scores(task))
    return (*scores, *_kind_roots(config, task))


RULES = {
    "download_data": Rule(
        "download_data.py", slices.download_slice, ("results/downloads/{task}/{dataset}.parquet",)
    ),
    "prepare_data": Rule(
        "prepare_data.py", slices.dataset_slice, ("results/data/{task}/{dataset}.parquet",), _kind_roots
    ),
    "check_data": Rule(
        "check_data.py",
        slices.check_slice,
        ("results/checks/{task}.json", "results/checks/{task}.repeats.parquet"),
    ),
    "check_lengths": Rule(
        "check_lengths.py", slices.lengths_slice, ("results/checks/{task}/{model}.json",), _kind_roots
    ),
    "prepare_encoder": Rule(
        "prepare_encoder.py", slices.encoder_slice, ("results/encoders/{task}/{model}/provenance.json",)
    ),
    "train_reference": Rule(
        "train.py",
        slices.reference_slice,
        tuple(f"{REFERENCE}/{name}" for name in (*LEFT_BY_A_RUN, "dynamics.parquet")),
        _training_roots,
    ),
    "train_fold": Rule(
        "train.py",
        slices.fold_slice,
        tuple(f"{WITHOUT_A_FOLD}/{name}" for name in ("held_out.parquet", "ledger.json")),
        _training_roots,
    ),
    "gather_folds": Rule(
        "gather_folds.py",
        slices.map_slice,
        ("results/folds/{task}/{model}/{folds}/seed{seed}.parquet",),
        _kind_roots,
    ),
    "train_main": Rule(
        "train.py", slices.training_slice, tuple(f"{RUN}/{name}" for name in LEFT_BY_A_RUN), _training_roots
    ),
    "build_data_map": Rule(
        "build_data_map.py",
        slices.map_slice,
        ("results/maps/{task}/{model}/seed{seed}.parquet", "results/maps/{task}/{model}/seed{seed}.json"),
        _map_roots,
    ),
    "score_instances": Rule(
        "score_instances.py",
        slices.score_slice,
        ("results/maps/{task}/{model}/seed{seed}.{score}.parquet",),
        _score_roots,
    ),
    "look_before_training": Rule(
        "look_before_training.py",
        slices.before_slice,
        ("results/before/{task}/{model}.parquet", "results/before/{task}/{model}.json"),
        _kind_roots,
    ),
    "make_supervision": Rule(
        "make_supervision.py",
        slices.supervision_slice,
        (
            "results/supervisions/{task}/{supervision}/seed{seed}.parquet",
            "results/supervisions/{task}/{supervision}/seed{seed}.json",
        ),
        _supervision_roots,
    ),
    "evaluate": Rule(
        "evaluate.py",
        slices.evaluation_slice,
        ("results/evaluations/{task}/{model}/{supervision}/{budget}/seed{seed}/{dataset}.parquet",),
        _kind_roots,
    ),
    "write_finetuned": Rule("write_finetuned.py", slices.finetuned_slice),
    "write_compared_card": Rule("write_compared_card.py", slices.map_slice),
    "collect_scores": Rule("collect_scores.py", slices.scores_slice, ("results/scores/{table}.parquet",)),
    "compare_methods": Rule(
        "compare_methods.py", slices.comparisons_slice, ("results/comparisons/{table}.parquet",)
    ),
    "split_gains": Rule("split_gains.py", slices.gains_slice, ("results/gains/{table}.parquet",)),
    "describe_selections": Rule("describe_selections.py", figures.selections_slice, (), _table_roots),
    "plot_gains": Rule("plot_gains.py", figures.gains_figure_slice),
    "write_table": Rule("write_table.py", slices.table_slice),
    "write_model_costs": Rule("write_model_costs.py", slices.model_costs_slice),
    "write_easy_shares": Rule("write_easy_shares.py", slices.easy_share_slice),
    "write_patience": Rule("write_patience.py", slices.patience_slice),
    "write_claims": Rule("write_claims.py", slices.claims_slice),
    "write_preflight": Rule("write_preflight.py", slices.preflight_slice),
    "write_verdict": Rule("write_verdict.py", verdicts.verdict_slice),
    "plot_overlap": Rule("plot_overlap.py", figures.overlap_slice),
    "plot_true_class": Rule("plot_true_class.py", figures.true_class_slice),
    "plot_data_map": Rule("plot_data_map.py", figures.data_map_figure_slice),
    "write_map_page": Rule("write_map_page.py", figures.map_page_slice),
    "find_issues": Rule(
        "find_issues.py",
        slices.issues_slice,
        ("results/issues/{task}/{model}/seed{seed}.parquet",),
        _issue_roots,
    ),
    "collect_issues": Rule("collect_issues.py", slices.task_issues_slice, ("results/issues/{task}.json",)),
    "plot_training_length": Rule("plot_training_length.py", figures.training_length_slice),
    "plot_learning_curves": Rule("plot_learning_curves.py", figures.learning_curves_slice),
}


@cache
def _names(rule: str) -> list[str]:
    return [name for name in inspect.signature(RULES[rule].slice_of).parameters if name != "config"]


def code_of(rule: str, config: Configuration, wildcards: dict[str, str]) -> str:
    """The fingerprint of a rule's code."""
    roots = RULES[rule].roots
    return fingerprint(SCRIPTS / RULES[rule].script, roots(config, **wildcards) if roots else ())


def slice_of(rule: str, config: Configuration, wildcards: dict[str, str]) -> dict:
    """The slice of the configuration that a rule's job reads."""
    return RULES[rule].slice_of(config, **{name: wildcards[name] for name in _names(rule)})


def parameter(rule: str, config: Configuration, wildcards: dict[str, str]) -> str:
    """The one tracked parameter of a rule's job: what it reads of the configuration, and its code.

    Snakemake's cache between workflows goes by parameters, and not by names, so that the wildcards are in it.
    """
    slice_, code = slice_of(rule, config, wildcards), code_of(rule, config, wildcards)
    return canonical_json({"slice": slice_, "code": code, "of": wildcards})


@cache
def _patterns() -> dict[str, list[tuple[str, re.Pattern]]]:
    """By folder of results, the rules that write there and the patterns of their artifacts."""
    found: dict[str, list[tuple[str, re.Pattern]]] = {}
    for rule, entry in RULES.items():
        for artifact in entry.artifacts:
            parts = re.split(r"\{(\w+)\}", artifact)
            text = "".join(
                f"(?P<{part}>{WILDCARDS.get(part, '[^/]+')})" if place % 2 else re.escape(part)
                for place, part in enumerate(parts)
            )
            found.setdefault(artifact.split("/")[1], []).append((rule, re.compile(text)))
    return found


def maker_of(path: str) -> tuple[str, dict[str, str]] | None:
    """The rule that makes an artifact, with its wildcards; None for a path that no rule stamps."""
    parts = path.split("/", 2)
    for rule, pattern in _patterns().get(parts[1] if len(parts) > 2 else "", ()):
        if match := pattern.fullmatch(path):
            return rule, match.groupdict()
    return None


class Expectations:
    """By the path of an artifact, the hash of the slice that a configuration makes it by.

    None for a path that no rule stamps, or whose task, model, selection or table the configuration does not
    have.
    """

    def __init__(self, config: Configuration):
        self._config = config
        self._known: dict[tuple, str | None] = {}

    def __call__(self, path: str) -> str | None:
        made = maker_of(path)
        if made is None:
            return None
        rule, wildcards = made
        key = (rule, *(wildcards[name] for name in _names(rule)))
        if key not in self._known:
            slice_ = _where_known(slice_of, rule, self._config, wildcards)
            self._known[key] = None if slice_ is None else value_hash(slice_)
        return self._known[key]

    def code(self, path: str) -> str | None:
        """The fingerprint of the code that makes an artifact, None as above."""
        made = maker_of(path)
        return _where_known(code_of, made[0], self._config, made[1]) if made else None


def _where_known(of: Callable[..., Any], rule: str, config: Configuration, wildcards: dict) -> Any:
    """None where the configuration does not have what a path names."""
    try:
        return of(rule, config, wildcards)
    except (KeyError, ConfigError):
        return None


@dataclass
class Inventory:
    """What lies on disk of a configuration's artifacts: those to be made again, those that other code has
    made.
    """

    stale: dict[str, str] = field(default_factory=dict)
    other_code: dict[str, str] = field(default_factory=dict)


def take_stock(config: Configuration, prefix: str = "") -> Inventory:
    """Hold all artifacts on disk against the configuration and against each other, by their stamps.

    stale: by path, why an artifact is not what the configuration asks for. other_code: by path, the
    fingerprint of today's code. An artifact that is gone is neither.
    """
    expected, stamps = Expectations(config), Remembered("stamps", _summary)
    found = {path: stamps.of(prefix + path, status) for path, status in _walk(prefix)}
    stamps.save()
    hashes().save()
    inventory = Inventory()
    for path, stamp in found.items():
        wanted = expected(path)
        if wanted is None:
            continue
        if stamp is None or stamp["path"] != path:
            inventory.stale[prefix + path] = "it does not say that it is this file"
        elif stamp["slice"] != wanted:
            inventory.stale[prefix + path] = "it was made by other settings"
        elif changed := _changed_input(stamp, found):
            inventory.stale[prefix + path] = f"it was made from another {changed}"
        elif (code := expected.code(path)) not in (None, stamp["code"]):
            inventory.other_code[prefix + path] = code
    return inventory


def _changed_input(stamp: dict, found: dict[str, dict | None]) -> str | None:
    for path, content in stamp["inputs"].items():
        if path in found and (found[path] or {}).get("content") != content:
            return path
    return None


def _summary(path: str) -> dict | None:
    stamp = read_stamp(path)
    keys = ("path", "slice", "code", "content", "inputs")
    return {key: stamp[key] for key in keys} if stamp and set(keys) <= set(stamp) else None


def _walk(prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """All files below results/ that a rule stamps, and their status."""
    waiting = [f"{RESULTS}/{folder}" for folder in _patterns()]
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(prefix + folder))
        except OSError:
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif maker_of(path) and entry.is_file():
                yield path, entry.stat()
