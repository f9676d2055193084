"""A notebook as a page of the site: run when the site is built, so that its pictures are its own."""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

SECONDS_PER_CELL = 600
# Tables that pandas draws, in the look of the site's own.
STYLE = re.compile(r"<style scoped>.*?</style>\n", re.DOTALL)


def page(file: Path) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook after it was run in an empty folder, and its pictures by their file.

    Raises nbclient's CellExecutionError where a cell fails. What cells write to stderr is left out.
    """
    notebook = run(nbformat.read(file, as_version=4))
    for cell in notebook.cells:
        cell["outputs"] = [part for part in cell.get("outputs", []) if part.get("name") != "stderr"]
    exporter = MarkdownExporter(preprocessors=[CoalesceStreamsPreprocessor])
    names = {"unique_key": file.stem, "output_files_dir": f"{file.stem}_files"}
    body, made = exporter.from_notebook_node(notebook, names)
    body = STYLE.sub("", body).replace('<table border="1" class="dataframe">', "<table>")
    body = body.replace("![png](", "![drawn by the cell above](")
    return f"{body}\n\nThis page is [{file.name}]({file.name}), run from top to bottom.\n", made["outputs"]


def run(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run all cells by this Python, whose commands their shells find first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        return client.execute(env={**os.environ, "PATH": path})
