"""Tables as views for people: CSV, which no rule reads."""

from pathlib import Path

import pandas as pd

from ..artifacts import write_text


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    """Write `frame` with four decimals."""
    write_text(path, frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
