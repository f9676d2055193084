"""Every command in the documentation: planned, or run where that is quick, in a folder like a reader's."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ftft.cli import COMMANDS

ROOT = Path(__file__).parents[2]
SECTIONS = {path.stem for path in ROOT.glob("benchmarks/*.py")} | {"SECTION"}
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "config/README.md",
    ROOT / "profiles/README.md",
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\w+=\w+ )?(?:snakemake|ftft|make|python -m|pip|git) [^`]*)`")
SOURCES = ("Snakefile", "rules", "src", "workflow", "profiles", "envs", "config")
START = re.compile(r"(?:\w+=\w+ )?(?:snakemake|ftft|make|python|pip|git)\b")
# They answer a question, or act on what is there: nothing to plan.
IMMEDIATE = {"--unlock", "--touch", "--rulegraph", "--dag", "--dry-run", "-n", "--lint"}


def commands() -> list[str]:
    """The documented commands in the order in which a reader meets them, each once."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = [block for language, block in BLOCK.findall(text) if language in ("", "bash", "sh")]
        blocks = [line for block in shown for line in block.splitlines()]
        lines = [line.partition(" #")[0].strip() for line in blocks]
        found += [line for line in lines if START.match(line)] + INLINE.findall(BLOCK.sub("", text))
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory):
    """A clone beside the real data's folder, with the files that the documentation takes for granted."""
    folder = tmp_path_factory.mktemp("reader") / "ftft"
    folder.mkdir()
    for source in (root / name for name in (*SOURCES, "Makefile", "pyproject.toml", *root.glob("*.lock"))):
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / source.name)
    for config in folder.glob("config/**/*.yaml"):
        entries = yaml.safe_load(config.read_text())
        for model in entries.get("models", {}).values():
            if model.get("source") == "folder":
                (folder / model["path"]).mkdir(parents=True, exist_ok=True)
        for task in entries.get("tasks", {}).values():
            for path in (entry["path"] for entry in task["datasets"].values() if "path" in entry):
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    texts = [
        (f"The {thing} is {mood}.", mood == "good")
        for thing in map(str, range(60))
        for mood in ("good", "bad")
    ]
    for name in ("reviews.csv", "other_shop.csv"):
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *((text, str(label)) for text, label in texts)])
    shutil.copyfile(root / "tests/config/tiny.yaml", folder / "tiny.yaml")
    (folder / "my-changes.yaml").write_text("seeds: [0]\n")
    console(["init", "reviews.csv"], folder)
    return folder


def run(command: list[str], folder: Path, variables: dict[str, str]) -> None:
    environment = {**os.environ, "PYTHONPATH": "", **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def console(arguments: list[str], folder: Path) -> None:
    code = "from ftft.cli import main; raise SystemExit(main())"
    run([sys.executable, "-c", code, *arguments], folder, {"PYTHONPATH": "src"})


@pytest.mark.long
@pytest.mark.parametrize("command", commands())
def test_a_documented_command_works(clone, command):
    words, variables = shlex.split(command), {}
    while "=" in words[0]:
        name, _, variables[name] = words.pop(0).partition("=")
    match words:
        case ["snakemake", *arguments]:
            run([sys.executable, "-m", "snakemake", *planned(arguments, clone)], clone, variables)
        case ["ftft", "init"]:
            console(["init", "--help"], clone)
        case ["ftft", "status", "--watch", *_]:
            console(["status", "--help"], clone)
        case [
            "ftft",
            "archive"
            | "corrections"
            | "issues"
            | "open"
            | "references"
            | "select"
            | "transfer" as of_results,
            *_,
        ]:
            console([of_results, "--help"], clone)
        case ["ftft", "init", *arguments]:
            console(["init", "--output", "another.yaml", *arguments], clone)
        case ["ftft", command, *arguments] if COMMANDS[command] == COMMANDS["run"]:
            console([command, *arguments, "--dry-run", "--quiet", "all"], clone)
        case ["ftft", *arguments]:
            console(arguments, clone)
        case ["make", *targets]:
            run(["make", "--dry-run", *targets], clone, {})
        case ["python", "-m", "benchmarks", section, *_]:
            assert section in SECTIONS
        case ["python", "-m", module, *_] if module.startswith("benchmarks."):
            assert module.removeprefix("benchmarks.") in SECTIONS
        case ["python", "-m", "ftft.results.archive", *_]:
            run([sys.executable, *words[1:3], "--help"], clone, {"PYTHONPATH": "src"})
        case ["pip", "install", *_, needed]:
            packages = ("ftft[workflow]", "snakedeploy")
            assert needed in packages or needed.endswith(".whl") or (clone / needed).exists()
        case _:
            assert words[:2] == ["git", "clone"]


def planned(arguments: list[str], clone: Path) -> list[str]:
    """A call of snakemake as a dry run on one core, without a profile's executor and a report of nothing."""
    if "--profile" in arguments:
        place = arguments.index("--profile")
        assert list((clone / arguments[place + 1]).glob("*.yaml"))
        del arguments[place : place + 2]
    if "--report" in arguments:
        place = arguments.index("--report")
        del arguments[place : place + 2]
    cores = [] if "--cores" in arguments else ["--cores", "1"]
    dry = [] if IMMEDIATE & set(arguments) else ["--dry-run", "--quiet", "all"]
    # Quicker to plan than the default, which has tests of its own.
    config = [] if "--configfile" in arguments else ["--configfile", "tiny.yaml"]
    return [*config, *dry, *cores, *arguments]


def edges(graph: str) -> set[tuple[str, str]]:
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    return {(names[one], names[other]) for one, other in re.findall(r"(id\d+) --> (id\d+)", graph)}


def test_the_picture_of_the_graph_is_the_workflows_own():
    page = (ROOT / "docs/graph.md").read_text(encoding="utf-8")
    command = re.search(r"^snakemake .*--rulegraph.*$", page, re.MULTILINE)[0]
    drawn = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert edges(re.search(r"```mermaid\n(.*?)```", page, re.DOTALL)[1]) == edges(drawn.stdout) != set()
