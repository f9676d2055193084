import inspect
import os
import re
import sys
from pathlib import Path

from snakemake.caching import LOCATION_ENVVAR
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.current_basedir.join("..").get_path_or_uri(secret_free=True)).resolve()
SCRIPTS, SOURCE = ROOT / "workflow" / "scripts", ROOT / "src"
sys.path.insert(0, str(SOURCE))

from ftft.canonical import canonical_json
from ftft.errors import ConfigError
from ftft.pipeline import config as configuration
from ftft.pipeline import given
from ftft.paper import roles as paper
from ftft.pipeline import plan
from ftft.data.registry import SOURCES
from ftft.pipeline import parameters as slices
from ftft.pipeline import warm
from ftft.pipeline.fingerprint import fingerprint
from ftft.pipeline.job import ORCHESTRATOR, TERMINAL, prefer_code, this_process

prefer_code(SOURCE)
try:
    if workflow.is_main_process:
        for file in workflow.configfiles:
            given.check_file(file)
    config = configuration.resolve(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

config["runtime"]["configfiles"] = list(map(str, workflow.configfiles))
# A config for the CPU asks for no GPU, so that its runs may share a machine.
GPUS = 0 if config["runtime"]["device"] == "cpu" else 1
# All data and encoders are made and checked before the first training starts. Not a dependency of the training:
# a new evaluation set must retrain nothing, and ancient() would hide other reasons to retrain.
DATA_FIRST = 100
# Data, trainings and maps are shared between workflows where a user says at which place (docs/clusters.md).
SHARED = LOCATION_ENVVAR in os.environ
REGIONS = [*plan.REGIONS, *config["selections"]]
POLICY = {"mtime", "params", "input"}
ENCODER_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


# The gpu budget is one machine's: a cluster's scheduler counts its own devices.
resource_scopes:
    gpu="local",


def one_of(names):
    return "(?:" + "|".join(re.escape(name) for name in names) + ")"


wildcard_constraints:
    task=one_of(config["tasks"]),
    model=one_of(config["models"]),
    table=one_of(dict.fromkeys([*config["tables"], *paper.SCORE_TABLES])),
    dataset=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    selection=rf"full|(?:random|{one_of(config['models'])}-{one_of(REGIONS)})-\d+(?:\.\d+)?",
    budget=r"full|stopped-(?:ood|id)|steps-[1-9]\d*",
    seed=r"\d+",
    group=one_of(config["figures"]["overlap"]),


def spec(script, slice_of):
    """The one tracked parameter of a rule: what it reads of the configuration, and its code."""
    code = fingerprint(SCRIPTS / script)
    names = [name for name in inspect.signature(slice_of).parameters if name != "config"]

    def parameter(wildcards):
        arguments = {name: wildcards[name] for name in names}
        # Snakemake's cache between workflows goes by parameters, and not by names: the seed, say.
        of = dict(wildcards.items())
        return canonical_json({"slice": slice_of(config, **arguments), "code": code, "of": of})

    return parameter


def encoder_outputs(folder):
    """The files of an encoder's or model's folder, by name: Snakemake's cache asks for one each."""
    return {Path(name).stem: f"{folder}/{name}" for name in ENCODER_FILES}


def run_ledger(path):
    """A run's ledger, for Snakemake's report too."""
    names = ("model", "selection", "budget", "seed")
    return report(
        path,
        caption="../workflow/report/ledger.rst",
        category="Runs",
        subcategory="{task}",
        labels={name: f"{{{name}}}" if f"{{{name}}}" in path else "full" for name in names},
    )


def memory(wildcards, attempt):
    return config["runtime"]["mem_mb"] * attempt


def minutes(wildcards, attempt):
    return config["runtime"]["minutes"] * attempt


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
    if workflow.resource_settings.cores == 1 or (GPUS and budget == 1):
        os.environ[TERMINAL] = "1"
    # Real GPU runs are long enough to start cold, and CUDA does not survive a fork.
    if config["runtime"]["warm_start"] and not GPUS:
        warm.start()
