"""Run sections of the benchmarks and write the page: `python -m benchmarks [section ...]`."""

import argparse
import datetime
import os
import shlex
import sys
from importlib import import_module
from pathlib import Path

# Before the numerical libraries load: a thread that waits by spinning would count as CPU time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from ftft.artifacts import write_text

from .options import Options
from .page import SECTIONS, page
from .report import machine, save, versions

ROOT = Path(__file__).parents[1]


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; sections default to all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="smallest form of each section, to see it work")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="real data sets")
    parser.add_argument("--cartography", type=Path, help="a checkout of allenai/cartography")
    parser.add_argument("--ftft", type=Path, help="a checkout of nlpsoc/FTFT")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="torch's threads")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "benchmarks.md", help="the page")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"unknown section(s) {', '.join(unknown)}: choose from {', '.join(SECTIONS)}")
    return options


def main(arguments: list[str]) -> None:
    """Run the sections asked for, save each as soon as it is done, and write the page."""
    asked = parse(arguments)
    options = Options(
        asked.quick,
        asked.data if asked.data.is_dir() else None,
        asked.cartography,
        asked.ftft,
        asked.threads,
    )
    folder = asked.write.with_suffix("")
    for name in asked.sections or SECTIONS:
        about = {
            "command": shlex.join(["python", "-m", "benchmarks", name, *_settings(asked)]),
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "threads": options.threads,
            "versions": versions(),
        }
        print(f"{name} ...", flush=True)
        save(folder, name, import_module(f"benchmarks.{name}").run(options), about)
        write_text(asked.write, page(folder))


def _settings(asked: argparse.Namespace) -> list[str]:
    # As typed but for paths, which are the reader's own.
    paths = [
        part for name in ("cartography", "ftft") if getattr(asked, name) for part in (f"--{name}", "...")
    ]
    return [*(["--quick"] if asked.quick else []), "--threads", str(asked.threads), *paths]


if __name__ == "__main__":
    main(sys.argv[1:])
