"""How reference models rank after each epoch of their runs, by the share of easy instances."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pandas as pd

from ..cartography.datamap import MINIMUM_EPOCHS, DataMap
from ..cartography.dynamics import Dynamics
from ..cartography.selection import easy_share
from .preflight import RATE, ranks

NONE = "–"


def maps_of_first_epochs(dynamics: Dynamics) -> Iterator[tuple[int, DataMap]]:
    """Numbers of first epochs, from the fewest that make a map to all, and the data map of these."""
    for epochs in range(MINIMUM_EPOCHS, len(dynamics.p_true) + 1):
        first = replace(dynamics, p_true=dynamics.p_true[:epochs], correct=dynamics.correct[:epochs])
        yield epochs, DataMap.of(first)


def easy_by_epoch(dynamics: Dynamics) -> dict[int, float]:
    """By number of first epochs, the percent of easy instances at `preflight.RATE` on the map of these."""
    return {epochs: 100 * easy_share(part, RATE) for epochs, part in maps_of_first_epochs(dynamics)}


def standings(shares: Mapping[str, Mapping[int, float]]) -> pd.DataFrame:
    """A row per reference and a column per number of epochs: the share, and the reference's place by it.

    `shares` holds by reference and number of epochs the percent of easy instances. A reference is ranked
    among those that have come as far.
    """
    columns = {}
    for epochs in sorted({epochs for own in shares.values() for epochs in own}):
        come = {name: own[epochs] for name, own in shares.items() if epochs in own}
        places = ranks(come, most_first=True)
        columns[f"epoch {epochs}"] = {
            name: f"{come[name]:.2f} ({places[name]})" if name in come else NONE for name in shares
        }
    return pd.DataFrame(columns, index=pd.Index(shares, name="reference"))
