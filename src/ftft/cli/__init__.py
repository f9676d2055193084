"""The console command `ftft`: the workflow from any folder, configurations, the state of runs, and more."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from .. import __version__
from ..errors import FtftError
from .neutral import neutral_text
from .run import VERBS

# The module and the function behind a command.
COMMANDS = {
    "init": "init:init",
    "status": "status:status",
    "issues": "issues:issues",
    "references": "references:references",
    "corrections": "corrections:corrections",
    "archive": "archive:archive",
    "select": "select:select_ids",
    "transfer": "transfer:transfer_table",
    "open": "open:open_page",
    "completion": "completion:completion",
    **dict.fromkeys(("run", *VERBS), "run:run"),
}
HELP = {"-h", "--help"}
WATCH_SECONDS = 2.0
SHELLS = ("bash", "zsh", "fish")


def main(arguments: list[str] | None = None) -> int:
    """Run `ftft`; returns its exit code: 1 for a fault, which is told in one message."""
    chosen = _chosen(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # No name of a file and no locale may end a command.
            stream.reconfigure(errors="backslashreplace")
    try:
        # Loaded when asked for: help and the state of runs are shown at once.
        module, _, name = COMMANDS[chosen.command].partition(":")
        getattr(import_module(f".{module}", __name__), name)(chosen)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough, as `head` has. Python would complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ModuleNotFoundError as error:
        print(
            f"ftft {chosen.command} needs the workflow's environment: no module {error.name}", file=sys.stderr
        )
        print('  what to do: pip install "ftft[workflow]"; in a clone: make table1', file=sys.stderr)
        return 1
    except FtftError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"ftft {chosen.command}: {_named(error)}", file=sys.stderr)
        print("  what to do: name a place where files can be read and written", file=sys.stderr)
        return 1
    return 0


def _named(error: OSError) -> str:
    """Which file, and what is wrong with it."""
    file = error.filename2 or error.filename
    return ": ".join([*([neutral_text(os.fsdecode(file))] if file else []), error.strerror or str(error)])


def _chosen(arguments: list[str]) -> argparse.Namespace:
    """The command and its arguments; those of Snakemake are left to Snakemake."""
    command, *rest = arguments or [""]
    if COMMANDS.get(command) == "run:run" and not HELP & set(rest):
        return argparse.Namespace(command=command, arguments=rest)
    return parser().parse_args(arguments)


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    whole = argparse.ArgumentParser(
        "ftft",
        description="Fine-tune with transferred training dynamics.",
        epilog="example: ftft init reviews.csv && ftft finetune",
    )
    whole.add_argument("--version", action="version", version=f"ftft {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)

    init = _command(
        commands, "init", "write a configuration from a file of texts and labels", "ftft init reviews.csv"
    )
    init.add_argument("file", metavar="FILE", help="csv, tsv, json, parquet, arrow, or a folder of datasets")
    init.add_argument("--validation", metavar="FILE", help="validation data; else a tenth of FILE")
    init.add_argument(
        "--evaluate", metavar="NAME=FILE", nargs="+", action="extend", default=[], help="further test sets"
    )
    init.add_argument("--text", metavar="COLUMN", nargs="+", help="one text column, or the two of a pair")
    init.add_argument("--label", metavar="COLUMN")
    init.add_argument("--uid", metavar="COLUMN")
    init.add_argument("--encoding", metavar="NAME", help="of the text files, e.g. cp1252; else UTF-8")
    init.add_argument("--group", metavar="COLUMN", help="rows that belong together, such as of one document")
    init.add_argument(
        "--kind", metavar="KIND", help="the kind of task (docs/kinds.md); else told by the values"
    )
    init.add_argument("--reference", metavar="MODEL", help="the small model: owner/name@COMMIT or a folder")
    init.add_argument("--main", metavar="MODEL", help="the large model")
    init.add_argument("--output", metavar="YAML", type=Path, default=Path("ftft.yaml"))
    init.add_argument("--task", metavar="NAME", help="the task's name; else the file's")

    example = "ftft run finetune --cores 4 --config 'seeds=[0]'"
    _runs(_command(commands, "run", "run the workflow in this folder, by snakemake", example))
    for verb, (target, meaning) in VERBS.items():
        _runs(_command(commands, verb, f"{meaning}: ftft run {target}", f"ftft {verb} --dry-run"))

    status = _command(commands, "status", "list training runs and failed jobs", "ftft status --watch")
    _results(status)
    status.add_argument("--logs", metavar="FOLDER", type=Path, default=Path("logs"))
    _scratch(status)
    status.add_argument("--json", action="store_true", help="for machines")
    status.add_argument(
        "--watch",
        metavar="SECONDS",
        type=float,
        nargs="?",
        const=WATCH_SECONDS,
        help=f"look again every SECONDS ({WATCH_SECONDS:g} by default) until Ctrl-C; with --json print one "
        "line each time",
    )

    example = "ftft issues reviews --first 50"
    issues = _command(commands, "issues", "show labels that are probably wrong, worst first", example)
    issues.add_argument("task", metavar="TASK", nargs="?", help="the task's name; else all tasks")
    _results(issues)
    issues.add_argument("--first", metavar="COUNT", type=int, default=20, help="how many to show")
    issues.add_argument(
        "--unfinished", action="store_true", help="by unfinished reference runs, as of their last whole epoch"
    )
    _scratch(issues)

    meaning = "show how the reference models rank after each epoch, also while they train"
    ranked = _command(commands, "references", meaning, "ftft references")
    ranked.add_argument("task", metavar="TASK", nargs="?", help="the task's name; else all tasks")
    _results(ranked)
    _scratch(ranked)

    example = "ftft corrections export.json --data results/data/reviews/train.parquet"
    meaning = "turn what another tool says of labels into a file of corrections"
    corrections = _command(commands, "corrections", meaning, example)
    corrections.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="a frame of cleanlab's label issues, an export of Argilla or Label Studio, or a folder of "
        "allenai/cartography",
    )
    corrections.add_argument(
        "--data",
        metavar="PARQUET",
        type=Path,
        required=True,
        help="the data set as the workflow prepared it: results/data/TASK/DATASET.parquet",
    )
    corrections.add_argument(
        "--question", metavar="NAME", help="whose answers are labels, where several were asked"
    )
    corrections.add_argument("--output", metavar="CSV", type=Path, default=Path("corrections.csv"))

    shown = _command(commands, "open", "show the newest page (data map, preflight, report)", "ftft open")
    _results(shown)

    example = "ftft archive kept --configfile ftft.yaml --table methods"
    archive = _command(commands, "archive", "keep a table's predictions and ledgers, without texts", example)
    archive.add_argument("folder", metavar="FOLDER", type=Path, help="where: docs/results/NAME, say")
    archive.add_argument("--configfile", metavar="YAML", type=Path, nargs="+", required=True)
    archive.add_argument("--table", metavar="NAME", required=True)
    archive.add_argument(
        "--earlier",
        metavar="FOLDER",
        type=Path,
        nargs="+",
        default=[],
        help="archives that have the runs missing in the results",
    )
    _results(archive)
    example = "ftft select dynamics.parquet --rule learning_percentage --out ids.txt"
    select = _command(commands, "select", "write the ids of the rows that training dynamics select", example)
    select.add_argument(
        "dynamics",
        metavar="DYNAMICS",
        type=Path,
        help="dynamics.parquet, or a folder of allenai/cartography, S2L (checkpoint-N/losses.pt) or "
        "Small2Large (epoch-N.pkl)",
    )
    select.add_argument("--rule", metavar="NAME", default="ambiguous_within_difficulty")
    select.add_argument(
        "--selector",
        metavar="NAME",
        default="ambiguous",
        help="what a rule such as within_lengths starts from",
    )
    select.add_argument("--fraction", metavar="SHARE", type=float, default=0.33)
    select.add_argument("--seed", metavar="NUMBER", type=int, default=0)
    select.add_argument("--clusters", metavar="COUNT", type=int, default=100, help="of the rule s2l")
    select.add_argument("--rows", metavar="FILE", type=Path, help="the rows, in the order of the dynamics")
    select.add_argument("--uid", metavar="COLUMN", help="ids of the rows; else they are numbered from 0")
    select.add_argument("--response", metavar="COLUMN", help="the responses, for what goes by length")
    select.add_argument("--out", metavar="FILE", type=Path, required=True, help="an id per line")
    select.add_argument("--keep", metavar="JSONL", type=Path, help="the selected rows of --rows")

    example = "ftft transfer losses.parquet --responses rows.parquet"
    meaning = "compare what losses of a small model select with what a large one's do, by score"
    transfer = _command(commands, "transfer", meaning, example)
    transfer.add_argument(
        "losses",
        metavar="LOSSES",
        type=Path,
        nargs="+",
        help="Parquet: uid, and MODEL|EPOCH for each model, small ones first; epoch 0 is before training",
    )
    transfer.add_argument(
        "--responses", metavar="FILE", type=Path, nargs="+", help="Parquet: uid, response; tells lengths"
    )
    transfer.add_argument("--fraction", type=float, default=0.33, help="share of the rows; 0.33")
    transfer.add_argument(
        "--output", metavar="CSV", type=Path, default=Path("results/tables/transfer.csv"), help="the table"
    )

    example = "ftft completion bash > ~/.local/share/bash-completion/completions/ftft"
    completion = _command(commands, "completion", "print a shell's completion of ftft", example)
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=" or ".join(SHELLS))
    return whole


def _command(commands, name: str, meaning: str, example: str) -> argparse.ArgumentParser:
    epilog = f"example: {example}"
    return commands.add_parser(name, help=meaning, description=f"{meaning}.".capitalize(), epilog=epilog)


def _results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", metavar="FOLDER", type=Path, default=Path("results"))


def _scratch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scratch", metavar="FOLDER", type=Path, help="runtime.scratch; else RESULTS/scratch"
    )


def _runs(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [TARGET ...] [ARGUMENT OF SNAKEMAKE ...]"
    parser.add_argument(
        "targets", metavar="TARGET", nargs="*", help="a rule or a file (README, What to ask for)"
    )
    parser.add_argument(
        "arguments",
        metavar="ARGUMENT",
        nargs="*",
        help="whatever snakemake takes: --dry-run, --cores, --config, --profile slurm, ...; unless it says "
        "otherwise, this folder's ftft.yaml and all cores are used, and one training at a time for each GPU",
    )
