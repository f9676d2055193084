"""Which code defines a result: a hash that comments, docstrings and formatting leave alone."""

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# These say how a job runs, reports or refuses; no result depends on them.
NEUTRAL_FOLDERS = {PACKAGE / name for name in ("execution", "pipeline", "cli")}
NEUTRAL_MODULES = {PACKAGE / "errors.py"}
IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_params"}


def fingerprint(script: str | Path) -> str:
    """SHA-256 over a script and all library modules that it imports, directly or not."""
    digest = hashlib.sha256()
    for name, path in sorted((_name(path), path) for path in _closure(Path(script))):
        digest.update(f"{name}\n{_normalised(path)}\n".encode())
    return digest.hexdigest()


@lru_cache
def folder_hash(folder: Path) -> str:
    """SHA-256 over the files of a folder and their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(f"{path.name}\n{path.read_text(encoding='utf-8')}\n".encode())
    return digest.hexdigest()


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name


def _closure(script: Path) -> set[Path]:
    found, waiting = set(), [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [path for path in _imports(path) if not _is_neutral(path)]
    return found


def _is_neutral(path: Path) -> bool:
    return path in NEUTRAL_MODULES or not NEUTRAL_FOLDERS.isdisjoint(path.parents)


@lru_cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@lru_cache
def _imports(path: Path) -> frozenset[Path]:
    """The library's modules that a file names in `from ... import`."""
    found = set()
    for node in ast.walk(_tree(path)):
        if not isinstance(node, ast.ImportFrom):
            continue
        parts = node.module.split(".") if node.module else []
        if node.level:
            folder = path.parents[node.level - 1]
        elif parts and parts[0] == PACKAGE.name:
            folder = PACKAGE.parent
        else:
            continue
        target = folder.joinpath(*parts)
        candidates = [target.with_suffix(".py"), *(target / f"{alias.name}.py" for alias in node.names)]
        found |= {candidate for candidate in candidates if candidate.exists()}
    return frozenset(found)


@lru_cache
def _normalised(path: Path) -> str:
    return _serialise(_tree(path))


def _serialise(node: object) -> str:
    # ast.dump differs between Python versions; this skips what they add or leave out.
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={_serialise(value)}"
            for name, value in ast.iter_fields(node)
            if name not in IGNORED_FIELDS and value is not None and value != []
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(_serialise(item) for item in node if not _is_docstring(item))}]"
    return repr(node)


def _is_docstring(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
