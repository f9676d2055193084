"""The command `ftft`: its start, and its dry run beside Snakemake's own."""

import sys
import tempfile
from pathlib import Path

from .harness import alternate, spread
from .options import Options
from .planning import planning_folders
from .report import Goal, Row, Table, compared

FTFT = [sys.executable, "-c", "from ftft.cli import main; raise SystemExit(main())"]
HELP_SECONDS = 0.3


def run(options: Options) -> list[Table]:
    """Seconds of `ftft --help`, and how `ftft run` compares with the call of Snakemake that it stands for."""
    with tempfile.TemporaryDirectory(prefix="ftft-benchmarks-") as folder:
        return [_help(options), _dry_run(Path(folder), options)]


def _help(options: Options) -> Table:
    shown = "ftft --help"
    runs = alternate({shown: [*FTFT, "--help"]}, options.repeats(15))[shown]
    goal = Goal(HELP_SECONDS, at_most=True)
    rows = [
        Row(shown, value=spread([run.wall for run in runs]), unit="s", goal=goal),
        Row(f"{shown}: CPU time", value=spread([run.cpu for run in runs]), unit="s"),
    ]
    note = "Wall seconds of a fresh process, files in the system's cache, and its CPU seconds."
    return Table("Start", rows, [note])


def _dry_run(folder: Path, options: Options) -> Table:
    place, target = planning_folders(folder / "planning", small=True)["the default configuration"]
    asked = ["--dry-run", "--cores", "1", "--", target]
    commands = {
        "ftft run --dry-run": [*FTFT, "run", *asked],
        "snakemake --dry-run": [sys.executable, "-m", "snakemake", *asked],
    }
    runs = alternate(commands, options.repeats(5), cwd=place)
    note = "All tables of the default configuration, nothing made yet, in one folder, imports included."
    return Table("Dry run", [compared(runs, *commands, goal=1.0)], [note])
