"""The console command `ftft`: configurations, the state of runs, wrong labels, archives of tables."""

import argparse
import os
import sys
from pathlib import Path

from ..errors import FtftError


def main(arguments: list[str] | None = None) -> int:
    """Run `ftft`; returns its exit code: 1 for a fault, which is told in one message."""
    chosen = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # No name of a file and no locale may end a command.
            stream.reconfigure(errors="backslashreplace")
    try:
        # Loaded when asked for: the state of runs is shown at once.
        if chosen.command == "init":
            from .init import init as command
        elif chosen.command == "issues":
            from .issues import issues as command
        elif chosen.command == "archive":
            from .archive import archive as command
        elif chosen.command == "select":
            from .select import select_ids as command
        elif chosen.command == "transfer":
            from .transfer import transfer_table as command
        else:
            from .status import status as command
        command(chosen)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough, as `head` has. Python would complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ModuleNotFoundError as error:
        print(
            f"ftft {chosen.command} needs the workflow's environment: no module {error.name}", file=sys.stderr
        )
        print("  what to do: run it in a clone, in the environment that make table1 sets up", file=sys.stderr)
        return 1
    except FtftError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("ftft", description="Fine-tune with transferred training dynamics.")
    commands = parser.add_subparsers(dest="command", required=True)

    init = commands.add_parser("init", help="write a configuration from a file of texts and labels")
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

    status = commands.add_parser("status", help="list training runs and failed jobs")
    status.add_argument("--results", metavar="FOLDER", type=Path, default=Path("results"))
    status.add_argument("--logs", metavar="FOLDER", type=Path, default=Path("logs"))
    status.add_argument(
        "--scratch", metavar="FOLDER", type=Path, help="runtime.scratch; else RESULTS/scratch"
    )
    status.add_argument("--json", action="store_true", help="for machines")

    issues = commands.add_parser("issues", help="show labels that are probably wrong, worst first")
    issues.add_argument("task", metavar="TASK", nargs="?", help="the task's name; else all tasks")
    issues.add_argument("--results", metavar="FOLDER", type=Path, default=Path("results"))
    issues.add_argument("--first", metavar="COUNT", type=int, default=20, help="how many to show")

    archive = commands.add_parser("archive", help="keep a table's predictions and ledgers, without texts")
    archive.add_argument("folder", metavar="FOLDER", type=Path, help="where: docs/results/NAME, say")
    archive.add_argument("--configfile", metavar="YAML", type=Path, nargs="+", required=True)
    archive.add_argument("--table", metavar="NAME", required=True)
    archive.add_argument("--results", metavar="FOLDER", type=Path, default=Path("results"))
    select = commands.add_parser("select", help="ids of the rows that training dynamics select")
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

    transfer = commands.add_parser(
        "transfer", help="what losses of a small model select, and a large one's too, by score"
    )
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
    return parser
