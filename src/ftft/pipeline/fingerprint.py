"""Which code defines a result: a hash over the definitions that a script reaches by name.

A definition is a function, class or constant at the top of a module. What it names is followed, through
imports and through attributes of imported modules. Comments, docstrings, formatting, annotations of functions
and texts of messages do not count, so that an edit of them makes nothing again.
"""

import ast
import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# They say how a job runs, reports or refuses. Modules beside the folders do, too: files, errors.
FOLDERS_WITHOUT_NUMBERS = ("execution", "pipeline", "cli")
IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_params", "returns"}
REPORTING = {"logger", "logging", "warnings"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# A name of a whole module in place of one of its definitions.
EVERYTHING = "*"


@dataclass
class _Module:
    """One file: what is defined in it, and what takes effect when it is imported."""

    path: Path
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[Path, str | None]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)


@cache
def fingerprint(script: str | Path, roots: tuple[str, ...] = ()) -> str:
    """SHA-256 over a script, all definitions that it reaches, and those that `roots` reach.

    A root is `package.module:name`. It stands for what a script reaches through a registry: the kind of a
    task, its metrics, a score.
    """
    script = Path(script)
    waiting = [(script, EVERYTHING), *map(_root, roots)]
    found: dict[tuple[Path, str], str] = {}
    while waiting:
        path, name = waiting.pop()
        if (path, name) in found or not _defines_numbers(path, script):
            continue
        found[path, name], reached = _reading(path, name)
        waiting += reached
        if name != EVERYTHING:
            waiting.append((path, ""))
    digest = hashlib.sha256()
    for label, text in sorted(
        (f"{_name(path)}:{name}", text) for (path, name), text in found.items() if text
    ):
        digest.update(f"{label}\n{text}\n".encode())
    return digest.hexdigest()


@cache
def folder_hash(*folders: Path) -> str:
    """SHA-256 over the files of folders and their names."""
    digest = hashlib.sha256()
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
        digest.update(f"{path.name}\n{path.read_text(encoding='utf-8')}\n".encode())
    return digest.hexdigest()


def _root(root: str) -> tuple[Path, str]:
    module, _, name = root.partition(":")
    path = _file_of(PACKAGE.parent.joinpath(*module.split(".")))
    if path is None:
        raise ValueError(f"there is no module {module} for the root {root}")
    return path, name


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name


def _defines_numbers(path: Path, script: Path) -> bool:
    if path == script:
        return True
    folder = path.relative_to(PACKAGE).parts[:-1]
    return bool(folder) and folder[0] not in FOLDERS_WITHOUT_NUMBERS


@cache
def _reading(path: Path, name: str) -> tuple[str, list[tuple[Path, str]]]:
    """The text of a definition and what it names; of all effects for the empty name."""
    module = _module(path)
    if name == EVERYTHING:
        return _read(
            module, [node for nodes in module.definitions.values() for node in nodes] + module.effects
        )
    if name == "":
        text, reached = _read(module, module.effects)
        return text, reached + _imported_for_their_effects(path)
    if name in module.definitions:
        return _read(module, module.definitions[name])
    if name in module.imports:
        return "", [_target(*module.imports[name])]
    submodule = _file_of(path.parent / name) if path.name == "__init__.py" else None
    # A name that is made in other ways, by __getattr__ or a loop, may be any of the module's.
    return "", [(submodule, EVERYTHING) if submodule else (path, EVERYTHING)]


def _target(path: Path, name: str | None) -> tuple[Path, str]:
    return path, name or EVERYTHING


def _read(module: _Module, nodes: list[ast.stmt]) -> tuple[str, list[tuple[Path, str]]]:
    names: dict[tuple[Path, str], None] = {}
    text = "".join(_serialise(node, module, dict(module.imports), names) for node in nodes)
    return text, list(names)


@cache
def _module(path: Path) -> _Module:
    module = _Module(path)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module.imports |= _bindings(node, path)
        elif bound := _bound(node):
            for name in bound:
                module.definitions.setdefault(name, []).append(node)
        elif not _is_docstring(node):
            module.effects.append(node)
    return module


