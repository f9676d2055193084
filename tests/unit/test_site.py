"""The documentation as a site: links lead somewhere, notebooks run, no network is needed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ftft

for module in ("mkdocs", "nbconvert", "ipykernel"):
    pytest.importorskip(module, reason="requirements-docs.lock is not installed: make .venv/.docs")
pytestmark = pytest.mark.long
TOLD = r"(\d+) of the (\d+) worst labels are wrong, by chance it would be ([\d.]+)\."
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


def test_the_tutorial_was_run_and_shows_what_it_says(site):
    page = (site / "tutorial" / "index.html").read_text()
    pictures = re.findall(r'src="\.\./(tutorial_files/[^"]+\.png)"', page)
    assert len(pictures) == 2 and all((site / picture).stat().st_size > 5_000 for picture in pictures)
    assert page.count("<circle") > 500  # The map as it shows itself.
    found, planted, by_chance = map(float, re.search(TOLD, page).groups())
    assert planted > 20 and found > 10 * by_chance
    (ambiguous,) = re.findall(r"<th>ambiguous</th>\s*<td>([\d.]+)</td>\s*<td>([\d.]+)</td>", page)
    (chance,) = re.findall(r"<th>all rows</th>\s*<td>([\d.]+)</td>\s*<td>([\d.]+)</td>", page)
    assert float(ambiguous[1]) > float(chance[1])  # Rows with a "not".


def test_the_graph_is_drawn_by_a_script_of_the_site(site):
    page = (site / "graph" / "index.html").read_text()
    assert '<pre class="mermaid">' in page
    (script,) = re.findall(r'<script src="([^"]*mermaid[^"]*)"', page)
    assert 'globalThis["mermaid"]' in (site / "graph" / script).read_text()[-200:]
    assert "mermaid" not in (site / "tutorial" / "index.html").read_text()


def test_the_start_page_shows_the_result(site):
    assert re.search(r'<img [^>]*src="result.svg"', (site / "index.html").read_text())
    assert (site / "result.svg").is_file()


def test_the_tutorial_is_kept_without_outputs():
    cells = json.loads((REPOSITORY / "docs/tutorial.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.parametrize("cell", ["1 / 0", "%%bash\nftft run --configfile nowhere.yaml"])
def test_a_cell_that_fails_fails_the_build(cell, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "docs")
    import notebooks
    from nbclient.exceptions import CellExecutionError
    from nbformat import v4

    file = tmp_path / "broken.ipynb"
    file.write_text(v4.writes(v4.new_notebook(cells=[v4.new_code_cell(cell)])))
    with pytest.raises(CellExecutionError):
        notebooks.page(file)
