"""FTFT: efficient and robust fine-tuning by transferring training dynamics (arXiv 2310.06588).

The names below load their modules when they are first used: importing ftft costs no torch and no pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

MODULES = {
    "cartography.recorder": ["DynamicsRecorder"],
    "cartography.kind_recorder": ["KindRecorder"],
    "cartography.response_recorder": ["ResponseRecorder"],
    "cartography.trainer": ["RecordingMixin", "ResponseRecordingMixin"],
    "cartography.dynamics": ["Dynamics", "load_dynamics", "save_dynamics"],
    "cartography.interchange": ["export_cartography", "import_cartography", "write_dynamics"],
    "cartography.losses": ["dynamics_of_losses", "import_s2l", "import_small2large"],
    "cartography.datamap": ["DataMap", "build_map", "write_map"],
    "cartography.scores": [
        "area_under_margin",
        "el2n",
        "forgetting_events",
        "predictive_entropy",
        "threshold_closeness",
    ],
    "cartography.selection": ["easy_share", "regions", "select", "select_random", "select_region"],
    "cartography.mixtures": ["class_balanced", "coverage_centric", "with_copies", "with_easy"],
    "cartography.overlap": ["overlap", "overlap_matrix"],
    "data.dataset": ["Dataset"],
    "errors": ["FtftError"],
    "results.opened": ["open_run"],
}
if TYPE_CHECKING:  # The same for type checkers.
    from . import plot as plot
    from .cartography.recorder import DynamicsRecorder as DynamicsRecorder
    from .cartography.kind_recorder import KindRecorder as KindRecorder
    from .cartography.response_recorder import ResponseRecorder as ResponseRecorder
    from .cartography.trainer import (
        RecordingMixin as RecordingMixin,
        ResponseRecordingMixin as ResponseRecordingMixin,
    )
    from .cartography.dynamics import (
        Dynamics as Dynamics,
        load_dynamics as load_dynamics,
        save_dynamics as save_dynamics,
    )
    from .cartography.interchange import (
        export_cartography as export_cartography,
        import_cartography as import_cartography,
        write_dynamics as write_dynamics,
    )
    from .cartography.losses import (
        dynamics_of_losses as dynamics_of_losses,
        import_s2l as import_s2l,
        import_small2large as import_small2large,
    )
    from .cartography.datamap import DataMap as DataMap, build_map as build_map, write_map as write_map
    from .cartography.scores import (
        area_under_margin as area_under_margin,
        el2n as el2n,
        forgetting_events as forgetting_events,
        predictive_entropy as predictive_entropy,
        threshold_closeness as threshold_closeness,
    )
    from .cartography.selection import (
        easy_share as easy_share,
        regions as regions,
        select as select,
        select_random as select_random,
        select_region as select_region,
    )
    from .cartography.mixtures import (
        class_balanced as class_balanced,
        coverage_centric as coverage_centric,
        with_copies as with_copies,
        with_easy as with_easy,
    )
    from .cartography.overlap import overlap as overlap, overlap_matrix as overlap_matrix
    from .data.dataset import Dataset as Dataset
    from .errors import FtftError as FtftError
    from .results.opened import open_run as open_run

PLACES = {name: module for module, names in MODULES.items() for name in names}
__all__ = sorted(PLACES)


def __getattr__(name: str):
    if name == "plot":
        return import_module(".plot", __name__)
    if name not in PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