def _bound(node: ast.stmt) -> list[str]:
    """The names that a statement defines, where that is all it does."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    names = [
        name for target in targets for name in (target.elts if isinstance(target, ast.Tuple) else [target])
    ]
    return [name.id for name in names] if all(isinstance(name, ast.Name) for name in names) else []


def _bindings(node: ast.Import | ast.ImportFrom, path: Path) -> dict[str, tuple[Path, str | None]]:
    """What an import makes known: by name, a module of the library and a definition in it, if any."""
    if isinstance(node, ast.Import):
        found = {}
        for alias in node.names:
            target = PACKAGE.parent.joinpath(*alias.name.split("."))
            if alias.name.partition(".")[0] == PACKAGE.name and (file := _file_of(target)):
                found[alias.asname or alias.name.partition(".")[0]] = file, None
        return found
    parts = node.module.split(".") if node.module else []
    if node.level:
        folder = path.parents[node.level - 1]
    elif parts and parts[0] == PACKAGE.name:
        folder = PACKAGE.parent
    else:
        return {}
    target = folder.joinpath(*parts)
    file = _file_of(target)
    found = {}
    for alias in node.names:
        submodule = _file_of(target / alias.name)
        if submodule:
            found[alias.asname or alias.name] = submodule, None
        elif file:
            found[alias.asname or alias.name] = file, alias.name
    return found


def _file_of(target: Path) -> Path | None:
    for file in (target.with_name(f"{target.name}.py"), target / "__init__.py"):
        if file.exists():
            return file
    return None


def _imported_for_their_effects(path: Path) -> list[tuple[Path, str]]:
    """The modules that a file imports as a whole, as a package does that fills a registry."""
    return [(file, "") for file, name in _module(path).imports.values() if name is None]


def _serialise(node: object, module: _Module, known: dict, names: dict) -> str:
    """A node as text, and what it names in `names`; `known` are the imports that it sees.

    ast.dump differs between versions of Python; this leaves out what they add.
    """
    if isinstance(node, list):
        items = (item for item in node if not _is_docstring(item))
        return f"[{','.join(_serialise(item, module, known, names) for item in items)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        known |= _bindings(node, module.path)
        return ""
    if _is_report(node):
        return "report"
    dropped = IGNORED_FIELDS
    if isinstance(node, ast.arg):
        dropped = {*dropped, "annotation"}
    elif isinstance(node, ast.Assert):
        dropped = {*dropped, "msg"}
    elif isinstance(node, ast.Call) and _last_name(node.func).endswith("Error"):
        dropped = {*dropped, "args", "keywords"}
    elif isinstance(node, ast.Attribute) and (place := _attribute(node, known)):
        names[place] = None
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id in known:
            names[_target(*known[node.id])] = None
        elif node.id in module.definitions:
            names[module.path, node.id] = None
    if isinstance(node, ast.Attribute) and _attribute(node, known):
        return f"Attribute({_last_name(node.value)}.{node.attr})"
    fields = [
        f"{name}={_serialise(value, module, known, names)}"
        for name, value in ast.iter_fields(node)
        if name not in dropped and value is not None and value != []
    ]
    return f"{type(node).__name__}({','.join(fields)})"


def _attribute(node: ast.Attribute, known: dict) -> tuple[Path, str] | None:
    """The definition behind `module.name`."""
    if isinstance(node.value, ast.Name):
        path, name = known.get(node.value.id, (None, None))
        if path is not None and name is None:
            return path, node.attr
    return None


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_report(node: ast.AST) -> bool:
    """Whether a statement only says something: logger.info(...), warnings.warn(...)."""
    call = node.value if isinstance(node, ast.Expr) else None
    func = call.func if isinstance(call, ast.Call) else None
    return isinstance(func, ast.Attribute) and _last_name(func.value) in REPORTING


def _is_docstring(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
