"""What MkDocs builds besides the pages of this folder: others' pages, commands, library, notebooks."""

import argparse
import posixpath
import re
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "docs")]

import notebooks  # noqa: E402

import ftft  # noqa: E402
from ftft import cli  # noqa: E402

# Pages of the site by their files in the repository.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "reference/changes.md",
    "config/README.md": "reference/configuration.md",
    "profiles/README.md": "profiles.md",
}
FILES = {page: file for file, page in PAGES.items()}
# What draws diagrams, in place of the copy that Material would fetch; the package is not imported.
MERMAID = "assets/javascripts/mermaid.js"
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")


def on_files(files, config):
    """Add the pages from elsewhere, those that the code writes, and every file that a page links to."""
    for file, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / file)))
    for page, write in {"command-line": command_line, "library": library}.items():
        files.append(File.generated(config, f"reference/{page}.md", content=write()))
    for notebook in sorted((ROOT / "docs").glob("*.ipynb")):
        text, pictures = notebooks.page(notebook)
        for name, content in {f"{notebook.stem}.md": text, **pictures}.items():
            files.append(File.generated(config, name, content=content))
    (package,) = find_spec("mermaidx").submodule_search_locations
    files.append(File.generated(config, MERMAID, abs_src_path=f"{package}/assets/mermaid.js"))
    for page in list(files.documentation_pages()):
        for target in LINK.findall(page.content_string):
            file = in_repository(page.src_uri, target)
            place = in_site(file)
            if files.get_file_from_path(place):
                continue
            if (ROOT / file).is_dir():
                files.append(File.generated(config, place, content=listing(file)))
            elif (ROOT / file).is_file():
                files.append(File.generated(config, place, abs_src_path=str(ROOT / file)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri

    def moved(link):
        file = in_repository(here, link[1])
        return (
            posixpath.relpath(in_site(file), posixpath.dirname(here)) if (ROOT / file).exists() else link[1]
        )

    return markdown if here in WRITTEN else LINK.sub(moved, markdown)


def on_post_page(output, page, config):
    """Load the script that draws diagrams where there is one."""
    script = f'<script src="{get_relative_url(MERMAID, page.url)}"></script>'
    return output.replace("</head>", f"{script}</head>", 1) if 'class="mermaid"' in output else output


def in_repository(page, target):
    """The file that a link of a page means, from the repository's root."""
    folder = posixpath.dirname(FILES.get(page, f"docs/{page}"))
    return posixpath.normpath(posixpath.join(folder, target))


def in_site(file):
    """Where the site has a file or a folder of the repository."""
    if file in PAGES:
        return PAGES[file]
    place = file.removeprefix("docs/") if file.startswith("docs/") else f"sources/{file}"
    return f"{place}/index.md" if (ROOT / file).is_dir() else place


def listing(folder):
    """A page that lists the files of a folder."""
    names = sorted(path.name for path in (ROOT / folder).iterdir() if path.is_file())
    return f"# {folder}\n\n" + "".join(f"- [{name}]({name})\n" for name in names)


def command_line():
    """The help of `ftft` and of every command."""
    parser = cli.parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    sections = ["# Command line\n"]
    for one in (parser, *commands.choices.values()):
        one.formatter_class = partial(argparse.HelpFormatter, width=88)
        sections.append(f"## `{one.prog}`\n\n```text\n{one.format_help()}```\n")
    return "\n".join(sections)


def library():
    """The docstrings of every public name."""
    places = [f"{module}.{name}" for module, names in ftft.MODULES.items() for name in names]
    names = (f"::: ftft.{place}\n" for place in (*places, "plot.data_map"))
    return "\n".join(["# Library\n", "[Python library](../library.md) shows their use.\n", *names])


WRITTEN = {"reference/command-line.md", "reference/library.md"}
