"""`ftft corrections`: what other tools found or people decided in them, as a file of corrections."""

import argparse
import csv
import io

from ..artifacts import write_text
from ..cartography.imported_corrections import import_corrections
from ..data.corrections import COLUMNS
from ..data.dataset import Dataset
from ..errors import ArtifactError


def corrections(chosen: argparse.Namespace) -> None:
    """Write the corrections in a tool's file; raises FtftError for what does not fit the data set, and for an
    output that exists.
    """
    if chosen.output.exists():
        raise ArtifactError(
            f"{chosen.output} exists and is left as it is",
            fix="choose another name by --output, or remove it",
        )
    dataset = Dataset.load(chosen.data)
    found = import_corrections(chosen.file, dataset, chosen.question)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    write_text(chosen.output, text.getvalue())
    print(f"wrote {chosen.output}: another label for {len(found)} of {len(dataset)} rows")
    if any(step["step"] == "corrections" for step in dataset.provenance.get("steps", ())):
        print("the data set is corrected already: put those corrections into this file too")
    print(f"what to do: name the file under the data set, corrections: {chosen.output}")
