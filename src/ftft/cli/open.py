"""`ftft open`: the newest page that the workflow has made, in a browser."""

import argparse
import webbrowser
from pathlib import Path

from ..errors import ArtifactError
from .neutral import neutral_text

# Data maps, preflights and verdicts below the results, and what `snakemake --report` leaves in the folder.
PAGES = ("maps/**/*.html", "preflight/*.html", "verdicts/*.html")
REPORT = Path("report.html")


def open_page(chosen: argparse.Namespace) -> None:
    """Print the path of the newest page, and show it where there is a browser.

    Raises ArtifactError where no page has been made.
    """
    pages = [path for pattern in PAGES for path in chosen.results.glob(pattern) if path.is_file()]
    pages += [REPORT] if REPORT.is_file() else []
    if not pages:
        raise ArtifactError(
            f"there is no page in {chosen.results}", fix="make one: ftft preflight, or ftft run paper"
        )
    newest = max(pages, key=lambda path: path.stat().st_mtime)
    print(neutral_text(str(newest)))
    webbrowser.open(newest.resolve().as_uri())
