import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from snakemake.caching import LOCATION_ENVVAR
from snakemake.exceptions import WorkflowError

# The library beside these rules: in src/ of a clone, or around them where the package is installed. Rules
# that Snakemake fetches from a repository have none beside them, and take the installed one.
ROOT = Path(workflow.current_basedir.join("..").get_path_or_uri(secret_free=True)).resolve()
SOURCES = [
    folder for folder in (ROOT / "src", ROOT.parent.parent) if (folder / "ftft" / "places.py").is_file()
]
KNOWN = list(sys.path)
sys.path[:0] = map(str, SOURCES)
if find_spec("ftft") is None:
    raise WorkflowError(
        "The library of this workflow is not installed\n"
        "  what to do: install the version that these rules are of, pip install 'ftft[workflow]'"
    )

from ftft.artifacts import RESULTS
from ftft.errors import ConfigError
from ftft.pipeline import config as configuration
from ftft.pipeline import compare, continuation, contract, dag
from ftft.paper import roles as paper
from ftft.pipeline import names, plan, registry
from ftft.pipeline import parameters as slices
from ftft.pipeline import verdicts, warm
from ftft.pipeline.job import TERMINAL, prefer_code
from ftft.execution.orchestrator import BARS, ORCHESTRATOR, this_process

for folder in SOURCES:
    # Jobs find an installed package by themselves.
    if folder.name == "src" or str(folder) not in KNOWN:
        prefer_code(folder)
try:
    if workflow.is_main_process:
        for file in workflow.configfiles:
            configuration.check_file(file)
    settings = configuration.resolve(
        config,
        command_line=workflow.config_settings.config,
        configfiles=list(map(str, workflow.configfiles)),
    )
except ConfigError as error:
    raise WorkflowError(str(error)) from None

# Rules read `settings`; jobs get the same as plain data, by `snakemake.config`.
config = settings.dump()
# Where this is a module with a prefix, whatever lies under results/ is below that.
PREFIX = dag.prefix_of(workflow)
if Path(settings.runtime.scratch).parts[0] == RESULTS:
    config["runtime"]["scratch"] = PREFIX + settings.runtime.scratch
if workflow.is_main_process:
    dag.hold_to(contract.take_stock(settings, PREFIX))
# A config for the CPU asks for no GPU, so that its runs may share a machine.
GPUS = 0 if settings.runtime.device == "cpu" else 1
# Data and encoders are made before the first training starts, so that a fault of theirs costs no training.
DATA_FIRST = 100
# A model that is temporary is scored, and goes, before the next training starts.
SCORES_SOON = 50
# Of no use to a job, which reads these rules too.
TRAINING_ORDER = continuation.priorities(settings) if workflow.is_main_process else {}
# Data, trainings and maps are shared between workflows where a user says at which place (docs/clusters.md).
SHARED = LOCATION_ENVVAR in os.environ
# What chooses without a reference model, and what with one.
CHANCE = ["random", *(f"random-{name}" for name in registry.selectors(reference=False))]
SELECTORS = [*registry.selectors(reference=True), *settings.selections]
ENCODER_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
ADAPTER_FILES = ["adapter_config.json", "adapter_model.safetensors"]
POLICY = {"mtime", "params", "input"}


# The gpu budget is one machine's: a cluster's scheduler counts its own devices.
resource_scopes:
    gpu="local",


def one_of(names):
    return "(?:" + "|".join(re.escape(name) for name in names) + ")"


SUPERVISION = rf"all|(?:{one_of(CHANCE)}|{one_of(settings.models)}-{one_of(SELECTORS)})-\d+(?:\.\d+)?"


wildcard_constraints:
    task=one_of(settings.tasks),
    model=one_of(settings.models),
    table=one_of(
        dict.fromkeys([*settings.tables, *map(compare.compare_name, settings.finetune), *paper.SCORE_TABLES])
    ),
    verdict=one_of(verdicts.verdict_names(settings)),
    dataset=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    supervision=SUPERVISION,
    budget=names.BUDGET,
    seed=r"\d+",
    group=one_of(settings.figures.overlap),
    fold=r"[1-9]\d*of[1-9]\d*",
    folds=r"[1-9]\d*",


def spec(rule):
    """The one tracked parameter of a rule: what it reads of the configuration, and its code."""

    def parameter(wildcards):
        return contract.parameter(rule, settings, dict(wildcards.items()))

    return parameter


def encoder_outputs(folder):
    """The files of an encoder's or model's folder, by name: Snakemake's cache asks for one each."""
    return {Path(name).stem: f"{folder}/{name}" for name in ENCODER_FILES}


def kept_by(choices, files):
    """Outputs that are temporary unless `runtime.keep_models` is one of these."""
    return files if settings.runtime.keep_models in choices else temp(files)


def model_outputs(folder):
    """The files of a run's model."""
    return {name: kept_by(["all"], path) for name, path in encoder_outputs(folder).items()}


def run_ledger(path):
    """A run's ledger, for Snakemake's report too."""
    whole = {"supervision": plan.ALL_DATA, "budget": plan.FULL_LENGTH}
    labels = {
        name: f"{{{name}}}" if f"{{{name}}}" in path else whole[name]
        for name in ("model", "supervision", "budget", "seed")
    }
    return report(
        path, caption="../workflow/report/ledger.rst", category="Runs", subcategory="{task}", labels=labels
    )


def run_priority(wildcards):
    """By run, which training goes before which: see `continuation.priorities`."""
    whole = {"supervision": plan.ALL_DATA, "budget": plan.FULL_LENGTH, **dict(wildcards.items())}
    return TRAINING_ORDER.get("{task}/{model}/{supervision}/{budget}/seed{seed}".format(**whole), 0)


def memory(wildcards, attempt):
    return settings.runtime.mem_mb * attempt


def minutes(wildcards, attempt):
    return settings.runtime.minutes * attempt


def warn_about_policy():
    if set(map(str, workflow.rerun_triggers)) != POLICY:
        logger.warning(
            "Rerun triggers differ from profiles/default: edits of comments may retrain models. "
            "Run from the workflow's folder, or pass --workflow-profile with its profiles/default."
        )


def prepare_jobs():
    """Let the jobs of this call know whether they run alone, and keep torch loaded for small ones."""
    os.environ[ORCHESTRATOR] = this_process()
    budget = workflow.global_resources.get("gpu")
    alone = workflow.resource_settings.cores == 1 or (GPUS and budget == 1)
    if alone and BARS not in os.environ:
        os.environ[TERMINAL] = "1"
    # Real GPU runs are long enough to start cold, and CUDA does not survive a fork.
    if settings.runtime.warm_start and not GPUS:
        warm.start()
