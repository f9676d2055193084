"""Runs of the workflow in folders of their own, through the command line as a user would."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

SOURCES = ("Snakefile", "rules", "src", "workflow", "profiles", "envs", "config")
JOB_COUNT = re.compile(r"^(\w+)\s+(\d+)$", re.MULTILINE)


class Workflow:
    """A copy of the workflow's files with a configuration of its own."""

    def __init__(self, root: Path, folder: Path, config: dict):
        self.root, self.folder = root, folder
        self.config_file = folder / "config" / "config.yaml"
        self.pristine_config = config
        folder.mkdir(parents=True, exist_ok=True)
        self.restore()

    def restore(self) -> None:
        """Bring every source file and the configuration back, with fresh modification times."""
        for name in SOURCES:
            source, target = self.root / name, self.folder / name
            if source.is_dir():
                shutil.copytree(
                    source,
                    target,
                    dirs_exist_ok=True,
                    copy_function=shutil.copyfile,
                    ignore=shutil.ignore_patterns("__pycache__"),
                )
            else:
                shutil.copyfile(source, target)
        self.write_config(self.pristine_config)

    def copy(self, folder: Path) -> "Workflow":
        """The same workflow in another folder, with results and records of its own."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Workflow(self.root, folder, self.pristine_config)

    def write_config(self, config: dict) -> None:
        self.config_file.write_text(yaml.safe_dump(config, sort_keys=False))

    def config(self) -> dict:
        return yaml.safe_load(self.config_file.read_text())

    def edit(self, change) -> None:
        """Let `change` alter the configuration in place."""
        config = self.config()
        change(config)
        self.write_config(config)

    def snakemake(
        self, *arguments: str, timeout: float = 900, python_path: str | Path = ""
    ) -> subprocess.CompletedProcess:
        """Run snakemake here; its output, both streams together, is in `stdout`."""
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
            cwd=self.folder,
            text=True,
            timeout=timeout,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(python_path)},
        )

    def dry_run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a dry run, in a fork of this process, which has Snakemake imported."""
        import snakemake.cli

        log = self.folder / "dry-run.log"
        if (child := os.fork()) == 0:
            code = 70
            try:
                with open(log, "wb") as file:
                    os.dup2(file.fileno(), 1)
                    os.dup2(file.fileno(), 2)
                sys.stdout = sys.stderr = io.TextIOWrapper(
                    io.FileIO(1, "w", closefd=False), write_through=True
                )
                os.chdir(self.folder)
                # The library is this workflow's own.
                sys.path[:] = [path for path in sys.path if Path(path) != self.root / "src"]
                for name in [name for name in sys.modules if name.partition(".")[0] == "ftft"]:
                    del sys.modules[name]
                snakemake.cli.main(["--dry-run", "--cores", "1", *arguments])
            except SystemExit as end:
                code = end.code or 0
            finally:
                os._exit(code if isinstance(code, int) else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), log.read_text()

    def planned(self, *arguments: str, target: str = "paper") -> dict[str, int]:
        """Jobs by rule that a dry run would start for `target`."""
        code, shown = self.dry_run(*arguments, "--", target)
        assert code == 0, shown
        stats = shown.partition("Job stats:")[2].partition("total")[0]
        return {rule: int(count) for rule, count in JOB_COUNT.findall(stats) if rule != target}
