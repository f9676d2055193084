"""`ftft run` and the verbs that are targets of it: the call of Snakemake that they stand for."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

from .. import places
from ..errors import ConfigError, FtftError
from ..execution.devices import visible_devices

CONFIGURATION = Path("ftft.yaml")
# Snakemake takes it by itself where there is one, as in a clone.
OWN_DEFAULT = Path("config", "config.yaml")
# What each verb asks for, and what it does.
VERBS = {
    "check": ("check", "read and check configuration, data and encoders; nothing is trained"),
    "preflight": ("preflight", "train the reference models, and see what FTFT would cost"),
    "finetune": ("finetune", "train the model to take home, with its scores and its model card"),
    "compare": ("compare", "say whether FTFT paid: after finetune, its controls beside it at equal compute"),
    "table1": ("results/tables/table1.csv", "set FTFT beside plain fine-tuning, as the paper's Table 1"),
}


def run(chosen: argparse.Namespace) -> None:
    """Print the call of Snakemake that `chosen` stands for, and become it: exit code, signals and output are
    Snakemake's. On a terminal the bars of trainings are drawn beneath, and so Snakemake is a child.

    Raises ConfigError where no configuration is given and the folder has none, and FtftError where Snakemake
    is not installed.
    """
    if find_spec("snakemake") is None:
        raise FtftError("snakemake is not installed", fix='pip install "ftft[workflow]"')
    from . import bars

    verb = [VERBS[chosen.command][0]] if chosen.command in VERBS else []
    arguments = snakemake_arguments(chosen.arguments, verb)
    print(shlex.join(["snakemake", *arguments]), file=sys.stderr, flush=True)
    # -P: a file of this folder is no module of Snakemake's.
    command = [sys.executable, "-P", "-m", "snakemake", *arguments]
    if bars.wanted():
        raise SystemExit(bars.run_beneath(command, Path(_said(arguments).directory, "logs", "train")))
    os.execv(sys.executable, command)


def snakemake_arguments(given: Sequence[str], targets: Sequence[str] = ()) -> list[str]:
    """What `snakemake` is called with in this folder: `given`, and what else the workflow needs.

    `given` holds targets, arguments of Snakemake, and after `--` targets again. A shipped profile may be
    called by its name alone. All cores are taken, and as many trainings run at a time as there are GPUs,
    unless a profile or `given` says otherwise.
    """
    first = list(takewhile(lambda word: not word.startswith("-"), given))
    options, further = _parted(list(given)[len(first) :])
    said = _said(options)
    defaults = [] if Path.cwd() == places.WORKFLOW else ["--snakefile", str(places.SNAKEFILE)]
    if said.profile is None:
        devices = len(visible_devices())
        defaults += [] if said.cores or said.jobs else ["--cores", "all"]
        defaults += ["--resources", f"gpu={devices}"] if devices > 1 and not said.resources else []
    elif not Path(said.profile).exists() and (shipped := places.PROFILES / said.profile).is_dir():
        options = [str(shipped) if word == said.profile else word for word in options]
    defaults += [] if said.configfile else _configuration()
    targets = [*targets, *first, *further]
    return [*defaults, *options, *(["--", *targets] if targets else [])]


def _parted(words: list[str]) -> tuple[list[str], list[str]]:
    """The words before and behind a `--`."""
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def _said(options: list[str]) -> argparse.Namespace:
    """What arguments of Snakemake say of cores, resources, profile and configuration."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--cores", "-c", nargs="?", const="all")
    parser.add_argument("--jobs", "-j", nargs="?", const="all")
    parser.add_argument("--resources", "--res", nargs="*")
    parser.add_argument("--configfile", "--configfiles", nargs="*")
    parser.add_argument("--profile")
    parser.add_argument("--directory", "-d", default="")
    return parser.parse_known_args(options)[0]


def _configuration() -> list[str]:
    if CONFIGURATION.is_file():
        return ["--configfile", str(CONFIGURATION)]
    if OWN_DEFAULT.is_file():
        return []
    shipped = shlex.quote(str(places.CONFIG / "config.yaml"))
    raise ConfigError(
        "this folder has no configuration",
        got=f"no {CONFIGURATION} in {Path.cwd()}, and no --configfile",
        fix="ftft init FILE writes one for a file of texts and labels. To see the generated task that is "
        f"shipped: ftft table1 --configfile {shipped}",
    )
