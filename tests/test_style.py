"""What a reader and the workflow catalog expect of the sources."""

import ast
import subprocess
import sys

import pytest


def run(root, *command):
    return subprocess.run(command, cwd=root, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "snakefmt", "--check", "Snakefile", "workflow/Snakefile", "rules"],
        ["-m", "snakemake", "--lint"],
    ],
    ids=lambda command: " ".join(command[1:3]),
)
def test_sources_are_clean(root, command):
    result = run(root, sys.executable, *command)
    assert result.returncode == 0, result.stdout + result.stderr


def test_modules_stay_small(root):
    sizes = {path.name: len(path.read_text().splitlines()) for path in root.glob("src/**/*.py")}
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_public_functions_have_docstrings(root):
    bare = [
        f"{path.name}:{node.name}"
        for path in root.glob("src/ftft/**/*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert bare == []


def test_reading_the_rules_imports_no_heavy_library(root):
    names = "config, fingerprint, job, plan, warm"
    heavy = {"torch", "transformers", "pandas", "datasets", "accelerate"}
    code = (
        f"import sys; sys.path.insert(0, 'src'); from ftft.pipeline import {names}; "
        f"print({heavy} & set(sys.modules))"
    )
    assert run(root, sys.executable, "-c", code).stdout.strip() == "set()"


# The rooms whose steps run in seconds; a recorder for other people's training loops needs torch by nature.
LIGHT_ROOMS = ("data", "cartography", "statistics", "results", "paper", "cli")
HEAVY_MODULES = {"cartography/response_recorder.py", "cartography/trainer.py"}


def test_light_steps_import_no_torch(root):
    package = root / "src" / "ftft"
    modules = [
        ".".join(("ftft", *path.relative_to(package).with_suffix("").parts))
        for room in LIGHT_ROOMS
        for path in sorted((package / room).rglob("*.py"))
        if path.relative_to(package).as_posix() not in HEAVY_MODULES and path.stem != "__main__"
    ]
    code = (
        "import sys; sys.path[0] = 'src'; from importlib import import_module\n"
        f"print([name for name in {modules} if import_module(name) and 'torch' in sys.modules][:1])"
    )
    result = run(root, sys.executable, "-c", code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_readme_fits_a_reader(root):
    assert len((root / "README.md").read_text().splitlines()) <= 200
