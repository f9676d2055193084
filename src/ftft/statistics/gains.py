"""What of a selection's gain over a random share is owed to labels, to lengths, and to the training dynamics.

A selection is compared with random rows, with random rows of its label make-up, and with random rows of its
label make-up and lengths: the differences between them add up to the whole.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ..artifacts import read_parquet, write_parquet
from ..cartography.controls import PARTS
from .comparisons import BootstrapComparison, method_of
from .frames import write_csv

DYNAMICS = PARTS[-1]
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        *((name, pa.string()) for name in ("main", "reference", "selector", "sets", "part")),
        *((name, pa.float64()) for name in ("difference", "low", "high")),
        ("seeds", pa.int64()),
    ]
)


def split_gains(
    spec: dict, evaluations: Iterable[Path], ledgers: Iterable[Path], output: Path, view: Path
) -> None:
    """Compare the selections of a table with their controls; write Parquet and a CSV view.

    `spec` holds, beside what `comparisons.compare_rows` reads, `sets`: data sets by what they are called
    together, and `parts`: for each the position of the selection's `row`, its name, and the rows whose
    difference it is. A difference is the mean over the data sets and common seeds. The intervals hold all at
    once with the configured confidence: Bonferroni over the selections of the table.

    Columns: row, main, reference, selector, sets, part, difference (0 to 1), low, high, seeds.
    """
    rows = spec["rows"]
    comparison = BootstrapComparison.of_files(spec, evaluations, ledgers)
    selections = len({part["row"] for part in spec["parts"]})
    confidence = 1 - (1 - spec["confidence"]) / max(1, selections)
    found = []
    for part in spec["parts"]:
        names = {key: rows[part["row"]][key] for key in ("main", "reference", "selector")}
        for sets, datasets in spec["sets"].items():
            sides = (method_of(rows[part[side]]) for side in ("left", "right"))
            result = comparison.difference(*sides, datasets, confidence)
            if result is not None:
                found.append(
                    {
                        "row": part["row"],
                        **names,
                        "sets": sets,
                        "part": part["part"],
                        "difference": result.value,
                        "low": result.low,
                        "high": result.high,
                        "seeds": result.seeds,
                    }
                )
    table = pa.Table.from_pylist(found, SCHEMA)
    write_parquet(output, table, {})
    write_csv(view, table.to_pandas())


def load_gains(path: str | Path) -> pd.DataFrame:
    """Read what `split_gains` wrote."""
    table, _ = read_parquet(path)
    return table.to_pandas()
