"""Pictures for notebooks, on axes of matplotlib; they need the extra `plots`."""

from typing import TYPE_CHECKING

from .cartography import arguments
from .cartography.datamap import DataMap
from .results.figures.data_map import draw_points, map_frame
from .results.figures.style import look

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def data_map(data_map: DataMap, *, fraction: float = 0.33, ax: "Axes | None" = None) -> "Axes":
    """Draw a data map on `ax`, or on axes of a new figure, and return the axes.

    The x axis is variability, the y axis confidence, colour and marker are correctness (Swayamdipta et al.,
    2020, Figure 1); lines show where the ambiguous and the hard-to-learn `fraction` of all instances begin.
    At most 25,000 instances are drawn, those whose uids hash lowest. Raises DataError for a `fraction` that
    is not above 0 and at most 1.
    """
    arguments.instance("data_map", data_map, DataMap)
    frame = map_frame(data_map, fraction)
    if ax is None:
        import matplotlib.pyplot

        with look():
            _, ax = matplotlib.pyplot.subplots()
    draw_points(ax, frame)
    first = frame.iloc[0]
    ax.axvline(first["ambiguous_from"], color="black", linewidth=0.8, linestyle="--", label="ambiguous from")
    ax.axhline(
        first["hard_to_learn_to"], color="black", linewidth=0.8, linestyle=":", label="hard to learn to"
    )
    return ax
