"""The workflow beside its work: start-up of each step, planning, and what a job costs Snakemake."""

import ast
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from .harness import alternate, peak_mb, spread
from .options import Options
from .planning import planning_folders
from .report import Row, Table

ROOT = Path(__file__).parents[1]
LIBRARY, SCRIPTS = ROOT / "src", ROOT / "workflow" / "scripts"
# It reads models; every other step must come up without torch.
HEAVY = "evaluate"
LIGHT = "make_supervision"
QUICK = (LIGHT, "collect_scores")
SHOWN = 3


def run(options: Options) -> list[Table]:
    """Seconds of start-up, of dry runs, and per job."""
    scripts = [path for path in sorted(SCRIPTS.glob("*.py")) if not options.quick or path.stem in QUICK]
    with tempfile.TemporaryDirectory(prefix="ftft-benchmarks-") as folder:
        return [_start_up(scripts, options), _planning(Path(folder), options), _jobs(Path(folder), options)]


def imports(script: Path, warm: bool = False) -> str:
    """The import statements at the top of a script; with `warm`, its hand-over to the warm server first."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    found = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    cold = [line for line in found if "hand_over" not in line]
    return "\n".join((["from ftft.pipeline.warm import hand_over", "hand_over()"] if warm else []) + cold)


def _start_up(scripts: list[Path], options: Options) -> Table:
    commands = {path.stem: [sys.executable, "-c", imports(path)] for path in scripts}
    runs = alternate(
        {"python alone": [sys.executable, "-c", ""], **commands}, options.repeats(3), cwd=LIBRARY
    )
    rows = []
    for name, timed in runs.items():
        slowest = _slowest_imports(name, commands[name]) if name in commands else ""
        rows.append(Row(name, value=spread([run.wall for run in timed]), unit="s", limit=slowest))
    note = (
        "Wall seconds of a fresh process that only does a script's imports, files in the system's cache; the"
        " libraries whose own modules take longest (-X importtime). Imports inside functions come later."
        f" Steps other than {HEAVY} are checked to load no torch."
    )
    return Table("Start-up of each step", rows, [note])


def _slowest_imports(script: str, command: list[str]) -> str:
    """The libraries slowest to import, with their seconds; raises where a light step loads torch."""
    python, *rest = command
    process = subprocess.run(
        [python, "-X", "importtime", *rest], cwd=LIBRARY, text=True, capture_output=True, check=True
    )
    seconds = library_seconds(process.stderr)
    if "torch" in seconds and script != HEAVY:
        raise RuntimeError(f"{script}.py imports torch, which it does not need")
    return ", ".join(f"{library} {taken:.2f} s" for library, taken in Counter(seconds).most_common(SHOWN))


def library_seconds(report: str) -> dict[str, float]:
    """Seconds that each library's own modules took, from the output of python -X importtime."""
    seconds: Counter[str] = Counter()
    for taken, module in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", report):
        seconds[module.partition(".")[0]] += int(taken) / 1e6
    return dict(seconds)


def _planning(folder: Path, options: Options) -> Table:
    rows = []
    for name, (place, target) in planning_folders(folder / "planning", small=options.quick).items():
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--", target]
        plan = subprocess.run(command, cwd=place, text=True, capture_output=True, check=True).stdout
        jobs = int(re.search(r"^total\s+(\d+)", plan, re.MULTILINE).group(1))
        runs = alternate({name: command}, options.repeats(3), cwd=place)[name]
        label = f"{name}, {jobs:,} jobs"
        rows.append(Row(label, value=spread([run.wall for run in runs]), unit="s"))
        rows.append(Row(f"{label}: peak memory", value=peak_mb(runs), unit="MB"))
    return Table("Dry runs", rows, ["`snakemake --dry-run` with nothing made yet, imports included."])


def _jobs(folder: Path, options: Options) -> Table:
    few, many = 1, 3 if options.quick else 6
    commands = {}
    for name, (rule, script) in _job_variants(options).items():
        place = folder / "jobs" / re.sub(r"\W+", "-", name)
        place.mkdir(parents=True)
        (place / "job.py").write_text(script, encoding="utf-8")
        for count in (few, many):
            file = place / f"Snakefile-{count}"
            file.write_text(_snakefile(rule, count, warm="hand_over()" in script), encoding="utf-8")
            commands[name, count] = [
                sys.executable, "-m", "snakemake", "--quiet", "all", "--cores", "1", "--forceall",
                "--directory", str(place), "-s", str(file),
            ]  # fmt: skip
    runs = alternate(commands, options.repeats(3))
    rows = []
    for name in _job_variants(options):
        pairs = zip(runs[name, many], runs[name, few], strict=True)
        per_job = spread([(long.wall - short.wall) / (many - few) for long, short in pairs])
        rows.append(Row(name, value=per_job, unit="s"))
    note = f"Wall seconds of a job that makes an empty file: {many} jobs less {few}, per job, one core."
    return Table("One job", rows, [note])


def _job_variants(options: Options) -> dict[str, tuple[str, str]]:
    touch = "from pathlib import Path\nPath(snakemake.output[0]).touch()\n"
    light, heavy = (SCRIPTS / f"{name}.py" for name in (LIGHT, HEAVY))
    variants = {
        "Snakemake, a shell rule": ("shell: 'touch {output}'", ""),
        "Snakemake, a script rule": ("script: 'job.py'", touch),
        f"ours, a light step's imports ({LIGHT})": ("script: 'job.py'", f"{imports(light)}\n{touch}"),
    }
    if not options.quick:
        variants |= {
            f"ours, imports of {HEAVY}, cold": ("script: 'job.py'", f"{imports(heavy)}\n{touch}"),
            f"ours, imports of {HEAVY}, warm start": (
                "script: 'job.py'",
                f"{imports(heavy, warm=True)}\n{touch}",
            ),
        }
    return variants


def _snakefile(rule: str, count: int, warm: bool) -> str:
    start = "onstart:\n    from ftft.pipeline import warm\n    warm.start()\n\n" if warm else ""
    return (
        f"import os, sys\nsys.path.insert(0, {str(LIBRARY)!r})\nos.environ['PYTHONPATH'] = {str(LIBRARY)!r}\n"
        f"{start}rule all:\n    input: expand('{{number}}.done', number=range({count}))\n\n"
        f"rule one:\n    output: '{{number}}.done'\n    {rule}\n"
    )
