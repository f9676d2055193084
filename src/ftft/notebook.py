"""How a data map shows itself in a notebook, and the tables that it gives; nothing here defines a number."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 1500
WIDTH, HEIGHT, MARGIN = 320, 260, 36
WIDEST_VARIABILITY = 0.5
# Of correctness 0 and 1; between them a mixture (Okabe and Ito, 2008).
WRONG, RIGHT = (213, 94, 0), (0, 114, 178)
PICTURE = f"""<figure style="margin:0">
<svg width="{WIDTH + 2 * MARGIN}" height="{HEIGHT + 2 * MARGIN}" role="img" aria-label="data map"
 font-size="11" font-family="sans-serif" fill="currentColor">
<path d="M{MARGIN} {MARGIN}v{HEIGHT}h{WIDTH}" fill="none" stroke="currentColor"/>
{{points}}
<text x="{MARGIN}" y="{MARGIN - 8}">confidence, 0 to 1</text>
<text x="{MARGIN + WIDTH}" y="{MARGIN + HEIGHT + 16}" text-anchor="end">variability, 0 to 0.5</text>
</svg>
<figcaption>Data map: {{shown}}; colour is correctness, from orange (0) to blue (1).</figcaption>
</figure>"""


class InNotebooks:
    """For data maps: tables for pandas, polars and others, and a picture in Jupyter."""

    uids: Sequence[str]
    confidence: np.ndarray
    variability: np.ndarray
    correctness: np.ndarray

    @property
    def scores(self) -> dict[str, np.ndarray]:
        """All scores [n] by name."""
        raise NotImplementedError

    def to_arrow(self) -> pa.Table:
        """A row per instance: its uid, and a column per score. `polars.from_arrow` takes it as it is."""
        return pa.table({"uid": pa.array(list(self.uids)), **self.scores})

    def to_pandas(self) -> "pd.DataFrame":
        """The same for pandas, with the uids as index."""
        return self.to_arrow().to_pandas().set_index("uid")

    def _repr_html_(self) -> str:
        """Variability against confidence, coloured by correctness, of at most 1,500 instances."""
        count = len(self.uids)
        rows = np.unique(np.linspace(0, max(0, count - 1), min(count, MOST_POINTS)).astype(int))
        shown = (
            f"{len(rows):,} of {count:,} instances are drawn" if len(rows) < count else f"{count:,} instances"
        )
        return PICTURE.format(shown=shown, points="".join(self._points(rows)))

    def _points(self, rows: np.ndarray) -> Iterator[str]:
        for row in rows:
            x = MARGIN + WIDTH * min(1.0, self.variability[row] / WIDEST_VARIABILITY)
            y = MARGIN + HEIGHT * (1 - self.confidence[row])
            share = self.correctness[row]
            colour = ",".join(
                f"{low + share * (high - low):.0f}" for low, high in zip(WRONG, RIGHT, strict=True)
            )
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="rgb({colour})" fill-opacity="0.6"/>'
