"""The documentation as a site: every link leads somewhere, and nothing is fetched from a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ftft

pytest.importorskip("mkdocs", reason="requirements-docs.lock is not installed: make .venv/.docs")
REPOSITORY = Path(__file__).parents[2]
FETCHED = re.compile(
    r'<(?:script|img|iframe)[^>]* src="https?:|<link[^>]* rel="stylesheet"[^>]*href="https?:'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
        text=True,
        capture_output=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_public_name_and_command_has_its_place(site):
    library = (site / "reference" / "library" / "index.html").read_text()
    assert all(f".{name}" in library for name in ftft.__all__ if name != "plot")
    commands = (site / "reference" / "command-line" / "index.html").read_text()
    assert "ftft preflight" in commands and "ftft transfer" in commands
    assert "tasks.&lt;task&gt;.datasets" in (site / "reference" / "configuration" / "index.html").read_text()


def test_pages_fetch_nothing_from_a_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    assert [page for page in pages if FETCHED.search(page.read_text())] == []
