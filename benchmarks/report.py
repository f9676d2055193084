"""Results of a section: tables of rows, saved as JSON under docs/benchmarks/, rendered as one page."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ftft.artifacts import indented_json, write_text

from .harness import Run, Spread, rate, ratios

LIBRARIES = (
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "tokenizers",
    "numpy",
    "pyarrow",
    "pandas",
    "duckdb",
    "polars",
    "snakemake",
    "disentangled-flash",
    "datasketch",
    "trl",
)
# Instruction sets that decide which matrix kernels a CPU runs.
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")


@dataclass(frozen=True)
class Goal:
    """What a row should reach: at least `value`, or at most where less is better."""

    value: float
    at_most: bool = False

    def reached(self, measured: float) -> bool:
        """Whether the measured median is there."""
        return measured <= self.value if self.at_most else measured >= self.value


@dataclass(frozen=True)
class Row:
    """One line of a table: a ratio against a peer (`cpu`, `wall`), or a plain `value` in `unit`.

    `limit` is a lasting fact that bounds the row, never a measured claim.
    """

    variant: str
    against: str | None = None
    cpu: Spread | None = None
    wall: Spread | None = None
    value: Spread | None = None
    unit: str = ""
    goal: Goal | None = None
    limit: str = ""

    @property
    def measured(self) -> float:
        """What the goal is about: the ratio per CPU second, else per wall second, else the value."""
        return (self.cpu or self.wall or self.value).median


@dataclass(frozen=True)
class Table:
    """Rows under a heading; `notes` are sentences on what was run (data, sizes, sampling)."""

    title: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def compared(
    runs: dict[str, Sequence[Run]],
    variant: str,
    against: str,
    goal: float | None = None,
    limit: str = "",
    unit: str = "",
) -> Row:
    """The row `variant` against `against` of interleaved runs; `unit` names the work, for the rate shown."""
    cpu, wall = ratios(runs, variant, against)
    return Row(
        variant,
        against,
        cpu,
        wall,
        value=rate(runs[variant]) if unit else None,
        unit=f"{unit} per CPU second" if unit else "",
        goal=None if goal is None else Goal(goal),
        limit=limit,
    )


def machine() -> dict:
    """CPU, cores, instruction sets, memory, and the load by other work at this moment."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    fields = {key.strip(): text.strip() for key, text in fields.items()}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    family = f" (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else ""
    return {
        "cpu": (fields.get("model name") or platform.processor() or platform.machine()) + family,
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in FLAGS if flag in flags],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that the sections use."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def save(folder: Path, section: str, tables: list[Table], about: dict) -> None:
    """Write docs/benchmarks/<section>.json; `about` says machine, versions, command and date."""
    about = {**about, "tables": [asdict(table) for table in tables]}
    write_text(folder / f"{section}.json", indented_json(about))


def load(path: Path) -> tuple[list[Table], dict]:
    """The tables of a section's file, and what it says about their making."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    tables = [Table(t["title"], [_row(row) for row in t["rows"]], t["notes"]) for t in saved.pop("tables")]
    return tables, saved


def _row(saved: dict) -> Row:
    spreads = {key: Spread(**saved[key]) for key in ("cpu", "wall", "value") if saved[key]}
    goal = {"goal": Goal(**saved["goal"])} if saved["goal"] else {}
    return Row(**{**saved, **spreads, **goal})
