"""The picture of the house in docs/architecture.md: imports go down only."""

import ast
from pathlib import Path

import pytest

# Each room may import the rooms named beside it; errors, canonical and artifacts serve all.
ROOMS = {
    "data": set(),
    "models": {"data"},
    "tasks": {"models", "data"},
    "execution": {"models"},
    "cartography": {"tasks", "models", "data"},
    "training": {"cartography", "tasks", "models", "data", "execution"},
    "statistics": {"training", "cartography", "tasks", "data"},
    "results": {"statistics", "training", "cartography", "tasks", "data"},
    "paper": {"results", "statistics", "training", "cartography", "tasks", "data"},
}
ROOMS |= {"pipeline": {*ROOMS}, "cli": {*ROOMS, "pipeline"}}


def imports(path: Path, package: Path) -> set[str]:
    """The rooms that a module imports from, wherever the import stands in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            target = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            names = target.relative_to(package).parts[:1] or [alias.name for alias in node.names]
            found |= {name for name in names if (package / name).is_dir()}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down_only(root, room):
    package = root / "src" / "ftft"
    upward = {
        str(path.relative_to(package)): sorted(beyond)
        for path in (package / room).rglob("*.py")
        if (beyond := imports(path, package) - ROOMS[room] - {room})
    }
    assert upward == {}


def test_every_room_is_in_the_picture(root):
    package = root / "src" / "ftft"
    folders = {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(ROOMS)
