"""Where the files of the workflow lie: beside `src/` in a clone, inside the package where it is installed."""

from pathlib import Path

PACKAGE = Path(__file__).parent
INSTALLED = PACKAGE / "_workflow"
WORKFLOW = INSTALLED if INSTALLED.is_dir() else PACKAGE.parents[1]

SNAKEFILE = WORKFLOW / "Snakefile"
CONFIG = WORKFLOW / "config"
PROFILES = WORKFLOW / "profiles"
SCRIPTS = WORKFLOW / "workflow" / "scripts"
REPORT = WORKFLOW / "workflow" / "report"
