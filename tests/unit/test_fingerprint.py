"""Fingerprints of code: what a script reaches by name counts, messages and formatting do not."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from ftft.pipeline import fingerprint as module

SCRIPTS = (
    "prepare_data.py",
    "train.py",
    "build_data_map.py",
    "score_instances.py",
    "evaluate.py",
    "collect_scores.py",
    "compare_methods.py",
)
MAP_AND_SCORES = {"build_data_map.py", "score_instances.py"}
LIBRARY = Path(module.__file__).parents[1]
ROOT = LIBRARY.parents[1]


class Copy:
    """A copy of library and scripts whose fingerprints are taken afresh."""

    def __init__(self, folder, monkeypatch):
        self.package, self.scripts = folder / "src" / "ftft", folder / "scripts"
        shutil.copytree(LIBRARY, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "workflow" / "scripts", self.scripts)
        monkeypatch.setattr(module, "PACKAGE", self.package)

    def fingerprints(self, *scripts, roots=()):
        for cached in (module.fingerprint, module._reading, module._module):
            cached.cache_clear()
        return {name: module.fingerprint(self.scripts / name, roots) for name in scripts or SCRIPTS}

    def edited(self, path, old, new):
        """Fingerprints after an edit, which is taken back."""
        file = self.package / path
        text = file.read_text()
        assert old in text, (path, old)
        file.write_text(text.replace(old, new))
        try:
            return self.fingerprints()
        finally:
            file.write_text(text)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    yield Copy(tmp_path, monkeypatch)
    for cached in (module.fingerprint, module._reading, module._module):
        cached.cache_clear()


def numbers_and_texts(path):
    """The numbers and the texts in a module, as they are spelled there."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    return [
        node for node in nodes if isinstance(node.value, int | float | str) and node.end_lineno == node.lineno
    ]


def test_no_edit_in_the_folders_without_numbers_counts(copy):
    before = copy.fingerprints()
    for folder in module.FOLDERS_WITHOUT_NUMBERS:
        for path in sorted((copy.package / folder).rglob("*.py")):
            text = path.read_text()
            lines = text.splitlines(keepends=True)
            for node in numbers_and_texts(path):
                if isinstance(node.value, int) and not isinstance(node.value, bool):
                    line = lines[node.lineno - 1].encode()
                    changed = line[: node.col_offset] + b"4711" + line[node.end_col_offset :]
                    lines[node.lineno - 1] = changed.decode()
                    break
            path.write_text("".join(lines) + "\nANSWER = 42\nprint(ANSWER)\n")
    assert copy.fingerprints() == before


def raised_messages(path):
    """The texts in the calls of errors of a module, with their places."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error"):
            for part in ast.walk(node):
                if (
                    isinstance(part, ast.Constant)
                    and isinstance(part.value, str)
                    and part.lineno == part.end_lineno
                ):
                    yield part


def test_no_message_counts(copy):
    before = copy.fingerprints()
    seen = 0
    for path in sorted(copy.package.rglob("*.py")):
        text = path.read_text()
        lines = [line.encode() for line in text.splitlines(keepends=True)]
        for node in raised_messages(path):
            line = lines[node.lineno - 1]
            spelled = line[node.col_offset : node.end_col_offset]
            if spelled[:1] in b"\"'" and len(spelled) > 5:
                seen += 1
                lines[node.lineno - 1] = line.replace(spelled, spelled[:-1] + b"?" + spelled[-1:])
                break
        path.write_text(b"".join(lines).decode())
    assert seen > 20
    assert copy.fingerprints() == before


def test_docstrings_comments_annotations_and_formatting_do_not_count(copy):
    before = copy.fingerprints()
    for path in copy.package.rglob("*.py"):
        text = re.sub(r'"""(\w)', r'"""Once more: \1', path.read_text())
        path.write_text(text.replace("\n\n", "\n\n# a remark\n").replace(" -> None:", ":"))
    assert copy.fingerprints() == before


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("training/schedule.py", "return ", "return 1 * ", {"train.py"}),
        ("models/tokens.py", "ROUND_WIDTH = 16", "ROUND_WIDTH = 32", {"train.py", "evaluate.py"}),
        ("cartography/datamap.py", "score.epochs - 1", "score.epochs", MAP_AND_SCORES),
        ("data/dataset.py", "digest_size=8", "digest_size=4", {"prepare_data.py", "train.py"}),
        ("statistics/bootstrap.py", "float(value)", "-float(value)", {"compare_methods.py"}),
    ],
)  # fmt: skip
def test_a_number_of_each_folder_counts_for_those_who_reach_it(copy, path, old, new, expected):
    before = copy.fingerprints()
    after = copy.edited(path, old, new)
    assert {name for name in before if after[name] != before[name]} == expected


def test_a_definition_that_nobody_names_does_not_count_until_it_is_a_root(copy):
    before = copy.fingerprints()
    file = copy.package / "tasks" / "metrics.py"
    file.write_text(
        file.read_text() + "\n\nWEIGHT = 2\n\n\ndef another(labels):\n    return WEIGHT * len(labels)\n"
    )
    assert copy.fingerprints() == before
    roots = ("ftft.tasks.metrics:another",)
    rooted = copy.fingerprints(roots=roots)
    assert all(rooted[name] != before[name] for name in before)
    file.write_text(file.read_text().replace("WEIGHT = 2", "WEIGHT = 3"))
    assert copy.fingerprints() == before
    assert all(copy.fingerprints(roots=roots)[name] != rooted[name] for name in rooted)


def test_statements_with_effects_count_in_every_module_that_is_reached(copy):
    before = copy.fingerprints()
    file = copy.package / "training" / "schedule.py"
    file.write_text(file.read_text() + "\nimport numpy as np\nnp.seterr(all='raise')\n")
    after = copy.fingerprints()
    assert {name for name in before if after[name] != before[name]} == {"train.py"}
