"""Copies of the workflow to plan in: its default configuration, and one of ten thousand jobs."""

import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SOURCES = ("Snakefile", "rules", "src", "workflow", "profiles", "envs", "config")
# 4 main models x 28 fractions x 18 seeds: a supervision for each fraction and seed, a run and its evaluation
# on four sets for each model; with references, maps and data about 11,000 jobs.
MAINS = (
    "standin-deberta-v3-base",
    "standin-deberta-v3-large",
    "standin-electra-base",
    "standin-electra-large",
)
REFERENCE = "standin-deberta-v3-small"
FRACTIONS, SEEDS = 28, 18


def planning_folders(folder: Path, small: bool) -> dict[str, tuple[Path, str]]:
    """Folder and target of each plan by name; `small` keeps a tenth of the seeds and fractions."""
    default = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    configurations = {
        "the default configuration": (default, "all"),
        "models x seeds x fractions": (
            grid(default, *((3, 4) if small else (FRACTIONS, SEEDS))),
            "results/tables/grid.csv",
        ),
    }
    return {
        name: (_copy(folder / str(number), config), target)
        for number, (name, (config, target)) in enumerate(configurations.items())
    }


def grid(default: dict, fractions: int, seeds: int) -> dict:
    """The default configuration with a table of every main model at every fraction, and more seeds."""
    rows = [
        {"method": "DM", "main": main, "reference": REFERENCE, "fraction": percent / 100}
        for main in MAINS
        for percent in range(2, 2 + fractions)
    ]
    return {**default, "seeds": list(range(seeds)), "tables": {"grid": {"task": "demo", "rows": rows}}}


def _copy(folder: Path, config: dict) -> Path:
    folder.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / name)
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return folder
