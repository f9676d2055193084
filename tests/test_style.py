"""What a reader and the workflow catalog expect of the sources."""

import ast
import subprocess
import sys

import pytest

from ftft.pipeline.config import load_schema


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


LIGHT_MODULES = [
    "cli.init",
    "cli.status",
    "data.checks",
    "cartography.datamap",
    "cartography.dynamics",
    "cartography.overlap",
    "cartography.interchange",
    "cartography.mixtures",
    "cartography.ranking",
    "cartography.scores",
    "cartography.selection",
    "cartography.selection_file",
    "cartography.recorder",
    "statistics.bootstrap",
    "paper.claims",
    "results.finetuned",
    "results.map_page",
    "results.patience",
    "results.preflight",
    "statistics.comparisons",
    "results.figures.data_map",
    "results.figures.learning_curves",
    "results.figures.overlap",
    "results.figures.training_length",
    "results.figures.true_class",
    "results.tables",
]


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_steps_import_no_torch(root, module):
    code = f"import sys; sys.path[0] = 'src'; import ftft.{module}; print('torch' in sys.modules)"
    assert run(root, sys.executable, "-c", code).stdout.strip() == "False"


def test_config_readme_names_every_key(root):
    text = (root / "config" / "README.md").read_text()

    def keys(schema):
        for key, entry in schema.get("properties", {}).items():
            yield key
            yield from keys(entry)
        for entry in schema.get("$defs", {}).values():
            yield from keys(entry)

    assert (
        sorted({key for key in keys(load_schema()) if f"`{key}`" not in text and f"`{key}:" not in text})
        == []
    )


def test_readme_fits_a_reader(root):
    assert len((root / "README.md").read_text().splitlines()) <= 200
